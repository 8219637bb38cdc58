"""A run on disk: where each step writes, and its provenance."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pgmif.cohort.manifest import Cohort, read_manifest
from pgmif.runs.parameters import Parameters
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import read_patient

# of pd.read_csv: subjects called NA or null keep their names, numbers may be missing
AS_WRITTEN: dict[str, Any] = {"dtype": {"subject": str}, "keep_default_na": False, "na_values": [""]}


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


def find_root(start: Path | None = None) -> Path:
    """The repository root: the first folder upward of `start` that holds a Snakefile."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "Snakefile").is_file() and (folder / "params").is_dir():
            return folder
    raise FileNotFoundError(
        f"no pgmif repository at or above {start}; open notebooks inside a clone of it"
    )
