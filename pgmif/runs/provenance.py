"""How a step was made: parameters, inputs, versions, commit, seconds."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pgmif.runs.order import STEPS
from pgmif.runs.records import MADE_FROM
from pgmif.runs.run import Run
from pgmif_core.files import file_hash, write_json

PACKAGES = ("pgmif", "torch", "numpy", "scipy", "SimpleITK", "nibabel", "pandas", "papermill")


def _commit(root: Path) -> str:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        return answer.stdout.strip()

    commit = git("describe", "--always", "--abbrev=12")
    # figures are what a run makes, not what it is made from
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!figures")
    return commit + ("-dirty" if changed else "") if commit else "not a git checkout"


def _input_names(root: Path, inputs: tuple[Path, ...]) -> dict[str, Path]:
    """Inputs by path from the root; those outside it from the folder that holds them all."""
    outside = [p.resolve() for p in inputs if not p.resolve().is_relative_to(root)]
    shared = Path(os.path.commonpath([p.parent for p in outside])) if outside else root
    return {
        str(p.resolve().relative_to(root if p.resolve().is_relative_to(root) else shared)): p
        for p in inputs
    }


def _processors() -> dict[str, Any]:
    # importing torch takes seconds, and not every step needs it
    torch = sys.modules.get("torch")
    gpu = torch is not None and torch.cuda.is_available()
    return {
        "threads": torch.get_num_threads() if torch else int(os.environ.get("OMP_NUM_THREADS", "0")),
        "gpu": torch.cuda.get_device_name() if gpu else "none",
    }


@contextmanager
def provenance(run: Run, step: str, inputs: tuple[Path, ...] = ()) -> Iterator[dict[str, Any]]:
    """Note how a step was made: parameters, inputs, versions, commit, seconds.

    Written to results/<run>/<step>/provenance.json when the block ends without error; what the
    block adds to the dictionary is kept too. 10_claims gathers them into one file.
    """
    notes: dict[str, Any] = {
        "step": step,
        "cohort": run.label,
        "made_from": os.environ.get(MADE_FROM, ""),  # hash of code, parameters and inputs
        "parameters": run.parameters.model_dump(exclude_unset=True),
        "inputs": {name: file_hash(p) for name, p in _input_names(run.root, inputs).items()},
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "processor": platform.machine(),
        **_processors(),
        "commit": _commit(run.root),
    }
    start = time.perf_counter()
    yield notes
    notes["seconds"] = round(time.perf_counter() - start, 2)
    write_json(notes, run.folder(step) / "provenance.json")


def notebook_seconds(run: Run) -> pd.DataFrame:
    """Every executed notebook of a run: notebook, begun (seconds after the first), seconds it took.

    Notebooks may run side by side: a run took the largest begun + seconds, not their sum.
    """
    rows = []
    for path in sorted((run.root / "results" / run.name / "notebooks").glob("*.ipynb")):
        if not path.stem.startswith(tuple(STEPS)):
            continue  # of an older numbering
        notes = json.loads(path.read_text())["metadata"].get("papermill", {})
        if notes.get("duration"):
            begun = pd.Timestamp(notes["start_time"])
            rows.append({"notebook": path.stem, "begun": begun, "seconds": round(notes["duration"], 1)})
    table = pd.DataFrame(rows, columns=["notebook", "begun", "seconds"])
    table["begun"] = [round((t - table["begun"].min()).total_seconds(), 1) for t in table["begun"]]
    return table


def gather_provenance(run: Run) -> dict[str, Any]:
    """All steps' provenance in results/<run>/provenance.json; returns it."""
    base = run.root / "results" / run.name
    steps = {
        str(path.parent.relative_to(base)): json.loads(path.read_text())
        for path in sorted(base.glob("[0-9]*/**/provenance.json"))
        if path.relative_to(base).parts[0] in STEPS
    }
    write_json(steps, base / "provenance.json")
    return steps
