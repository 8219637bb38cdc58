"""A first manifest from the patients that were found in a folder, and their split."""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from pgmif.cohort.layouts import NAME_THEM
from pgmif.cohort.sequence_names import Found, LayoutError
from pgmif_core.images.modalities import FURTHER_MODALITIES


def common_modalities(patients: Sequence[Found]) -> tuple[str, ...]:
    """T1w, T2w and every further modality that all patients with T1w, T2w and GTV have."""
    usable = [p for p in patients if {"T1w", "T2w", "gtv"} <= p.files.keys()]
    further = [m for m in FURTHER_MODALITIES if usable and all(m in p.files for p in usable)]
    return ("T1w", "T2w", *further)


def _origin(folder: Path) -> tuple[str, str]:
    """Source and licence: a BIDS description may name them, and decides nothing else."""
    known = {}
    with suppress(OSError, ValueError):
        known = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8-sig"))
    known = known if isinstance(known, dict) else {}
    named = (known.get("Name") or folder.resolve().name, known.get("License") or "not stated")
    source, licence = (" ".join(str(text).split())[:200] for text in named)
    return _no_formula(source, "'"), _no_formula(licence, "'")


def _no_formula(text: str, before: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return before + text if text[:1] in ("=", "+", "-", "@") else text


def _unwritable(patient: Found) -> str:
    """Why a patient's paths cannot stand in a manifest; '' if they can."""
    for path in patient.files.values():
        try:
            str(path).encode()
        except UnicodeEncodeError:
            return "its path has a name that is no UTF-8; rename the folder or file"
        if not str(path).isprintable():
            return "its path has a name with control characters; rename the folder or file"
    return ""


def _subject_names(patients: Sequence[Found], rename: bool) -> list[str]:
    """Names of subjects, all different: from folders, or numbers where asked for or where they clash."""
    names: list[str] = []
    for patient in patients:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", patient.subject).strip("-").removeprefix("sub-")[:90]
        names.append("" if rename else name)
    taken = {name.lower() for name in names if names.count(name) == 1}
    result, number = [], 0
    for k, name in enumerate(names):
        if name and name not in names[:k] and name.lower() not in {r.lower() for r in result}:
            result.append(name)
            continue
        number = k + 1
        while f"{number:03d}" in taken or f"{number:03d}" in result:
            number += 1
        result.append(f"{number:03d}")
    return [f"sub-{name}" for name in result]


def manifest_table(
    folder: Path, patients: Sequence[Found], modalities: Sequence[str], output: Path,
    test: float = 0.125, seed: int = 0, rename: bool = False, origin: tuple[str, str] | None = None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The manifest of the complete patients, and the others with what they lack.

    `test` below 1 is the fraction of test patients, at least one (default: the paper's 10 of 80),
    from 1 on their number; drawn by `seed` among all patients. `rename` numbers the subjects instead
    of taking folder names, which in a hospital may be names of people. Paths are relative to `output`.
    `origin`: source and license, those of a BIDS description or the folder's name if not given.
    """
    needed = (*modalities, "gtv")
    lacking = {}
    for p in patients:
        missing = [c for c in needed if c not in p.files]
        broken = [path for path in p.files.values() if path.is_symlink() and not path.exists()]
        if broken:
            lacking[p.subject] = (f"{broken[0].relative_to(folder).as_posix()} is a link to a file that "
                                  "is not there; fetch it (datalad get)")
            continue
        reason = p.refused or _unwritable(p) or (f"no {', '.join(missing)}" if missing else "")
        if reason:
            lacking[p.subject] = reason
    complete = [p for p in patients if p.subject not in lacking]
    if len(complete) < 2:
        raise LayoutError(
            f"{folder}: expected at least two patients with {', '.join(needed)} (one to train on, one "
            f"to test), found {len(complete)} of {len(patients)}. "
            + "; ".join(f"{s}: {why}" for s, why in list(lacking.items())[:5]) + f". {NAME_THEM}"
            + "".join(f"\n  skipped: {note}" for note in [n for p in patients for n in p.notes][:20])
        )
    wanted = round(test * len(complete)) if test < 1 else int(test)
    count = min(max(1, wanted), len(complete) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(complete))[:count].tolist())
    source, licence = origin or _origin(folder)
    here = Path(os.path.abspath(output)).parent
    rows = []
    for k, (name, patient) in enumerate(zip(_subject_names(complete, rename), complete, strict=True)):
        row = {"subject": name, "split": "test" if k in chosen else "train"}
        paths = {c: os.path.relpath(os.path.abspath(patient.files[c]), here) for c in needed}
        row |= {column: _no_formula(path, "./") for column, path in paths.items()}
        rows.append(row | {"gtv_space": patient.gtv_space, "source": source, "license": licence})
    table = pd.DataFrame(rows)
    return (table if table["gtv_space"].any() else table.drop(columns="gtv_space")), lacking
