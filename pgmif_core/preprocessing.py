"""Patients made (phantoms), registered, cut into slices and stored; one patient at a time."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from joblib import Parallel, cpu_count, delayed

from pgmif_core.cohort import Cohort, write_manifest
from pgmif_core.fingerprints import code_fingerprint
from pgmif_core.images import (
    read_displacement,
    read_image,
    resample,
    write_displacement,
    write_image,
    write_json,
)
from pgmif_core.parameters import Parameters
from pgmif_core.phantom import PhantomSize, make_phantom
from pgmif_core.regions import reference_region
from pgmif_core.registration import displacement_error, head_points, register
from pgmif_core.slices import (
    PatientSlices,
    minmax_per_slice,
    patient_details,
    place_on_slices,
    read_patient,
    slice_grid,
    write_patient,
)

TRUTH_SUFFIX = "_from-T1w_to-T2w_xfm.nii.gz"


def each_patient(
    work: Callable[[str], Any], subjects: Sequence[str], workers: int = 0,
    say: Callable[[str], None] = print,
) -> list[Any]:
    """Run `work(subject)` for all subjects over processes, single-threaded inside each.

    joblib decides where: local processes, or a cluster inside
    `joblib.parallel_config(backend="dask")`. `workers` 0 takes as many as there are cores.
    """
    workers = min(workers or cpu_count(), max(1, len(subjects)))
    start = time.perf_counter()
    parallel = Parallel(n_jobs=workers, return_as="generator", inner_max_num_threads=1) \
        if workers > 1 else Parallel(n_jobs=1, return_as="generator")
    results = []
    for subject, result in zip(
        subjects, parallel(delayed(_single_threaded)(work, s) for s in subjects), strict=True
    ):
        results.append(result)
        done = len(results)
        if done == len(subjects) or done % max(1, len(subjects) // 10) == 0:
            seconds = time.perf_counter() - start
            say(f"{done:3d} of {len(subjects)} patients ({subject}), {seconds:.0f} s")
    return results


def _single_threaded(work: Callable[[str], Any], subject: str) -> Any:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return work(subject)


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
    notes = {"subject": subject, "seed": seed, "code": code_fingerprint("phantom"), **vars(size)}
    done = folder / f"{subject}.json"
    known = pd.read_json(done, typ="series").to_dict() if done.exists() else {}
    if all(known.get(k) == v for k, v in notes.items()):
        return known
    start = time.perf_counter()
    phantom = make_phantom(seed, size)
    for column in ("T1w", "T2w", "gtv"):
        write_image(getattr(phantom, column), folder / phantom_file(subject, column))
    write_displacement(phantom.displacement, folder / f"{subject}{TRUTH_SUFFIX}")
    notes |= {
        "t_category": phantom.tumour.stage,
        "side": "left" if phantom.tumour.side > 0 else "right",
        "necrotic": phantom.tumour.necrotic,
        **phantom.motion._asdict(),
        "gtv_ml": _volume_ml(phantom.gtv),
        "seconds": round(time.perf_counter() - start, 2),
    }
    write_json(notes, done)
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
                source = cohort.path.resolve().parent / row[column]
                table.loc[index, column] = os.path.relpath(source, folder.resolve())
    return write_manifest(table, folder / "manifest.csv")


def preprocess_patient(
    cohort: Cohort, store: Path, parameters: Parameters, registered: Path, subject: str
) -> dict[str, Any]:
    """Register, resize, normalise, choose the reference region and store one patient.

    Registered volumes go to `registered` as NIfTI on the T2w grid. Returns the row of the
    preprocessing table. A patient finished with the same parameters is not done again.
    """
    settings = parameters.model_dump(include={
        "register_bspline", "slice_size", "reference_window_mm", "reference_nearest_mm",
        "reference_farthest_mm", "seed",
    })
    files = [cohort.file(subject, c) for c in cohort.image_columns if cohort.value(subject, c)]
    settings["inputs"] = [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files]
    settings["gtv_space"] = cohort.value(subject, "gtv_space", "T2w")
    settings["code"] = code_fingerprint(
        "preprocessing", "registration", "regions", "slices", "images"
    )
    known = patient_details(store, subject)
    if known and known.get("settings") == settings:
        return known["row"]
    start = time.perf_counter()
    grid = slice_grid(read_image(cohort.file(subject, "T2w")), parameters.slice_size)
    sources, transforms, row = _aligned_sources(cohort, parameters, registered, subject, grid)
    drawn = _gtv_on_grid(cohort, subject, grid, transforms)
    # where a source has no image, its zeros would count as an edge-free, noise-free scan
    covered = sources.any(axis=(2, 3)).all(axis=1)[:, None, None]
    gtv = drawn & covered
    reference = _reference(cohort, subject, parameters, sources, gtv, grid) & covered
    spacing = grid.GetSpacing()
    row |= {
        "slices": len(sources),
        "gtv_slices": int(gtv.any(axis=(1, 2)).sum()),
        "gtv_slices_not_imaged": int((drawn & ~covered).any(axis=(1, 2)).sum()),
        "gtv_ml": round(float(gtv.sum() * np.prod(spacing) / 1000), 2),
        "reference_slices": int(reference.any(axis=(1, 2)).sum()),
        "seconds": round(time.perf_counter() - start, 2),
    }
    patient = PatientSlices(subject, sources, gtv, reference, grid)
    write_patient(store, patient, {"settings": settings, "row": row})
    return row


def _aligned_sources(
    cohort: Cohort, parameters: Parameters, registered: Path, subject: str, grid: sitk.Image
) -> tuple[np.ndarray, dict[str, sitk.Transform | None], dict[str, Any]]:
    """Sources (slices, m, h, w) on the slice grid, their transforms, and the registration's row."""
    t2w = read_image(cohort.file(subject, "T2w"))
    planes, row, transforms = [], {"subject": subject}, {"T2w": None}
    for modality in cohort.modalities:
        image = t2w
        if modality != "T2w":
            image = read_image(cohort.file(subject, modality))
            result = register(t2w, image, parameters.seed, parameters.register_bspline)
            transforms[modality] = None if result.stage == "aligned" else result.transform
            name = f"{subject}_space-T2w_{modality}.nii.gz"
            write_image(resample(image, t2w, transforms[modality]), registered / name)
            row |= _registration_row(cohort, subject, modality, result, t2w)
        placed = place_on_slices(image, grid, transforms[modality])
        planes.append(minmax_per_slice(sitk.GetArrayFromImage(placed)))
    return np.stack(planes, axis=1), transforms, row


def _registration_row(
    cohort: Cohort, subject: str, modality: str, result, t2w: sitk.Image
) -> dict[str, Any]:
    numbers = {
        "stage": result.stage,
        "rigid_mm": round(result.rigid_mm, 3),
        "bspline_mm": round(result.bspline_mm, 3),
        "mi_before": round(-result.metric_before, 4),
        "mi_after": round(-result.metric_after, 4),
        "registration_seconds": round(result.seconds, 2),
    }
    truth = cohort.file(subject, "T2w").parent / f"{subject}{TRUTH_SUFFIX}"
    if cohort.is_phantom and modality == "T1w" and truth.exists():
        field = read_displacement(truth)
        points = head_points(t2w)
        for when, transform in (("before", sitk.Transform()), ("after", result.transform)):
            error = displacement_error(transform, field, points)
            numbers[f"tre_{when}_median_mm"] = round(float(np.median(error)), 3)
            numbers[f"tre_{when}_p95_mm"] = round(float(np.percentile(error, 95)), 3)
    prefix = "" if modality == "T1w" else f"{modality}_"
    return {prefix + name: value for name, value in numbers.items()}


def _reference(
    cohort: Cohort, subject: str, parameters: Parameters, sources: np.ndarray, gtv: np.ndarray,
    grid: sitk.Image,
) -> np.ndarray:
    """The reference region: the manifest's, drawn on T2w, or else the calmest window nearby."""
    if cohort.value(subject, "reference"):
        drawn = read_image(cohort.file(subject, "reference")) > 0
        reference = sitk.GetArrayFromImage(resample(drawn, grid, nearest=True)) > 0
        if not reference.any():
            raise ValueError(f"{subject}: the reference region has no voxel on the T2w slices")
        return reference
    spacing = grid.GetSpacing()
    try:
        return reference_region(
            np.moveaxis(sources, 1, 0), gtv, (spacing[1], spacing[0]),
            parameters.reference_window_mm, parameters.reference_nearest_mm,
            parameters.reference_farthest_mm,
        )
    except ValueError as error:
        if subject in cohort.subjects("train"):
            return np.zeros_like(gtv)  # training needs no reference; the table shows 0 slices
        raise ValueError(f"{subject}: {error}") from error


def _gtv_on_grid(
    cohort: Cohort, subject: str, grid: sitk.Image, transforms: dict[str, sitk.Transform | None]
) -> np.ndarray:
    """The GTV on the slice grid, warped along where it was drawn on another sequence."""
    space = cohort.value(subject, "gtv_space", "T2w")
    mask = sitk.Cast(read_image(cohort.file(subject, "gtv")) > 0, sitk.sitkUInt8)
    # several contours share one file as labels 1, 2, 4: any of them is tumour
    placed = resample(mask, grid, transforms[space], nearest=True)
    gtv = sitk.GetArrayFromImage(placed) > 0
    if not gtv.any():
        raise ValueError(
            f"{subject}: the GTV ({cohort.file(subject, 'gtv')}) has no voxel left on the "
            f"{grid.GetSize()[0]}×{grid.GetSize()[1]} slices of T2w; the contour is smaller than a "
            "pixel or lies outside. Check gtv_space, or raise slice_size."
        )
    return gtv


def registration_panels(
    cohort: Cohort, store: Path, subjects: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per subject T2w, T1w before and T1w after registration at the largest tumour slice."""
    panels = {}
    for subject in subjects:
        patient = read_patient(store, subject)
        k = int(np.argmax(patient.gtv.sum(axis=(1, 2))))
        moved = resample(read_image(cohort.file(subject, "T1w")), patient.grid)
        before = minmax_per_slice(sitk.GetArrayFromImage(moved)[k : k + 1])[0]
        after, t2w = (np.array(patient.sources[k, m]) for m in (0, 1))
        panels[subject] = (t2w, before, after)
    return panels


def preprocessing_table(rows: Iterable[dict[str, Any]], cohort: Cohort) -> pd.DataFrame:
    """One row per patient, with its split."""
    table = pd.DataFrame(rows)
    splits = cohort.table.set_index("subject")["split"]
    table.insert(1, "split", table["subject"].map(splits))
    return table
