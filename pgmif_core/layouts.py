"""Find patients in a folder: which file is which sequence, by the conventions of public data sets."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pgmif_core.dicom import is_rtstruct
from pgmif_core.images import DICOM_SUFFIXES, ITK_SUFFIXES, NIFTI_SUFFIXES
from pgmif_core.validation import FURTHER_MODALITIES

LAYOUTS = ("npc277", "brats", "bids")
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)
# ends of lower-case names, words joined by "_"; the first that fits counts
NAMES = (
    ("ceT1w", r"(ce_?t1w?i?|t1w?i?_?(ce|c|gd|kontrast|post))"),
    ("FLAIR", r"(flair|t2f)"),
    ("T1w", r"t1(w|wi|n)?"),
    ("T2w", r"t2(w|wi)?"),
    ("PDw", r"pdw?"),
    ("CT", r"(pl)?ct"),
    ("DWI", r"dwi"),
)
CONTOUR = r"(seg|mask|gtv\w?|roi|label|tumou?r)"
NOT_TUMOUR = r"(brain|head|skull|body|air|tissues?|aseg|wm|gm|csf|bias)"
TIME_POINT = r"(?<=\d{4})-\d{3}$|[-_](baseline|follow_?-?up\w*|visit_?-?\d+|ses-?\w+|tp?\d+)$"
NPC277 = (
    "Li et al. arXiv:2404.03253, doi:10.5281/zenodo.10900202", "CC-BY-4.0",
)
NAME_THEM = (
    "Say how the files are named, once per sequence and for the contour: "
    "--name 'T1w=*t1_tse*' --name 'T2w=*t2_tse*' --name 'gtv=*contour*'."
)


class LayoutError(ValueError):
    """A folder in which no patient is found: says what was looked for."""


class Found(NamedTuple):
    """One patient: `files` by manifest column; `notes` say what was left out of the folder and why."""

    subject: str
    files: dict[str, Path]
    notes: list[str]
    gtv_space: str = ""


def _stem(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    name = name.rsplit(".", 1)[0] if path.is_file() else name
    return re.sub(r"[^a-z0-9]+", "_", name).strip("_")


def _column(path: Path) -> str:
    """Manifest column of a file or folder by the end of its name; '' if none fits."""
    stem = _stem(path)
    if path.is_file() and path.name.lower().endswith(DICOM_SUFFIXES):
        return "gtv" if is_rtstruct(path) else ""
    if path.is_file() and not path.name.lower().endswith(IMAGE_SUFFIXES):
        return ""
    if re.search(rf"(^|_){CONTOUR}$", stem):
        return "" if re.search(rf"(^|_){NOT_TUMOUR}(_|$)", stem) else "gtv"
    return next((c for c, ending in NAMES if re.search(rf"(^|_){ending}$", stem)), "")


def _collect(
    subject: str, paths: Sequence[Path], base: Path, column_of: Callable[[Path], str] = _column
) -> Found:
    """Sort paths into columns. Of two of a sequence the first counts, of two contours none does."""
    files: dict[str, Path] = {}
    notes = []
    contours = [p for p in paths if column_of(p) == "gtv"]
    if len(contours) > 1:
        shown = ", ".join(p.relative_to(base).as_posix() for p in contours)
        notes.append(f"{shown}: several contours, none taken; leave one, or write the row by hand")
        paths = [p for p in paths if p not in contours]
    for path in sorted(paths):
        column = column_of(path)
        shown = path.relative_to(base).as_posix()
        if not column:
            notes.append(f"{shown}: no known sequence or contour by its name")
        elif column in files:
            notes.append(f"{shown}: a second {column}; {files[column].name} is taken")
        else:
            files[column] = path
    return Found(subject, files, notes)


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    return [p for p in _visible(folder) if p.is_dir()]


def scan_brats(folder: Path) -> list[Found]:
    """One folder per patient; file names end in t1, t1ce, t2, flair, seg (or t1n, t1c, t2w, t2f)."""
    patients: dict[str, Found] = {}
    for place in _folders(folder):
        person = re.sub(TIME_POINT, "", place.name, flags=re.IGNORECASE)
        if person in patients:  # two sessions of one patient must not become two patients
            patients[person].notes.append(f"{place.name}: a further session of {person}")
        else:
            patients[person] = _collect(place.name, _visible(place), folder)
    return list(patients.values())


def _npc277_root(folder: Path) -> Path:
    for root in (folder, folder / "MRI-Segments", folder / "data" / "MRI-Segments"):
        if root.is_dir() and any((p / "T2WI").is_dir() for p in _folders(root)):
            return root
    return folder


def scan_npc277(folder: Path) -> list[Found]:
    """001 … 277, each with {T1WI,T2WI,CE-T1WI}/*.dcm and ROI-{T1,T2,CE-T1}.nii (Zenodo 10900202).

    The GTV is the one drawn on T2w; where that is missing, the one on T1w or CE-T1, with its gtv_space.
    """
    patients = []
    for place in _folders(_npc277_root(folder)):
        contours = {c: place / f"ROI-{n}.nii" for c, n in
                    (("T2w", "T2"), ("T1w", "T1"), ("ceT1w", "CE-T1"))}
        contours = {c: p if p.exists() else p.with_name(p.name + ".gz") for c, p in contours.items()}
        found = _collect(place.name, [p for p in _visible(place) if p not in contours.values()], folder)
        space = next((c for c, p in contours.items() if p.exists()), "")
        if space:
            found.files["gtv"] = contours[space]
        patients.append(found._replace(gtv_space=space if space != "T2w" else ""))
    return patients


def _bids_column(path: Path) -> str:
    entities = path.name.removesuffix(".gz").rsplit(".", 1)[0].split("_")
    suffix = entities[-1]
    if suffix == "T1w" and any(e.startswith("ce-") for e in entities):
        return "ceT1w"
    if suffix in ("mask", "dseg") or re.fullmatch(CONTOUR, suffix.lower()):
        named = [e.split("-", 1)[1] for e in entities if e.startswith(("label-", "desc-"))]
        elsewhere = any(re.fullmatch(r"space-(?!T2w$).*", e) for e in entities)
        tumour = any(re.fullmatch(r"(gtv\w*|tumou?r\w*|lesion\w*|roi)", n.lower()) for n in named)
        return "gtv" if tumour and not elsewhere else ""
    return suffix if suffix in ("T1w", "T2w", *FURTHER_MODALITIES) else ""


def scan_bids(folder: Path) -> list[Found]:
    """BIDS: sub-*/[ses-*/]anat/*_{T1w,T2w,…}.nii[.gz]; tumour masks there or below derivatives/.

    The first session of a patient counts: two sessions of one patient must not become two patients.
    """
    patients = []
    for place in (p for p in _folders(folder) if p.name.startswith("sub-")):
        sessions = sorted({p.parent for p in place.rglob("anat") if p.is_dir()})
        notes = [f"{s.relative_to(folder).as_posix()}: a further session" for s in sessions[1:]]
        session = sessions[0].name if sessions and sessions[0] != place else ""
        own = sorted((sessions[0] / "anat").iterdir()) if sessions else []
        derived = sorted((folder / "derivatives").rglob(f"{place.name}_*")) \
            if (folder / "derivatives").is_dir() else []
        masks = [p for p in derived if _bids_column(p) == "gtv" and session in p.name]
        images = [p for p in [*own, *masks] if p.name.endswith(NIFTI_SUFFIXES)]
        found = _collect(place.name, images, folder, _bids_column)
        patients.append(found._replace(notes=notes + found.notes))
    return patients


def scan_named(folder: Path, patterns: Mapping[str, str]) -> list[Found]:
    """One folder per patient; `patterns` gives for each column a glob inside it, like T1w: "*t1_tse*".

    A column that several files fit is left out and noted: which one counts must be said.
    """
    patients = []
    for place in _folders(folder):
        fitting = {column: sorted(place.glob(pattern)) for column, pattern in patterns.items()}
        notes = [
            f"{', '.join(p.relative_to(folder).as_posix() for p in found)}: all fit {column}="
            f"{patterns[column]}, none taken"
            for column, found in fitting.items() if len(found) > 1
        ]
        files = {column: found[0] for column, found in fitting.items() if len(found) == 1}
        patients.append(Found(place.name, files, notes))
    return patients


def detect_layout(folder: Path) -> str:
    """'bids', 'npc277' or 'brats' (any other folder per patient), by what lies in the folder."""
    if any(p.name.startswith("sub-") and any(p.rglob("anat")) for p in _folders(folder)):
        return "bids"
    root = _npc277_root(folder)
    return "npc277" if any((p / "T2WI").is_dir() for p in _folders(root)) else "brats"


def scan_folder(
    folder: Path, layout: str = "auto", patterns: Mapping[str, str] | None = None
) -> tuple[str, list[Found]]:
    """The layout and the patients of a folder, complete or not; by `patterns` where there are any.

    Raises LayoutError if there are none.
    """
    if not folder.is_dir():
        raise LayoutError(f"{folder}: expected a folder of patients, found none. Check the path.")
    if patterns:
        layout, found = "named", scan_named(folder, patterns)
    else:
        layout = detect_layout(folder) if layout == "auto" else layout
        found = {"npc277": scan_npc277, "brats": scan_brats, "bids": scan_bids}[layout](folder)
    if not any(patient.files for patient in found):
        seen = [p.relative_to(folder).as_posix() for f in _folders(folder)[:1] for p in _visible(f)]
        raise LayoutError(
            f"{folder}: expected patients in the layout {layout}, found none "
            f"(the first folder holds {', '.join(seen[:6]) or 'nothing'}). {NAME_THEM}"
        )
    return layout, [patient for patient in found if patient.files]


def common_modalities(patients: Sequence[Found]) -> tuple[str, ...]:
    """T1w, T2w and every further modality that all patients with T1w, T2w and GTV have."""
    usable = [p for p in patients if {"T1w", "T2w", "gtv"} <= p.files.keys()]
    further = [m for m in FURTHER_MODALITIES if usable and all(m in p.files for p in usable)]
    return ("T1w", "T2w", *further)


def _origin(folder: Path) -> tuple[str, str]:
    description = folder / "dataset_description.json"
    known = json.loads(description.read_text()) if description.is_file() else {}
    return str(known.get("Name") or folder.resolve().name), str(known.get("License") or "not stated")


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
    lacking = {
        p.subject: "no " + ", ".join(c for c in needed if c not in p.files)
        for p in patients if any(c not in p.files for c in needed)
    }
    complete = [p for p in patients if p.subject not in lacking]
    if len(complete) < 2:
        raise LayoutError(
            f"{folder}: expected at least two patients with {', '.join(needed)} (one to train on, one "
            f"to test), found {len(complete)} of {len(patients)}. "
            + "; ".join(f"{s}: {why}" for s, why in list(lacking.items())[:5]) + f". {NAME_THEM}"
        )
    wanted = round(test * len(complete)) if test < 1 else int(test)
    count = min(max(1, wanted), len(complete) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(complete))[:count].tolist())
    source, licence = origin or _origin(folder)
    here = Path(os.path.abspath(output)).parent
    rows = []
    for k, patient in enumerate(complete):
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", patient.subject).strip("-")
        name = name.removeprefix("sub-")
        if rename or not name or f"sub-{name}" in {row["subject"] for row in rows}:
            name = f"{k + 1:03d}"
        row = {"subject": f"sub-{name}", "split": "test" if k in chosen else "train"}
        row |= {c: os.path.relpath(os.path.abspath(patient.files[c]), here) for c in needed}
        rows.append(row | {"gtv_space": patient.gtv_space, "source": source, "license": licence})
    table = pd.DataFrame(rows)
    return (table if table["gtv_space"].any() else table.drop(columns="gtv_space")), lacking
