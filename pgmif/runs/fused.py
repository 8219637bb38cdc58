"""Fused volumes of a run on disk: BIDS-derivative names, JSON sidecars."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif.runs.code_of import code_of
from pgmif.runs.outside import outside_file
from pgmif.runs.parameters import VALUES
from pgmif.runs.run import Run
from pgmif_core.files import digest, file_hash, write_json
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.volumes import read_image, write_image
from pgmif_core.methods.learned import fuse_learned
from pgmif_core.methods.names import NAMES, method_named
from pgmif_core.methods.pgmif_plus import fuse_plus, read_settings
from pgmif_core.methods.registry import Method, compared_methods


def write_fused(
    run: Run, patient: PatientSlices, method: str, volume: NDArray, details: dict[str, Any]
) -> Path:
    """Write a fused volume, [0, 1] float32, on the slice grid of T2w, with its JSON sidecar."""
    image = sitk.GetImageFromArray(np.asarray(volume, np.float32))
    image.CopyInformation(patient.grid)
    sidecar = {
        "Description": f"{method_named(method).label}, fused from registered sources",
        "Method": method,
        "Cohort": run.label,
        "Sources": list(run.cohort.modalities),
        "IntensityRange": [0, 1],
        "GeneratedBy": {"Name": "pgmif", "Version": version("pgmif")},
        **details,
    }
    path = write_image(image, run.fused(patient.subject, method))
    write_json({**sidecar, "SHA256": file_hash(path)}, path.with_suffix(".json"))
    return path


def fused_details(run: Run, subject: str, method: str) -> dict[str, Any]:
    """The JSON sidecar of a fused volume; empty where the volume is absent or not the one described."""
    path = run.fused(subject, method)
    sidecar = path.with_suffix(".json")
    known = json.loads(sidecar.read_text()) if path.exists() and sidecar.exists() else {}
    return known if known and known.get("SHA256") == file_hash(path) else {}


def read_fused(run: Run, subject: str, method: str) -> NDArray[np.float32]:
    """A fused volume as (slices, h, w)."""
    return sitk.GetArrayFromImage(read_image(run.fused(subject, method)))


# where an image finds its method: what it finds there is hashed by itself (`method_code`)
LOOKED_UP = ("pgmif_core.methods.names:NAMES", "pgmif_core.methods.registry:METHODS",
             "pgmif_core.methods.learned:fuse_learned", "pgmif_core.methods.pgmif_plus:fuse_plus",
             "pgmif_core.methods.pgmif_plus:read_settings", *VALUES)


def method_code(method: Method) -> str:
    """Hash of a method's row and of the code that fuses by it, and by no other method."""
    by_kind: dict[str, tuple[Callable, ...]] = {"learned": (fuse_learned,),
                                                "fitted": (fuse_plus, read_settings)}
    rule = getattr(method.rule, "func", method.rule)  # of a further source: partial
    row = {name: value for name, value in vars(method).items() if name != "rule"}
    return digest([row, code_of(*((rule,) if rule else by_kind.get(method.kind, ())))])


WITH_WEIGHTS = tuple(name for name, row in NAMES.items() if row.needs_weights)


def outside_files(run: Run, subject: str) -> dict[str, Path]:
    """What other programs made of a subject, by method."""
    folders = run.parameters.outside_methods
    return {name: outside_file(run.root / folder, subject) for name, folder in folders.items()}


def run_methods(run: Run) -> dict[str, Method]:
    """The methods of a run: sources, everything that can be computed or was trained, outside ones."""
    known = compared_methods(run.cohort.modalities)
    ready = {n: m for n, m in known.items() if not m.needs_weights or run.weights(n).exists()}
    outside = {name: Method(**vars(method_named(name))) for name in run.parameters.outside_methods}
    return ready | outside


def trained_weights(run: Run) -> dict[str, Path]:
    """The weights of every learned method that was trained, the settings of every fitted one."""
    return {name: run.weights(name) for name in WITH_WEIGHTS if run.weights(name).exists()}


def fused_methods(run: Run) -> list[str]:
    """The methods of a run of which every test patient has a fused image."""
    subjects = run.cohort.subjects("test")
    return [n for n in run_methods(run) if all(run.fused(s, n).exists() for s in subjects)]
