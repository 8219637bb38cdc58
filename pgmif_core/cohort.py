"""The cohort manifest: one row per patient; schema, validation, and where its files lie."""

import csv
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from joblib import cpu_count
from tqdm import tqdm

from pgmif_core.contours import misplaced
from pgmif_core.dicom import ContourError, is_rtstruct, rasterise
from pgmif_core.files import replacing
from pgmif_core.images import ImageError, overlap_fraction, read_image, resample
from pgmif_core.validation import (
    FURTHER_MODALITIES,
    ManifestError,
    column_problems,
    length_problems,
    row_problems,
    sharing_problems,
    split_problems,
)

SMALLEST_OVERLAP = 0.1
ANY_GTV = "GTV*"  # gtv_roi where the manifest names none
FEWEST_VOXELS = 4  # coarser levels of the registration smooth over this many
LEAST_AIR_HU = -500.0  # a CT in HU that shows any air reaches below this


@dataclass(frozen=True)
class Cohort:
    """A validated manifest: table in manifest order, modalities in column order, T1w and T2w first."""

    path: Path
    table: pd.DataFrame
    modalities: tuple[str, ...]
    title: str = ""  # of a run's own manifest: the label of the cohort that it was made from

    @property
    def is_phantom(self) -> bool:
        """Whether every patient is a phantom (made from its `phantom_seed`)."""
        return "phantom_seed" in self.table and bool(self.table["phantom_seed"].ne("").all())

    @property
    def image_columns(self) -> tuple[str, ...]:
        """Columns that hold paths: modalities, gtv, and reference where there is one."""
        extra = ("reference",) if "reference" in self.table else ()
        return (*self.modalities, "gtv", *extra)

    @property
    def name(self) -> str:
        """Short name for folders: 'phantom' (phantom-ceT1w), or the name of the manifest's folder."""
        if self.is_phantom:
            return "-".join(["phantom", *self.modalities[2:]])
        folder = Path(os.path.abspath(self.path)).parent.name
        return re.sub(r"[^A-Za-z0-9_-]+", "-", folder).strip("-") or "cohort"

    @property
    def label(self) -> str:
        """What figures and tables call this cohort."""
        if self.title:
            return self.title
        label = "synthetic phantom cohort" if self.is_phantom else f"cohort {self.name}"
        return label if len(self.modalities) == 2 else f"{label} ({', '.join(self.modalities)})"

    def subjects(self, split: str) -> list[str]:
        """Subjects of a split ('train' or 'test'), in manifest order."""
        return self.table.loc[self.table["split"] == split, "subject"].tolist()

    def file(self, subject: str, column: str) -> Path:
        """Path of a subject's file in a column."""
        row = self.table.loc[self.table["subject"] == subject].iloc[0]
        return self.path.parent / row[column]

    def value(self, subject: str, column: str, default: str = "") -> str:
        """A subject's entry in a column; `default` where the column or the entry is absent."""
        if column not in self.table:
            return default
        return self.table.loc[self.table["subject"] == subject, column].iloc[0] or default


def read_mask(
    path: Path, drawn_on: Callable[[], sitk.Image], roi: str = ANY_GTV
) -> sitk.Image:
    """A mask (uint8): voxels above 0 of an image, or the structure `roi` of an RTSTRUCT.

    `drawn_on()` is the image whose grid a structure is rasterised on. Raises ImageError.
    """
    if path.is_dir() or not is_rtstruct(path):
        # several contours share one file as labels 1, 2, 4: any of them is tumour
        return sitk.Cast(read_image(path) > 0, sitk.sitkUInt8)
    try:
        return rasterise(path, roi, drawn_on())
    except ContourError as error:
        raise ImageError(str(error)) from error


def read_gtv(cohort: Cohort, subject: str) -> sitk.Image:
    """A subject's GTV as a mask (uint8): an image's voxels above 0, or a structure of an RTSTRUCT.

    A structure is rasterised on the grid of the modality that it was drawn on (`gtv_space`, T2w if
    empty); `gtv_roi` is its name or a pattern. Raises ImageError.
    """
    space = cohort.value(subject, "gtv_space", "T2w")
    return read_mask(
        cohort.file(subject, "gtv"), lambda: read_image(cohort.file(subject, space)),
        cohort.value(subject, "gtv_roi", ANY_GTV),
    )


def read_manifest(path: str | os.PathLike, allow_outside: bool = False) -> Cohort:
    """Read a manifest (CSV) and check everything that needs no image to be opened.

    Raises ManifestError with all problems at once: columns missing, unknown or misspelt, splits,
    duplicates, files that are not there, paths that leave the folder.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError([f"{path}: expected a CSV file, found none. Check MANIFEST."])
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[entry.strip() for entry in line] for line in csv.reader(file)]
    except (ValueError, csv.Error) as error:
        raise ManifestError([f"{path}: expected a CSV table, found: {error}"]) from error
    header, *rows = lines or [[]]
    if len(header) == 1 and ";" in header[0]:
        raise ManifestError([f"{path}: expected entries separated by commas, found semicolons; save "
                             "it as comma-separated CSV."])
    for row in rows:  # spreadsheets leave commas at the end
        while len(row) > len(header) and not row[-1]:
            row.pop()
    problems = column_problems(path, header) or length_problems(path, header, rows)
    if problems:
        raise ManifestError(problems)
    table = pd.DataFrame([row for row in rows if any(row)], columns=header, dtype=str)
    table.index = [number for number, row in enumerate(rows) if any(row)]  # line of the file − 2
    further = tuple(c for c in table.columns if c in FURTHER_MODALITIES)
    modalities = ("T1w", "T2w", *further)
    if table.empty:
        raise ManifestError([f"{path}: expected one row per patient, found none."])
    problems = [
        *split_problems(path, table), *sharing_problems(path, table, modalities),
        *row_problems(path, table, modalities, allow_outside),
    ]
    if problems:
        raise ManifestError(problems)
    return Cohort(path, table, modalities)


def patient_problems(cohort: Cohort, subject: str) -> list[str]:
    """Open every file of a patient; all that is wrong with them, each with what to do."""
    row = cohort.table.index[cohort.table["subject"] == subject][0] + 2
    where = f"{cohort.path}, row {row} ({subject})"
    images, problems = {}, []
    for column in cohort.image_columns:
        if not cohort.value(subject, column):
            continue
        try:
            file = cohort.file(subject, column)
            images[column] = read_gtv(cohort, subject) if column == "gtv" else read_image(file)
        except ImageError as error:
            problems.append(f"{where}, column {column}: {error}")
    for modality in cohort.modalities:
        if modality in images:
            low, high = sitk.MinimumMaximum(images[modality])
            if low == high:
                problems.append(
                    f"{where}, column {modality}: expected an image, found the constant {low:g}."
                )
            if modality == "CT" and low > LEAST_AIR_HU:
                problems.append(
                    f"{where}, column CT: expected Hounsfield units, air at about -1000, found nothing "
                    f"below {low:g}. Apply the scanner's rescale slope and intercept."
                )
            size = images[modality].GetSize()
            if min(size) < FEWEST_VOXELS:
                problems.append(
                    f"{where}, column {modality}: expected a volume of at least {FEWEST_VOXELS} "
                    f"voxels along every axis, found {size}; 3-D registration needs the series."
                )
    if "T2w" in images:
        problems += [
            f"{where}: {m} and T2w do not overlap in space; are they of the same patient and "
            "session? Check their orientation and origin."
            for m in cohort.modalities
            if m != "T2w" and m in images
            and overlap_fraction(images[m], images["T2w"]) < SMALLEST_OVERLAP
        ]
    return problems + _mask_problems(cohort, subject, where, images)


def _mask_problems(
    cohort: Cohort, subject: str, where: str, images: dict[str, sitk.Image]
) -> list[str]:
    problems = []
    if "reference" in images and "T2w" in images and not _inside(
        images["reference"], images["T2w"]
    ):
        problems.append(
            f"{where}, column reference: the region is empty or lies outside the T2w volume; draw "
            "it on T2w, or leave the column empty."
        )
    if "gtv" in images:
        gtv = images["gtv"]
        values = np.unique(sitk.GetArrayViewFromImage(gtv))
        space = cohort.value(subject, "gtv_space", "T2w")
        if not (values > 0).any():
            problems.append(
                f"{where}, column gtv: expected a tumour contour, found an empty mask. Remove the "
                "patient or supply the contour."
            )
        elif space in images and (reason := misplaced(gtv, images[space], space)):
            problems.append(f"{where}, column gtv: {reason} (now {space}).")
    return problems


def _inside(gtv: sitk.Image, grid: sitk.Image) -> bool:
    mask = resample(sitk.Cast(gtv > 0, sitk.sitkUInt8), grid, nearest=True)
    return bool(sitk.GetArrayViewFromImage(mask).any())


def all_problems(cohort: Cohort) -> Iterator[list[str]]:
    """`patient_problems` of every patient that has files, in order, read over threads.

    Phantom rows are skipped: their files are made on demand.
    """
    subjects = [s for s in cohort.table["subject"] if not cohort.value(s, "phantom_seed")]
    # its threads are waited for after Ctrl-C: Python may not end inside SimpleITK
    with ThreadPoolExecutor(cpu_count()) as over_threads:
        yield from over_threads.map(partial(patient_problems, cohort), subjects)


def check_images(cohort: Cohort) -> None:
    """Open every file of a cohort and check it; raises ManifestError with all problems at once.

    In a terminal a bar shows progress where it lasts.
    """
    found = tqdm(all_problems(cohort), "checking patients", len(cohort.table), leave=False, delay=2,
                 disable=None)
    problems = [problem for of_patient in found for problem in of_patient]
    if problems:
        raise ManifestError(problems)


def write_manifest(table: pd.DataFrame, path: Path) -> Path:
    """Write a manifest under a temporary name, then rename."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    return path
