"""The cohort manifest: one row per patient; schema, validation, and where its files lie."""

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from pgmif_core.images import ImageError, overlap_fraction, read_image, resample

REQUIRED = ("subject", "split", "T1w", "T2w", "gtv", "source", "license")
OPTIONAL = ("gtv_space", "reference", "phantom_seed")
FURTHER_MODALITIES = ("ceT1w", "FLAIR", "PDw", "CT", "DWI")
SPLITS = ("train", "test")
SMALLEST_OVERLAP = 0.1


class ManifestError(ValueError):
    """A manifest that cannot be used; lists every problem found, each with what to do."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(problems)
        count = len(self.problems)
        title = f"{count} problem{'s' * (count > 1)} in the cohort manifest; nothing was started:"
        super().__init__("\n".join([title, *(f"  - {p}" for p in self.problems)]))


@dataclass(frozen=True)
class Cohort:
    """A validated manifest: table in manifest order, modalities in column order, T1w and T2w first."""

    path: Path
    table: pd.DataFrame
    modalities: tuple[str, ...]

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
        """Short name for folders: 'phantom', or the name of the manifest's folder."""
        if self.is_phantom:
            return "phantom"
        return re.sub(r"[^A-Za-z0-9_-]+", "-", self.path.resolve().parent.name).strip("-") or "cohort"

    @property
    def label(self) -> str:
        """What figures and tables call this cohort."""
        if self.is_phantom:
            return "synthetic phantom cohort"
        return f"cohort {self.name}"

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


def _column_problems(path: Path, columns: list[str]) -> list[str]:
    known = (*REQUIRED, *OPTIONAL, *FURTHER_MODALITIES)
    missing = [c for c in REQUIRED if c not in columns]
    problems = []
    for column in columns:
        if column in known:
            continue
        guess = difflib.get_close_matches(column, [*missing, *known], 1, cutoff=0.6)
        hint = f"did you mean {guess[0]!r}?" if guess else f"known columns: {', '.join(known)}."
        problems.append(f"{path}, header: unknown column {column!r}; {hint}")
    problems += [
        f"{path}, header: column {c!r} is missing; expected {', '.join(REQUIRED)}. Add it."
        for c in missing
    ]
    for column in sorted({c for c in columns if columns.count(c) > 1}):
        problems.append(f"{path}, header: column {column!r} appears twice; remove one.")
    if {"T1w", "T2w"} & set(missing):
        problems.append(
            f"{path}: fusion needs T1w and T2w, found "
            f"{[c for c in columns if c in ('T1w', 'T2w', *FURTHER_MODALITIES)]}; one modality "
            "cannot be fused."
        )
    return problems


def _row_problems(
    path: Path, table: pd.DataFrame, modalities: tuple[str, ...], allow_outside: bool
) -> list[str]:
    problems = []
    folder = path.resolve().parent
    phantom = table["phantom_seed"] if "phantom_seed" in table else pd.Series("", table.index)
    for number, (index, row) in enumerate(table.iterrows(), start=2):
        where = f"{path}, row {number} ({row['subject'] or 'no subject'})"
        if not re.fullmatch(r"[A-Za-z0-9_-]+", row["subject"]):
            problems.append(
                f"{where}, column subject: expected letters, digits, '-' or '_', "
                f"found {row['subject']!r}; rename the subject."
            )
        if row["split"] not in SPLITS:
            problems.append(
                f"{where}, column split: expected 'train' or 'test', found {row['split']!r}."
            )
        space = row.get("gtv_space", "")
        if space and space not in modalities:
            problems.append(
                f"{where}, column gtv_space: expected one of {', '.join(modalities)} or nothing, "
                f"found {space!r}; name the modality that the GTV was drawn on."
            )
        if phantom[index] and not phantom[index].isdigit():
            problems.append(
                f"{where}, column phantom_seed: expected a whole number, found {phantom[index]!r}."
            )
        for column in (*modalities, "gtv", "reference"):
            if column == "reference" and not row.get(column, ""):
                continue
            if not row[column]:
                problems.append(f"{where}, column {column}: expected a path, found nothing.")
                continue
            target = Path(os.path.normpath(folder / row[column]))
            if not allow_outside and not target.is_relative_to(folder):
                problems.append(
                    f"{where}, column {column}: {row[column]!r} leaves the manifest's folder; move "
                    "the data or the manifest, or pass --allow-outside if you trust this file."
                )
            elif not phantom[index] and not target.exists():
                problems.append(
                    f"{where}, column {column}: expected a file, found none at {target}. "
                    "Paths are relative to the manifest."
                )
    return problems


def _split_problems(path: Path, table: pd.DataFrame) -> list[str]:
    problems = []
    for subject, rows in table.groupby("subject"):
        lines = ", ".join(str(k + 2) for k in rows.index)
        if rows["split"].nunique() > 1:
            problems.append(
                f"{path}, rows {lines}: {subject} is in both splits; a patient used for training "
                "cannot be a test patient. Keep one."
            )
        elif len(rows) > 1:
            problems.append(f"{path}, rows {lines}: {subject} appears {len(rows)} times; keep one.")
    for split in SPLITS:
        if not (table["split"] == split).any():
            problems.append(
                f"{path}: expected at least one {split} patient, found none; set split={split} "
                "in some rows."
            )
    return problems


def read_manifest(path: str | os.PathLike, allow_outside: bool = False) -> Cohort:
    """Read a manifest (CSV) and check everything that needs no image to be opened.

    Raises ManifestError with all problems at once: columns missing, unknown or misspelt, splits,
    duplicates, files that are not there, paths that leave the folder.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError([f"{path}: expected a CSV file, found none. Check MANIFEST."])
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, comment="#")
    except (ValueError, UnicodeDecodeError) as error:
        raise ManifestError([f"{path}: expected a CSV table, found: {error}"]) from error
    table.columns = [c.strip() for c in table.columns]
    table = table.apply(lambda column: column.str.strip())
    problems = _column_problems(path, list(table.columns))
    if problems:
        raise ManifestError(problems)
    further = tuple(c for c in table.columns if c in FURTHER_MODALITIES)
    modalities = ("T1w", "T2w", *further)
    if table.empty:
        raise ManifestError([f"{path}: expected one row per patient, found none."])
    problems = _split_problems(path, table) + _row_problems(path, table, modalities, allow_outside)
    if problems:
        raise ManifestError(problems)
    return Cohort(path, table, modalities)


def _patient_problems(cohort: Cohort, subject: str) -> list[str]:
    row = cohort.table.index[cohort.table["subject"] == subject][0] + 2
    where = f"{cohort.path}, row {row} ({subject})"
    images, problems = {}, []
    for column in cohort.image_columns:
        if not cohort.value(subject, column):
            continue
        try:
            images[column] = read_image(cohort.file(subject, column))
        except ImageError as error:
            problems.append(f"{where}, column {column}: {error}")
    for modality in cohort.modalities:
        if modality in images:
            low, high = sitk.MinimumMaximum(images[modality])
            if low == high:
                problems.append(
                    f"{where}, column {modality}: expected an image, found the constant {low:g}."
                )
    if "T2w" in images:
        problems += [
            f"{where}: {m} and T2w do not overlap in space; are they of the same patient and "
            "session? Check their orientation and origin."
            for m in cohort.modalities
            if m != "T2w" and m in images
            and overlap_fraction(images[m], images["T2w"]) < SMALLEST_OVERLAP
        ]
    if "gtv" in images:
        gtv = images["gtv"]
        values = np.unique(sitk.GetArrayViewFromImage(gtv))
        space = cohort.value(subject, "gtv_space", "T2w")
        if not (values > 0).any():
            problems.append(
                f"{where}, column gtv: expected a tumour contour, found an empty mask. Remove the "
                "patient or supply the contour."
            )
        elif space in images and not _inside(gtv, images[space]):
            problems.append(
                f"{where}, column gtv: the tumour lies outside the {space} volume; check gtv_space "
                f"(now {space}) and the mask's geometry."
            )
    return problems


def _inside(gtv: sitk.Image, grid: sitk.Image) -> bool:
    mask = resample(sitk.Cast(gtv > 0, sitk.sitkUInt8), grid, nearest=True)
    return bool(sitk.GetArrayViewFromImage(mask).any())


def check_images(cohort: Cohort) -> None:
    """Open every file of a cohort and check it; raises ManifestError with all problems at once.

    Phantom rows are skipped: their files are made on demand.
    """
    problems: list[str] = []
    for subject in cohort.table["subject"]:
        if not cohort.value(subject, "phantom_seed"):
            problems += _patient_problems(cohort, subject)
    if problems:
        raise ManifestError(problems)


def write_manifest(table: pd.DataFrame, path: Path) -> Path:
    """Write a manifest under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    table.to_csv(temporary, index=False)
    temporary.replace(path)
    return path
