"""What the pipeline adds to the notebooks' own work: a kernel's start, a run with nothing to do."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import papermill
from speed.timing import Row


def _papermill_seconds(folder: Path) -> float:
    """A notebook with one empty-handed cell, through papermill as the pipeline calls it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    nbformat.write(notebook, folder / "one.ipynb")
    start = time.perf_counter()
    papermill.execute_notebook(
        folder / "one.ipynb", folder / "done.ipynb", kernel_name="python3", progress_bar=False,
        log_output=False, extra_arguments=["--IPKernelApp.log_level=50"],
    )
    return time.perf_counter() - start


def _seconds(root: Path, *command: str) -> float:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=root, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
    return time.perf_counter() - start


def rows(root: Path) -> list[Row]:
    """Seconds on top of every notebook; a smoke run is made first where there is none."""
    smoke = ("-m", "pgmif.cli.reproduce", "reproduce", "--profile", "smoke")
    _seconds(root, *smoke)
    nothing = min(_seconds(root, *smoke) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        started = min(_papermill_seconds(Path(folder)) for _ in range(3))
    imports = "import torch, pandas, matplotlib.pyplot, SimpleITK"
    imported = min(_seconds(root, "-c", imports) for _ in range(2))
    return [
        Row("pipeline: kernel and papermill for one notebook, over importing what it needs",
            started, "s", started / imported),
        Row("pipeline: reproduce with nothing to do", nothing, "s"),
    ]
