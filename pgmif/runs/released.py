"""The weights released with this version (weights/): found, checked, put into a run."""

import ast
import json
import shutil
from pathlib import Path

import pandas as pd

from pgmif.runs.run import Run
from pgmif_core.files import file_hash, replacing

FOLDER = "weights"
LIST = "released.json"
PHANTOMS = "synthetic phantom cohort"  # how the label of every phantom cohort begins
IDEAS = "pgmif_plus_ideas.csv"  # what PGMIF+ is fitted on: measures of training patients


class ReleaseError(ValueError):
    """Released weights that are absent, changed, or of other patients than asked for."""


def _absent(path: Path) -> ReleaseError:
    return ReleaseError(f"{path}: expected a file released with this version, found none; a clone of "
                        "the repository has it, or train your own: make reproduce")


def _listed(folder: Path, name: str) -> dict[str, str]:
    """Checksums of the files that were released, by name."""
    if not (folder / LIST).is_file():
        raise _absent(folder / name)
    checksums: dict[str, str] = json.loads((folder / LIST).read_text())["sha256"]
    return checksums


def released_file(name: str, root: Path | None = None) -> Path:
    """A file of weights/ beside this package, its checksum compared. Raises ReleaseError."""
    folder = (root or Path(__file__).parents[2]) / FOLDER
    listed, path = _listed(folder, name), folder / name
    if not path.is_file():
        raise _absent(path)
    if listed.get(name) != file_hash(path):
        raise ReleaseError(f"{path}: expected the file that {LIST} lists, found another; restore it "
                           f"(git checkout {FOLDER}), or name your own with --weights")
    return path


def is_released(method: str, root: Path) -> bool:
    """Whether this version lists weights of a learned method; a method just written has none yet.

    Raises ReleaseError where the list itself is absent.
    """
    name = f"{method}.safetensors"
    return name in _listed(root / FOLDER, name)


def _of_phantoms(run: Run) -> None:
    if not run.label.startswith(PHANTOMS):
        raise ReleaseError(f"released: expected a phantom cohort, which these weights were made from, "
                           f"found {run.label}; without the parameter the run trains on your patients")


def take_training(run: Run, method: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put a method's released weights where training would; its history and validation table."""
    _of_phantoms(run)
    with replacing(run.weights(method)) as temporary:
        shutil.copyfile(released_file(f"{method}.safetensors", run.root), temporary)
    tables = (pd.read_csv(released_file(f"{part}.csv", run.root)) for part in ("history", "validation"))
    history, validation = (t[t["method"] == method].drop(columns="method") for t in tables)
    print(f"{method}: released weights, nothing trained")
    return history.reset_index(drop=True), validation.reset_index(drop=True)


def released_ideas(run: Run) -> pd.DataFrame:
    """Measures of the training patients under every idea of PGMIF+, as they were when it was fitted."""
    _of_phantoms(run)
    return pd.read_csv(
        released_file(IDEAS, run.root), dtype={"subject": str}, converters={"shares": ast.literal_eval}
    )
