"""The cohort manifest: one row per patient; schema, validation, and where its files lie."""

import csv
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import SimpleITK as sitk
from joblib import cpu_count
from tqdm import tqdm

from pgmif.cohort.checks import (
    ManifestError,
    column_problems,
    length_problems,
    row_problems,
    sharing_problems,
    split_problems,
)
from pgmif_core.files import replacing
from pgmif_core.images.checks import (
    MOST_SHARED,
    identity_problems,
    image_problems,
    mask_problems,
    pair_problems,
    region_problems,
)
from pgmif_core.images.dicom import ContourError, series_identity
from pgmif_core.images.masks import read_mask
from pgmif_core.images.modalities import FURTHER_MODALITIES
from pgmif_core.images.volumes import ImageError, Trust, read_image, same_grid, volume_files

LARGEST_BYTES = 20 * 10**6  # of a manifest
UNTRUSTED = Trust()
EVERY_STRUCTURE = "*"  # the reference region's file holds one, whatever its name


@dataclass(frozen=True)
class Cohort:
    """A validated manifest: table in manifest order, modalities in column order, T1w and T2w first."""

    path: Path
    table: pd.DataFrame
    modalities: tuple[str, ...]
    title: str = ""  # of a run's own manifest: the label of the cohort that it was made from
    trust: Trust = UNTRUSTED  # how far its image files are believed
    different_patients: bool = False  # PatientIDs of one patient's series may differ
    unlikely: bool = False  # T1w and T2w may look exchanged, or one of them like a localizer

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

    def files(self, subject: str, column: str) -> list[Path]:
        """All files behind a subject's entry: a header's voxels, the slices of a series."""
        return volume_files(self.file(subject, column), self.trust)

    def image(self, subject: str, column: str) -> sitk.Image:
        """A subject's sequence, read. Raises ImageError."""
        return read_image(self.file(subject, column), self.trust)

    def value(self, subject: str, column: str, default: str = "") -> str:
        """A subject's entry in a column; `default` where the column or the entry is absent."""
        if column not in self.table:
            return default
        return self.table.loc[self.table["subject"] == subject, column].iloc[0] or default


def read_gtv(cohort: Cohort, subject: str) -> sitk.Image:
    """A subject's GTV as a mask (uint8), as `masks.read_mask` reads it. Raises ImageError.

    A structure of an RTSTRUCT is rasterised on the grid of the modality that it was drawn on
    (`gtv_space`, T2w if empty); `gtv_roi` is its name or a pattern, `gtv_label` a label's number.
    """
    space = cohort.value(subject, "gtv_space", "T2w")
    return read_mask(
        cohort.file(subject, "gtv"), lambda: cohort.image(subject, space),
        cohort.value(subject, "gtv_roi"), cohort.value(subject, "gtv_label"), cohort.trust,
    )


def read_reference(cohort: Cohort, subject: str) -> sitk.Image:
    """A subject's reference region as a mask (uint8), drawn on T2w. Raises ImageError."""
    return read_mask(
        cohort.file(subject, "reference"), lambda: cohort.image(subject, "T2w"), EVERY_STRUCTURE,
        trust=cohort.trust,
    )


def read_manifest(
    path: str | os.PathLike, allow_outside: bool = False, assume_ras: bool = False,
    different_patients: bool = False, unlikely: bool = False,
) -> Cohort:
    """Read a manifest (CSV) and check everything that needs no image to be opened.

    `allow_outside`: paths, and voxels that headers name, may leave its folder; `assume_ras`: images
    without an orientation are taken for RAS; `different_patients`, `unlikely`: see `Cohort`.

    Raises ManifestError with all problems at once: columns missing, unknown or misspelt, splits,
    duplicates, files that are not there, paths that leave the folder.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError([f"{path}: expected a CSV file, found none. Check MANIFEST."])
    if path.stat().st_size > LARGEST_BYTES:
        raise ManifestError([f"{path}: expected a CSV table of patients, found {path.stat().st_size:,} "
                             "bytes. Name the manifest."])
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
    trust = Trust(assume_ras, allow_outside, Path(os.path.abspath(path)).parent)
    return Cohort(path, table, modalities, "", trust, different_patients, unlikely)


def patient_problems(cohort: Cohort, subject: str) -> list[str]:
    """Open every file of a patient; all that is wrong with them, each with what to do."""
    row = cohort.table.index[cohort.table["subject"] == subject][0] + 2
    where = f"{cohort.path}, row {row} ({subject})"
    images, problems = {}, []
    readers = {"gtv": read_gtv, "reference": read_reference}
    for column in cohort.image_columns:
        if not cohort.value(subject, column):
            continue
        try:
            reader = readers.get(column, partial(Cohort.image, column=column))
            images[column] = reader(cohort, subject)
        except (ImageError, ContourError) as error:
            problems.append(f"{where}, column {column}: {error}")
    sequences = {m: images[m] for m in cohort.modalities if m in images}
    for modality, image in sequences.items():
        problems += [f"{where}, column {modality}: {p}" for p in image_problems(modality, image)]
    drawn = [c for c in readers if c in images]
    known = {c: series_identity(cohort.file(subject, c)) for c in [*sequences, *drawn]}
    together = [
        *pair_problems(sequences, cohort.unlikely),
        *identity_problems(known, cohort.different_patients),
    ]
    problems += [f"{where}: {p}" for p in together]
    return problems + _drawn_problems(cohort, subject, where, images)


def _drawn_problems(
    cohort: Cohort, subject: str, where: str, images: dict[str, sitk.Image]
) -> list[str]:
    """What is wrong with a patient's tumour contour and reference region."""
    space, problems = cohort.value(subject, "gtv_space", "T2w"), []
    drawn = (("gtv", space, "tumour"), ("reference", "T2w", "reference region"))
    for column, on, what in drawn:
        if column in images and on in images:
            found = mask_problems(images[column], images[on], on, what)
            other = [m for m in cohort.modalities if m in images and m != on
                     and same_grid(images[column], images[m])]
            if found and other and column == "gtv" and not same_grid(images[column], images[on]):
                found = [f"expected a mask on {on}, found one on the grid of {other[0]}: set gtv_space "
                         f"to {other[0]} if it was drawn there."]
            problems += [f"{where}, column {column}: {p}" for p in found]
    if {"gtv", "reference"} <= images.keys() and not problems:
        # drawn on another sequence, before registration: a few voxels may be shared
        problems += [f"{where}, column reference: {p}" for p in region_problems(
            images["reference"], images["gtv"], 0.0 if space == "T2w" else MOST_SHARED)]
    return problems


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
