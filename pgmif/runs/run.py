"""A run on disk: where each step writes, and its provenance."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pgmif.cohort.manifest import Cohort, read_manifest
from pgmif.runs.parameters import Parameters, find_root
from pgmif_core.files import replacing
from pgmif_core.fingerprints import file_hash
from pgmif_core.images.slices import PatientSlices, read_patient
from pgmif_core.images.volumes import write_json

MADE_FROM = "PGMIF_MADE_FROM"  # environment: the key of the step that runs
# of pd.read_csv: subjects called NA or null keep their names, numbers may be missing
AS_WRITTEN: dict[str, Any] = {"dtype": {"subject": str}, "keep_default_na": False, "na_values": [""]}
PACKAGES = ("pgmif", "torch", "numpy", "scipy", "SimpleITK", "nibabel", "pandas", "papermill")


@dataclass(frozen=True)
class Run:
    """Folders of one run: results/<name>/<step>/ and figures/<name>/."""

    root: Path
    name: str
    parameters: Parameters
    label: str

    def folder(self, step: str) -> Path:
        """results/<run>/<step>/, made if absent."""
        folder = self.root / "results" / self.name / step
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def figures(self) -> Path:
        return self.root / "figures" / self.name

    @property
    def store(self) -> Path:
        return self.folder("01_preprocessing") / "slices"

    def cohort(self) -> Cohort:
        """The run's own manifest, written by 00_cohort."""
        path = self.folder("00_cohort") / "manifest.csv"
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there yet; run 00_cohort first")
        known = read_manifest(path, allow_outside=True, assume_ras=self.parameters.assume_ras)
        return replace(known, title=self.label)

    def patient(self, subject: str) -> PatientSlices:
        """A patient's slices from the store."""
        return read_patient(self.store, subject)

    def weights(self, method: str) -> Path:
        """Where 02_training leaves a method's weights, and 10_pgmif_plus its settings."""
        if method == "pgmif_plus":
            return self.folder("10_pgmif_plus") / "settings.json"
        return self.folder(f"02_training/{method}") / "weights.safetensors"

    def published(self) -> pd.DataFrame:
        """The paper's numbers (published/results.csv)."""
        return pd.read_csv(self.root / "published" / "results.csv")


def run_name(cohort: Cohort, parameters: Parameters) -> str:
    """Folder name of a run: `run`, or the cohort's name, with the profile unless it is quick."""
    if parameters.run:
        return parameters.run
    return cohort.name if parameters.profile == "quick" else f"{cohort.name}-{parameters.profile}"


def open_run(parameters: Parameters) -> Run:
    """The run that these parameters name; the manifest is read, nothing is written."""
    root = find_root()
    cohort = read_manifest(root / parameters.manifest, parameters.allow_outside)
    hardly = ", smoke profile: hardly trained" if parameters.profile == "smoke" else ""
    return Run(root, run_name(cohort, parameters), parameters, cohort.label + hardly)


def source_cohort(run: Run) -> Cohort:
    """The manifest that the user named, as opposed to the run's own."""
    p = run.parameters
    return read_manifest(run.root / p.manifest, p.allow_outside, p.assume_ras,
                         p.allow_different_patients, p.allow_unlikely)


def input_files(cohort: Cohort) -> tuple[Path, ...]:
    """The manifest and, of real patients, every image: what provenance hashes."""
    if cohort.is_phantom:
        return (cohort.path,)
    images = [
        file
        for subject in cohort.table["subject"]
        for column in cohort.image_columns if cohort.value(subject, column)
        for file in cohort.files(subject, column)
    ]
    return (cohort.path, *images)


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a CSV under a temporary name, then rename; six significant digits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return path


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
    block adds to the dictionary is kept too. 06_claims gathers them into one file.
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
    }
    write_json(steps, base / "provenance.json")
    return steps
