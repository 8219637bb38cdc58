"""Seconds and memory of each lesson, executed unsolved: python benchmarks/lessons.py

Writes benchmarks/lessons.csv. Memory is the peak of the notebook's kernel, the largest process of the
run: Binder gives 2 GB.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from pgmif_core.files import replacing
from pgmif_core.parameters import find_root

EXECUTE = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", *sys.argv[1:]],
                      capture_output=True, text=True)
if done.returncode:
    sys.exit(done.stderr)
print(json.dumps(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


def measure(notebook: Path, folder: Path) -> dict[str, float | str]:
    """Execute one lesson in a process of its own; seconds with the kernel's start, peak MiB."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(notebook), str(folder / notebook.name)],
        cwd=folder, capture_output=True, text=True, check=True,
    )
    seconds = time.perf_counter() - start
    return {"lesson": notebook.stem, "seconds": round(seconds, 1),
            "peak MiB": round(json.loads(done.stdout) / 1024)}


def main() -> int:
    root = find_root()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    with tempfile.TemporaryDirectory() as folder:
        notebooks = sorted((root / "notebooks" / "teaching").glob("*.ipynb"))
        table = pd.DataFrame([measure(path, Path(folder)) for path in notebooks])
    with replacing(root / "benchmarks" / "lessons.csv") as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
