"""Seconds and memory of each lesson and of explore.ipynb: python benchmarks/speed/lessons.py

Executed by papermill, exercises unsolved, explore.ipynb in a repository without any run. Writes
benchmarks/lessons.csv. Memory is the peak of all processes together, papermill's own among them where
JupyterLab's server would be: Binder gives 2 GB.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from pgmif.runs.root import find_root
from pgmif_core.files import replacing

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from speed.peak_memory import watched

NEEDED = ("Snakefile", "params", "data_manifest.csv", "weights", "published")  # by explore.ipynb


def measure(notebook: Path, folder: Path) -> dict[str, float | str]:
    """Execute one notebook in `folder`; seconds with the kernel's start, peak MiB."""
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(notebook),
               str(folder / notebook.name), "--kernel", "python3"]
    peaks: list[float] = []
    start = time.perf_counter()
    with watched(peaks, own=False):
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return {"notebook": notebook.stem, "seconds": round(time.perf_counter() - start, 1),
            "peak MiB": round(peaks[0])}


def main() -> int:
    root = find_root()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        empty, clone = Path(temporary) / "empty", Path(temporary) / "clone"
        empty.mkdir()
        clone.mkdir()
        for name in NEEDED:
            (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, clone / name)
        for path in sorted((root / "notebooks" / "teaching").glob("*.ipynb")):
            rows.append(measure(path, empty))
            print(rows[-1], flush=True)
        rows.append(measure(root / "notebooks" / "explore.ipynb", clone))
    table = pd.DataFrame(rows)
    with replacing(root / "benchmarks" / "lessons.csv") as target:
        table.to_csv(target, index=False)
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
