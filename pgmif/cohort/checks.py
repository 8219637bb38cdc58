"""What can be wrong with a manifest before any image is opened; each problem says what to do."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pgmif_core.images.modalities import FURTHER_MODALITIES, PHANTOM_MODALITIES

REQUIRED = ("subject", "split", "T1w", "T2w", "gtv", "source", "license")
OPTIONAL = ("gtv_space", "gtv_roi", "gtv_label", "reference", "phantom_seed")
SPLITS = ("train", "test")
MOST_SHOWN = 100  # problems in one message
MOST_COLUMNS, MOST_ROWS = 100, 20_000
LONGEST_NAME = 100  # letters of a subject: it becomes part of file names


class ManifestError(ValueError):
    """A manifest that cannot be used; lists every problem found, each with what to do."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(problems)
        count = len(self.problems)
        title = f"{count} problem{'s' * (count > 1)} in the cohort manifest; nothing was started:"
        more = [f"  … and {count - MOST_SHOWN} more"] if count > MOST_SHOWN else []
        super().__init__("\n".join([title, *(f"  - {p}" for p in self.problems[:MOST_SHOWN]), *more]))


def column_problems(path: Path, columns: list[str]) -> list[str]:
    """Unknown, missing, misspelt and repeated columns."""
    if len(columns) > MOST_COLUMNS:
        return [f"{path}, header: expected at most {MOST_COLUMNS} columns, found {len(columns)}; is "
                "it a manifest?"]
    known = (*REQUIRED, *OPTIONAL, *FURTHER_MODALITIES)
    missing = [c for c in REQUIRED if c not in columns]
    problems = []
    for column in dict.fromkeys(columns):
        if column in known:
            continue
        lower = {name.lower(): name for name in (*known, *missing)}
        guess = difflib.get_close_matches(column.lower(), lower, 1, cutoff=0.6)
        hint = f"did you mean {lower[guess[0]]!r}?" if guess else f"known columns: {', '.join(known)}."
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


def length_problems(path: Path, header: list[str], rows: list[list[str]]) -> list[str]:
    """Rows whose length is not the header's, most often an unquoted comma; far too many rows."""
    if len(rows) > MOST_ROWS:
        return [f"{path}: expected at most {MOST_ROWS} patients, found {len(rows)} rows; is it a "
                "manifest?"]
    return [
        f"{path}, row {number}: expected {len(header)} entries, found {len(row)}; put an entry "
        "that holds a comma in quotes."
        for number, row in enumerate(rows, start=2)
        if any(row) and len(row) != len(header)
    ]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, RuntimeError, ValueError):  # a name too long, a link to itself
        return False


def _path_problems(
    where: str, row: pd.Series, folder: Path, modalities: tuple[str, ...], allow_outside: bool
) -> list[str]:
    problems = []
    for column in (*modalities, "gtv", "reference"):
        if column == "reference" and not row.get(column, ""):
            continue
        if not row[column]:
            problems.append(f"{where}, column {column}: expected a path, found nothing.")
            continue
        if "\0" in row[column] or not row[column].isprintable():
            problems.append(f"{where}, column {column}: expected a path of letters that can be printed, "
                            f"found {row[column][:80]!r}.")
            continue
        target = Path(os.path.normpath(folder / row[column]))
        if not allow_outside and not target.is_relative_to(folder):
            problems.append(
                f"{where}, column {column}: {row[column]!r} leaves the manifest's folder; move "
                "the data or the manifest, or pass --allow-outside if you trust this file."
            )
        elif not row.get("phantom_seed", "") and not _exists(target):
            problems.append(
                f"{where}, column {column}: expected a file, found none at {target}. "
                "Paths are relative to the manifest."
            )
    return problems


def row_problems(
    path: Path, table: pd.DataFrame, modalities: tuple[str, ...], allow_outside: bool
) -> list[str]:
    """What is wrong in single rows: names, splits, seeds, paths."""
    problems = []
    # not resolved: a linked manifest lies where its link lies
    folder = Path(os.path.abspath(path)).parent
    phantom = table["phantom_seed"] if "phantom_seed" in table else pd.Series("", table.index)
    for index, row in table.iterrows():
        where = f"{path}, row {index + 2} ({row['subject'] or 'no subject'})"
        if not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}", row["subject"]):
            problems.append(
                f"{where}, column subject: expected letters, digits, '-' or '_', at most "
                f"{LONGEST_NAME}, "
                f"found {row['subject'][:80]!r}; rename the subject."
            )
        if row["split"] not in SPLITS:
            problems.append(
                f"{where}, column split: expected 'train' or 'test', found {row['split']!r}."
            )
        chosen = [c for c in ("gtv_roi", "gtv_label") if row.get(c, "")]
        if len(chosen) > 1:
            problems.append(
                f"{where}: expected gtv_roi (a name) or gtv_label (a number), found both; keep one."
            )
        space = row.get("gtv_space", "")
        if space and space not in modalities:
            problems.append(
                f"{where}, column gtv_space: expected one of {', '.join(modalities)} or nothing, "
                f"found {space!r}; name the modality that the GTV was drawn on."
            )
        if phantom[index] and not re.fullmatch("[0-9]+", phantom[index]):
            problems.append(
                f"{where}, column phantom_seed: expected a whole number, found {phantom[index]!r}."
            )
        unmade = [m for m in modalities if phantom[index] and m not in PHANTOM_MODALITIES]
        if unmade:
            problems.append(
                f"{where}: expected of a phantom {', '.join(PHANTOM_MODALITIES)}, found "
                f"{', '.join(unmade)}; remove the column."
            )
        problems += _path_problems(where, row, folder, modalities, allow_outside)
    return problems


def split_problems(path: Path, table: pd.DataFrame) -> list[str]:
    """Patients in both splits or twice in one; splits without a patient."""
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


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # such a path is refused elsewhere
        return path


def sharing_problems(path: Path, table: pd.DataFrame, modalities: tuple[str, ...]) -> list[str]:
    """Files named twice, by two patients or by one, and phantoms among real patients."""
    problems, seen = [], {}
    columns = [c for c in (*modalities, "gtv", "reference") if c in table]
    for index, row in table.iterrows():
        for column in columns:
            if not row[column]:
                continue
            target = _resolved(path.parent / row[column])
            here = (index + 2, row["subject"], column)
            earlier = seen.setdefault(target, here)
            if earlier[1] != here[1]:
                problems.append(
                    f"{path}, rows {earlier[0]}, {here[0]}: {earlier[1]} ({earlier[2]}) and "
                    f"{here[1]} ({column}) share the file {row[column]}; one patient under two "
                    "names would be trained and tested on. Keep one."
                )
            elif earlier[2] != column:
                problems.append(
                    f"{path}, row {here[0]} ({here[1]}): {earlier[2]} and {column} name the same "
                    f"file {row[column]}; expected one file each. Correct one of them."
                )
    phantoms = table["phantom_seed"].ne("") if "phantom_seed" in table else pd.Series([False])
    if phantoms.any() and not phantoms.all():
        problems.append(
            f"{path}: {int(phantoms.sum())} of {len(table)} rows are phantoms; phantoms and real "
            "patients cannot be mixed in one cohort. Use two manifests."
        )
    return problems
