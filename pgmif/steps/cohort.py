"""Step 00: the volumes of a run: phantoms made where absent, and the run's own manifest."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from pgmif.cohort.manifest import Cohort, write_manifest
from pgmif.runs.code_of import code_of
from pgmif.runs.parameters import VALUES, Parameters
from pgmif_core.files import broken, seal, write_json
from pgmif_core.images.volumes import write_displacement, write_image
from pgmif_core.phantom import PhantomSize, make_phantom


def truth_file(subject: str, modality: str) -> str:
    """BIDS-like file name of a phantom's true displacement."""
    return f"{subject}_from-{modality}_to-T2w_xfm.nii.gz"


def chosen_patients(cohort: Cohort, parameters: Parameters) -> pd.DataFrame:
    """The rows of a run: all rows, but of a phantom cohort only as many as the profile takes."""
    if not cohort.is_phantom:
        return cohort.table
    parts = [
        cohort.table[cohort.table["split"] == split].head(count)
        for split, count in (
            ("train", parameters.phantom_train), ("test", parameters.phantom_test)
        )
    ]
    return pd.concat(parts)


def phantom_size(parameters: Parameters) -> PhantomSize:
    """The acquisition matrix that a profile asks for."""
    return PhantomSize(
        parameters.phantom_slices, parameters.phantom_thickness_mm, parameters.phantom_pixel_mm
    )


def make_patient(
    cohort: Cohort, folder: Path, parameters: Parameters, subject: str
) -> dict[str, Any]:
    """Write one phantom's T1w, T2w, GTV and true displacement; returns what it is.

    A patient already there, made from the same seed and size, is kept.
    """
    seed = int(cohort.value(subject, "phantom_seed"))
    size = phantom_size(parameters)
    code = code_of(make_patient, without=VALUES)
    notes = {"subject": subject, "seed": seed, "code": code, **vars(size)}
    moved = [m for m in cohort.modalities if m != "T2w"]
    notes["modalities"] = " ".join(cohort.modalities)
    done = folder / f"{subject}.json"
    known = json.loads(done.read_text()) if done.exists() else {}
    same = all(known.get(name) == value for name, value in notes.items())
    if same and "sealed" in known and not broken(folder, known.pop("sealed")):
        return known
    done.unlink(missing_ok=True)
    start = time.perf_counter()
    phantom = make_phantom(seed, size, further=set(moved) - {"T1w"})
    files = []
    for column in (*cohort.modalities, "gtv"):
        files.append(write_image(getattr(phantom, column), folder / phantom_file(subject, column)))
    for modality in moved:
        truth = "displacement" if modality == "T1w" else f"{modality}_displacement"
        field = getattr(phantom, truth)
        files.append(write_displacement(field, folder / truth_file(subject, modality)))
    notes |= {
        "t_category": phantom.tumour.stage,
        "side": "left" if phantom.tumour.side > 0 else "right",
        "necrotic": phantom.tumour.necrotic,
        **phantom.motion._asdict(),
        "gtv_ml": _volume_ml(phantom.gtv),
        "seconds": round(time.perf_counter() - start, 2),
    }
    write_json({**notes, "sealed": seal(folder, files)}, done)
    return notes


def phantom_file(subject: str, column: str) -> str:
    """BIDS-like file name of a phantom's image."""
    return f"{subject}_{'label-GTV_mask' if column == 'gtv' else column}.nii.gz"


def _volume_ml(mask: sitk.Image) -> float:
    voxel = np.prod(mask.GetSpacing()) / 1000
    return round(float(np.count_nonzero(sitk.GetArrayViewFromImage(mask)) * voxel), 2)


def resolve_manifest(cohort: Cohort, parameters: Parameters, folder: Path) -> Path:
    """Write the run's own manifest: chosen rows, paths as seen from `folder`."""
    table = chosen_patients(cohort, parameters).copy()
    for index, row in table.iterrows():
        for column in cohort.image_columns:
            if not row[column]:
                continue
            if cohort.is_phantom:
                table.loc[index, column] = f"volumes/{phantom_file(row['subject'], column)}"
            else:
                source = Path(os.path.abspath(cohort.path)).parent / row[column]
                table.loc[index, column] = os.path.relpath(source, folder.resolve())
    return write_manifest(table, folder / "manifest.csv")
