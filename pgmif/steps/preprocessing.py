"""Step 01: one patient registered, cut into slices and stored."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from pgmif.cohort.manifest import Cohort, read_gtv, read_reference
from pgmif.figures.qc import missing_parts, qc_flags, qc_page
from pgmif.runs.code_of import code_of
from pgmif.runs.parameters import VALUES, Parameters
from pgmif.steps.cohort import truth_file
from pgmif_core.files import file_hash, replacing
from pgmif_core.images.checks import image_notes
from pgmif_core.images.displacements import displacement_error, head_points
from pgmif_core.images.masks import mask_note
from pgmif_core.images.modalities import T2W
from pgmif_core.images.patient import (
    PatientSlices,
    before_moving,
    patient_of,
    place_sources,
    with_reference,
)
from pgmif_core.images.placement import fraction_inside
from pgmif_core.images.registration import Registration, register
from pgmif_core.images.slices import minmax_per_slice, slice_grid
from pgmif_core.images.store import known_patient, read_patient, write_patient
from pgmif_core.images.volumes import imaged_part, mask_on, read_displacement, resample, write_image
from pgmif_core.images.windows import windowed
from pgmif_core.metrics.paper import between_slices_share

CHOICES = ("gtv_roi", "gtv_label")  # which of several structures is the tumour


def preprocess_patient(
    cohort: Cohort, store: Path, parameters: Parameters, registered: Path, subject: str
) -> dict[str, Any]:
    """Register, resize, normalise, choose the reference region and store one patient.

    Registered volumes go to `registered` as NIfTI on the T2w grid. Returns the row of the
    preprocessing table. A patient finished with the same parameters is not done again.
    """
    code = code_of(preprocess_patient, without=VALUES)
    settings = _made_from(cohort, parameters, subject) | {"code": code}
    known = known_patient(store, subject, settings)
    if known:
        return known["row"]
    start = time.perf_counter()
    images = {modality: cohort.image(subject, modality) for modality in cohort.modalities}
    grid = slice_grid(images["T2w"], parameters.slice_size)
    transforms, row, notes = _registered(cohort, parameters, registered, subject, images)
    placed = place_sources(images, grid, transforms, parameters.minmax_slices)
    drawn, cut, noted = _gtv_on_grid(cohort, subject, grid, transforms)
    patient = patient_of(subject, placed, grid, drawn)
    if not patient.gtv.any():
        raise ValueError(
            f"{subject}: expected every modality to image the tumour, found no slice with tumour "
            f"({np.flatnonzero(drawn.any(axis=(1, 2))).tolist()} of {len(drawn)}) that all of "
            f"{', '.join(cohort.modalities)} cover. Remove the patient, or bring a scan that does."
        )
    reference = _reference(cohort, parameters, patient) & placed.covered & placed.imaged
    patient = patient._replace(reference=reference)
    row |= {
        "slices": len(patient.sources),
        "gtv_slices": int(patient.gtv.any(axis=(1, 2)).sum()),
        "gtv_slices_not_imaged": int((drawn & ~placed.covered).any(axis=(1, 2)).sum()),
        "gtv_cut_percent": round(100 * cut, 1),
        "gtv_ml": round(float(patient.gtv.sum() * np.prod(grid.GetSpacing()) / 1000), 2),
        "reference_slices": int(reference.any(axis=(1, 2)).sum()),
        **_between_slices(cohort, patient),
        "seconds": round(time.perf_counter() - start, 2),
    }
    seen = [*noted, *missing_parts(placed.parts, patient.sources[:, T2W], drawn), *notes]
    row["flags"] = "; ".join(filter(None, [qc_flags(row, cohort.modalities), *seen]))
    page = _save_qc_page(cohort, registered.parent / "qc", patient, transforms)
    moved = [_registered_file(registered, subject, m) for m in cohort.modalities if m != "T2w"]
    write_patient(store, patient, {"settings": settings, "row": row}, [page, *moved])
    return row


def _between_slices(cohort: Cohort, patient: PatientSlices) -> dict[str, float]:
    """Percent of the reference region's variance that lies between slices, on every sequence."""
    if not patient.reference.any():
        return {}
    return {f"reference_between_percent_{m}":
            round(100 * between_slices_share(patient.sources[:, k], patient.reference), 1)
            for k, m in enumerate(cohort.modalities)}


def _truth(cohort: Cohort, subject: str, modality: str) -> Path:
    """Where the true displacement of a phantom's sequence lies."""
    return cohort.file(subject, "T2w").parent / truth_file(subject, modality)


def _registered_file(folder: Path, subject: str, modality: str) -> Path:
    return folder / f"{subject}_space-T2w_{modality}.nii.gz"


def _made_from(cohort: Cohort, parameters: Parameters, subject: str) -> dict[str, Any]:
    """Everything but the code that decides what comes out: parameters, contents of files, choices."""
    settings = parameters.model_dump(include={
        "register_bspline", "register_affine", "slice_size", "reference_window_mm",
        "reference_nearest_mm", "reference_farthest_mm", "reference_choice", "minmax_slices", "seed",
    })
    settings["inputs"] = {  # by column: which sequence a file is decides as much as what it holds
        column: [[file.name, file_hash(file)] for file in cohort.files(subject, column)]
        for column in cohort.image_columns if cohort.value(subject, column)
    }
    settings["truths"] = [file_hash(truth) for m in cohort.modalities
                          if (truth := _truth(cohort, subject, m)).exists()]
    return settings | {n: cohort.value(subject, n) for n in ("split", "gtv_space", *CHOICES)}


def _registered(
    cohort: Cohort, parameters: Parameters, registered: Path, subject: str,
    images: Mapping[str, sitk.Image],
) -> tuple[dict[str, sitk.Transform | None], dict[str, Any], list[str]]:
    """The transforms that bring every sequence to T2w, the registration's row, what deserves a look."""
    t2w = windowed(images["T2w"], "T2w")
    transforms, row, notes = {}, {"subject": subject}, image_notes("T2w", images["T2w"])
    for modality, image in images.items():
        if modality == "T2w":
            continue
        result = registered_to_t2w(images, modality, parameters)
        transforms[modality] = result.moves
        write_image(resample(image, t2w, result.moves), _registered_file(registered, subject, modality))
        row |= _registration_row(cohort, subject, modality, result, t2w)
        notes = notes + image_notes(modality, image)
    return transforms, row, notes


def registered_to_t2w(
    images: Mapping[str, sitk.Image], modality: str, parameters: Parameters
) -> Registration:
    """What brings a sequence to T2w, both as `minmax_slices` leaves them."""
    t2w, moving = (before_moving(images[name], name, parameters.minmax_slices)
                   for name in ("T2w", modality))
    return register(t2w, moving, parameters.seed, parameters.register_bspline,
                    parameters.register_affine)


def _save_qc_page(
    cohort: Cohort, folder: Path, patient: PatientSlices,
    transforms: dict[str, sitk.Transform | None],
) -> Path:
    page = qc_page(patient, cohort.label, cohort.modalities, transforms)
    path = folder / f"{patient.subject}.png"
    with replacing(path) as temporary:
        page.savefig(temporary)
    return path


def _registration_row(
    cohort: Cohort, subject: str, modality: str, result, t2w: sitk.Image
) -> dict[str, Any]:
    numbers = {
        "stage": result.stage,
        "note": result.note,
        "smallest_jacobian": round(result.smallest_jacobian, 3),
        "rigid_mm": round(result.rigid_mm, 3),
        "bspline_mm": round(result.bspline_mm, 3),
        "mi_before": round(-result.metric_before, 4),
        "mi_after": round(-result.metric_after, 4),
        "registration_seconds": round(result.seconds, 2),
    }
    truth = _truth(cohort, subject, modality)
    if cohort.is_phantom and truth.exists():
        field = read_displacement(truth)
        points = head_points(t2w)
        for when, transform in (("before", sitk.Transform()), ("after", result.transform)):
            error = displacement_error(transform, field, points)
            numbers[f"tre_{when}_median_mm"] = round(float(np.median(error)), 3)
            numbers[f"tre_{when}_p95_mm"] = round(float(np.percentile(error, 95)), 3)
    prefix = "" if modality == "T1w" else f"{modality}_"
    return {prefix + name: value for name, value in numbers.items()}


def _reference(cohort: Cohort, parameters: Parameters, patient: PatientSlices) -> np.ndarray:
    """The reference region: the manifest's, drawn on T2w, or else one found nearby."""
    subject = patient.subject
    if cohort.value(subject, "reference"):
        reference = mask_on(read_reference(cohort, subject), patient.grid)
        if not reference.any():
            raise ValueError(f"{subject}: the reference region has no voxel on the T2w slices")
        return reference
    p = parameters
    try:
        limits = p.reference_window_mm, p.reference_nearest_mm, p.reference_farthest_mm
        return with_reference(patient, *limits, choice=p.reference_choice).reference
    except ValueError as error:
        if subject in cohort.subjects("train"):
            return patient.reference  # empty: training needs none, and the table shows 0 slices
        raise ValueError(f"{subject}: {error}") from error


def _gtv_on_grid(
    cohort: Cohort, subject: str, grid: sitk.Image, transforms: dict[str, sitk.Transform | None]
) -> tuple[np.ndarray, float, list[str]]:
    """The GTV on the slice grid, warped along where it was drawn on another sequence; the part cut; what
    was done to read it."""
    space = cohort.value(subject, "gtv_space", "T2w")
    drawn = read_gtv(cohort, subject)
    gtv = mask_on(drawn, grid, transforms.get(space))
    if not gtv.any():
        raise ValueError(
            f"{subject}: the GTV ({cohort.file(subject, 'gtv')}) has no voxel left on the "
            f"{grid.GetSize()[0]}×{grid.GetSize()[1]} slices of T2w; the contour is smaller than a "
            "pixel or lies outside. Check gtv_space, or raise slice_size."
        )
    cut = 1 - fraction_inside(drawn, grid) if space == "T2w" else 0.0
    note = mask_note(drawn)
    return gtv, cut, [f"gtv: {note}"] if note else []


def registration_panels(
    cohort: Cohort, store: Path, subjects: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per subject T2w, T1w before and T1w after registration at the largest tumour slice."""
    panels = {}
    for subject in subjects:
        patient = read_patient(store, subject)
        k = patient.largest
        t1w = windowed(cohort.image(subject, "T1w"), "T1w")
        moved = sitk.GetArrayFromImage(resample(t1w, patient.grid))[k : k + 1]
        before = minmax_per_slice(moved, imaged_part(t1w, patient.grid)[k : k + 1])[0]
        after, t2w = (np.array(patient.sources[k, m]) for m in (0, 1))
        panels[subject] = (t2w, before, after)
    return panels


def preprocessing_table(rows: Iterable[dict[str, Any]], cohort: Cohort) -> pd.DataFrame:
    """One row per patient, with its split."""
    table = pd.DataFrame(rows)
    splits = cohort.table.set_index("subject")["split"]
    table.insert(1, "split", table["subject"].map(splits))
    return table
