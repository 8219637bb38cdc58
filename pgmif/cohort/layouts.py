"""Find patients in a folder: which file is which sequence, by the conventions of public data sets."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgmif.cohort.sequence_names import CONTOUR, CONTRAST, Found, LayoutError, collect, is_organ
from pgmif_core.images.dicom import series_identity
from pgmif_core.images.formats import NIFTI_SUFFIXES
from pgmif_core.images.modalities import FURTHER_MODALITIES

LAYOUTS = ("npc277", "brats", "bids")
# of one patient: BraTS (…-00005-001), or words for a visit; names that are years and numbers are whole
TIME_POINT = (
    r"(?<=[A-Za-z]-\d{5})(-\d{3}|_\d{2})$|[-_](baseline|follow_?-?up\w*|(visit|study|time|scan|week|month|"
    r"day)[-_]?\d+|(pre|post)[-_]?op\w*|ses-?\w+|tp\d+|t\d+)$"
)
NPC277 = (
    "Li et al. arXiv:2404.03253, doi:10.5281/zenodo.10900202", "CC-BY-4.0",
)
OWN_FILES = {"data_manifest.csv", "dataset_description.json", "participants.tsv", "participants.json",
             "derivatives", "README", "README.md", "CHANGES", "LICENSE"}
NAME_THEM = (
    "Say how the files are named, once per sequence and for the contour: "
    "--name 'T1w=*t1_tse*' --name 'T2w=*t2_tse*' --name 'gtv=*contour*'."
)


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _subjects(folder: Path) -> list[Path]:
    """The folders of a BIDS tree that are of a patient."""
    return [p for p in _folders(folder) if p.name.startswith("sub-")]


def _folders(folder: Path) -> list[Path]:
    return [p for p in _visible(folder) if p.is_dir()]


def scan_brats(folder: Path) -> list[Found]:
    """One folder per patient; file names end in t1, t1ce, t2, flair, seg (or t1n, t1c, t2w, t2f)."""
    patients: dict[str, Found] = {}
    # of two, the one before surgery
    for place in sorted(_folders(folder), key=lambda p: "post" in p.name.lower()):
        person = re.sub(TIME_POINT, "", place.name, flags=re.IGNORECASE)
        if person in patients:  # two sessions of one patient must not become two patients
            patients[person].notes.append(f"{place.name}: a further session of {person}")
        else:
            patients[person] = collect(place.name, _visible(place), folder)
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
        found = collect(place.name, [p for p in _visible(place) if p not in contours.values()], folder)
        space = next((c for c, p in contours.items() if p.exists()), "")
        if space:
            found.files["gtv"] = contours[space]
        patients.append(found._replace(gtv_space=space if space != "T2w" else ""))
    return patients


def _entities(path: Path) -> tuple[dict[str, str], str]:
    """Entities of a BIDS name (`ses-01` → ses: 01) and its suffix."""
    *parts, suffix = re.sub(r"\.nii(\.gz)?$", "", path.name).split("_")
    pairs = (part.partition("-") for part in parts)
    return {key: value for key, separator, value in pairs if separator}, suffix


def _bids_column(path: Path) -> str:
    entities, suffix = _entities(path)
    if suffix == "T1w" and ("ce" in entities or re.fullmatch(CONTRAST, entities.get("acq", "").lower())):
        return "ceT1w"
    if suffix in ("mask", "dseg") or re.fullmatch(CONTOUR, suffix.lower()):
        named = [entities[key].lower() for key in ("label", "desc") if key in entities]
        elsewhere = entities.get("space", "T2w") != "T2w"
        tumour = any(re.fullmatch(r"(gtv\w*|tumou?r\w*|lesion\w*|roi)", name) for name in named)
        return "gtv" if tumour and not elsewhere else ""
    return suffix if suffix in ("T1w", "T2w", *FURTHER_MODALITIES) else ""


def _bids_session(place: Path, session: Path, masks: Sequence[Path], base: Path) -> Found:
    """One session of a patient: its images, and the masks that are of this session."""
    name = "" if session == place else session.name.removeprefix("ses-")
    own, other = [], []
    for mask in masks:
        of = _entities(mask)[0].get("ses", "")
        (own if of == name else other).append(mask)
    runs = {_entities(mask)[0]["run"] for mask in own if "run" in _entities(mask)[0]}
    images = [p for p in sorted((session / "anat").iterdir()) if not p.is_dir() and p.suffix != ".json"]
    if len(runs) == 1:  # a mask belongs to the images of its own run
        images.sort(key=lambda p: _entities(p)[0].get("run", "") not in runs)
    found = collect(place.name, [*images, *own], base, _bids_column)
    notes = [f"{m.relative_to(base).as_posix()}: the mask of another session than {name or 'none'}"
             for m in other]
    return found._replace(notes=found.notes + notes)


def scan_bids(folder: Path) -> list[Found]:
    """BIDS: sub-*/[ses-*/]anat/*_{T1w,T2w,…}.nii[.gz]; tumour masks there or below derivatives/.

    One session of a patient counts, the first with images and tumour, or else the first: two sessions of
    one patient must not become two patients, and a mask belongs to the images of its own session.
    """
    patients, derivatives = [], folder / "derivatives"
    for place in _subjects(folder):
        sessions = sorted({p.parent for p in place.rglob("anat") if p.is_dir()})
        derived = sorted(derivatives.rglob(f"{place.name}_*")) if derivatives.is_dir() else []
        masks = [p for p in derived if p.is_file() and _is_mask(p)]
        found = [_bids_session(place, session, masks, folder) for session in sessions]
        whole = [f for f in found if {"T1w", "T2w", "gtv"} <= f.files.keys()]
        taken = (whole or found or [Found(place.name, {}, [f"{place.name}: no folder anat"])])[0]
        further = [f"{s.relative_to(folder).as_posix()}: a further session"
                   for s, other in zip(sessions, found, strict=True) if other is not taken]
        patients.append(taken._replace(notes=further + taken.notes))
    return patients


def _is_mask(path: Path) -> bool:
    suffix = _entities(path)[1]
    return path.name.endswith(NIFTI_SUFFIXES) and (
        suffix in ("mask", "dseg") or re.fullmatch(CONTOUR, suffix.lower()) is not None)


def scan_named(folder: Path, patterns: Mapping[str, str]) -> list[Found]:
    """One folder per patient; `patterns` gives for each column a glob inside it, like T1w: "*t1_tse*".

    A column that several files fit is left out and noted: which one counts must be said.
    """
    patients = []
    for column, pattern in patterns.items():
        if os.path.isabs(pattern) or ".." in Path(pattern).parts or pattern.strip("*/") == "":
            raise LayoutError(f"--name {column}={pattern}: expected a glob of files inside a patient's "
                              f"folder, like '*{column.lower()}*', found one that leads out of it.")
    for place in _folders(folder):
        fitting = {column: sorted(place.glob(pattern)) for column, pattern in patterns.items()}
        organs = [p for p in fitting.get("gtv", []) if is_organ(p)]
        if organs:
            fitting["gtv"] = [p for p in fitting["gtv"] if p not in organs]
        notes = [f"{p.relative_to(folder).as_posix()}: the mask of an organ, no tumour" for p in organs]
        notes += [
            f"{', '.join(p.relative_to(folder).as_posix() for p in found)}: all fit {column}="
            f"{patterns[column]}, none taken"
            for column, found in fitting.items() if len(found) > 1
        ]
        files = {column: found[0] for column, found in fitting.items() if len(found) == 1}
        used = {path for found in fitting.values() for path in found} | set(organs)
        around = {parent for path in used for parent in path.parents}
        notes += [f"{p.relative_to(folder).as_posix()}: fits no --name"
                  for p in _visible(place) if p not in used and p not in around]
        patients.append(Found(place.name, files, notes))
    return patients


def detect_layout(folder: Path) -> str:
    """'bids', 'npc277' or 'brats' (any other folder per patient), by what lies in the folder."""
    if any(any(p.rglob("anat")) for p in _subjects(folder)):
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
    return layout, [_of_one_person(patient) for patient in found]


def _of_one_person(patient: Found) -> Found:
    """Refused where DICOM headers name different patients in one folder."""
    named = {c: series_identity(p).patient for c, p in patient.files.items() if c != "gtv"}
    named = {column: who for column, who in named.items() if who}
    if len(set(named.values())) < 2:
        return patient
    return patient._replace(refused=f"expected {', '.join(named)} of one patient, found that their "
                                    "PatientID differs")


def unused(folder: Path, patients: Sequence[Found]) -> list[str]:
    """Notes of everything in a folder of patients that no patient took and no patient's notes name."""
    known = {path for patient in patients for path in patient.files.values()}
    around = {parent for path in known for parent in path.parents}
    noted = {name for patient in patients for note in patient.notes
             for name in note.split(":", 1)[0].split(", ")}
    names = {patient.subject for patient in patients}
    beside = _beside_anat(folder, known, noted) if detect_layout(folder) == "bids" else []
    return beside + [
        f"{path.name}: "
        f"{'a folder without images of a patient' if path.is_dir() else 'no folder of a patient'}"
        for path in _visible(folder)
        if path not in around | known and path.name not in names | OWN_FILES and path.name not in noted
    ]


def _beside_anat(folder: Path, known: set[Path], noted: set[str]) -> list[str]:
    """Of a BIDS tree: what lies beside anat/, and derivatives that nobody took."""
    files = [p for place in _subjects(folder) for p in sorted(place.rglob("*"))
             if not p.is_dir() and p.parent.name != "anat"]
    derived = sorted(p for p in (folder / "derivatives").rglob("*") if p.is_file())
    left = {path: why for paths, why in ((files, "no image of anat"),
            (derived, "no mask of a patient's tumour")) for path in paths
            if path not in known and path.name not in OWN_FILES and path.suffix != ".json"}
    named = ((path.relative_to(folder).as_posix(), why) for path, why in left.items())
    return [f"{name}: {why}" for name, why in named if name not in noted]
