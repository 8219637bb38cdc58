"""A run on disk: where each step writes, what is there, and what is not there yet."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pgmif.cohort.manifest import Cohort, read_manifest
from pgmif.runs.order import needed_products
from pgmif.runs.parameters import Parameters
from pgmif.runs.root import find_root
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import read_patient
from pgmif_core.methods.names import NAMES

# steps that show every method there is
SHOWING = ("04_baseline_comparison", "05_cnr_boxplots", "06_sobel_analysis", "07_frontier",
           "08_delineation", "10_claims")
# of pd.read_csv: subjects called NA or null keep their names, numbers may be missing
AS_WRITTEN: dict[str, Any] = {"dtype": {"subject": str}, "keep_default_na": False, "na_values": [""]}


class MissingStep(FileNotFoundError):
    """What a step needs is not there yet; says in one sentence which notebook makes it."""

    def __init__(self, run: "Run", step: str, path: Path):
        self.step = step
        super().__init__(
            f"{path.relative_to(run.root)} is not there yet: run notebooks/{step}.ipynb first, with the "
            f"same parameters, or `make reproduce PROFILE={run.parameters.profile}`, which runs all in "
            "their order."
        )

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence; no line of code is wrong."""
        return [str(self)]


@dataclass(frozen=True)
class Run:
    """Folders of one run: results/<name>/<step>/ and figures/<name>/."""

    root: Path
    name: str
    parameters: Parameters
    label: str

    def folder(self, step: str) -> Path:
        """results/<run>/<step>/; made by whoever writes in it, not by asking."""
        return self.root / "results" / self.name / step

    @property
    def figures(self) -> Path:
        """figures/<run>/."""
        return self.root / "figures" / self.name

    @property
    def store(self) -> Path:
        """Where the slices of all patients lie."""
        return self.folder("01_preprocessing") / "slices"

    @cached_property
    def cohort(self) -> Cohort:
        """The run's own manifest, written by 00_cohort; read once. Raises MissingStep."""
        path = self.folder("00_cohort") / "manifest.csv"
        if not path.exists():
            raise MissingStep(self, "00_cohort", path)
        known = read_manifest(path, allow_outside=True, assume_ras=self.parameters.assume_ras)
        return replace(known, title=self.label)

    def patient(self, subject: str) -> PatientSlices:
        """A patient's slices from the store."""
        return read_patient(self.store, subject)

    def weights(self, method: str) -> Path:
        """Where 02_training leaves a method's weights, and 03_pgmif_plus its settings."""
        if NAMES[method].kind == "fitted":
            return self.folder("03_pgmif_plus") / "settings.json"
        return self.folder(f"02_training/{method}") / "weights.safetensors"

    def fused(self, subject: str, method: str) -> Path:
        """BIDS-derivative name of a fused volume. Not compressed: grey values with noise shrink by a
        tenth, and every later step would spend most of its time unpacking them."""
        return self.folder("04_baseline_comparison") / f"{subject}_desc-{method}_T2w.nii"

    def check(self, step: str) -> None:
        """Raise MissingStep where a step cannot run; say which methods it leaves out, and the remedy."""
        base = self.folder("")
        for product, maker in needed_products(step).items():
            if not (base / product).is_file():
                raise MissingStep(self, maker, base / product)
        first = next(iter(self.cohort.subjects("test"))) if step in SHOWING else ""
        for name, row in NAMES.items() if step in SHOWING else ():
            ready = not row.needs_weights or self.weights(name).exists()
            if not ready:
                maker = "03_pgmif_plus" if row.kind == "fitted" else "02_training"
                how = "" if row.kind == "fitted" else f" -p method {name}"
                print(f"left out: {row.label}, which this run has not made; with its parameters, "
                      f"papermill notebooks/{maker}.ipynb out.ipynb{how} makes it")
            elif step != "04_baseline_comparison" and not self.fused(first, name).exists():
                print(f"left out: {row.label}, made after the images were fused; run "
                      "notebooks/04_baseline_comparison.ipynb again")

    def published(self) -> pd.DataFrame:
        """The paper's numbers (published/results.csv)."""
        return pd.read_csv(self.root / "published" / "results.csv")


def run_name(cohort: Cohort, parameters: Parameters) -> str:
    """Folder name of a run: `run`, or the cohort's name, with the profile unless it is quick."""
    if parameters.run:
        return parameters.run
    return cohort.name if parameters.profile == "quick" else f"{cohort.name}-{parameters.profile}"


def open_run(parameters: Parameters, step: str = "") -> Run:
    """The run that these parameters name; the manifest is read, nothing is written.

    With `step`, the stem of a notebook, it is checked that what the notebook needs is there.
    """
    root = find_root()
    cohort = read_manifest(root / parameters.manifest, parameters.allow_outside)
    hardly = ", smoke profile: hardly trained" if parameters.profile == "smoke" else ""
    run = Run(root, run_name(cohort, parameters), parameters, cohort.label + hardly)
    if step:
        run.check(step)
    return run


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


