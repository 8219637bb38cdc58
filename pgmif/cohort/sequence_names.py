"""Which sequence, or contour, a file is by its name; and what of a folder belongs to one patient."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pgmif_core.images.dicom import is_rtstruct, is_seg
from pgmif_core.images.formats import NIFTI_SUFFIXES
from pgmif_core.images.volumes import DICOM_SUFFIXES, ITK_SUFFIXES

IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)
CONTRAST = r"(gd|gad|kontrast|km|contrast|enhanced|post(_?contrast|_?gd|_?kontrast|_?km)?)"
AGENT = rf"(ce|c|{CONTRAST})"  # beside t1; of these words the longer ones count anywhere in a name
DARK_FLUID, NO_T2 = r"(flair|dark_?fluid|tirm)", r"(swi|dwi|adc)"
TUMOUR = r"(^|_)(gtv\w?|tumou?rs?|lesions?|gliomas?|carcinoma|npc)(_|$)"
NATIVE = r"(pre(_?contrast|_?gd|_?kontrast|_?km)?|native?|nativ|plain|non_?contrast)"
# ends of lower-case names, words joined by "_"; the first that fits counts
NAMES = (
    ("T1w", rf"({NATIVE}_?t1w?i?|t1w?i?_?{NATIVE})"),
    ("ceT1w", rf"({AGENT}_?t1w?i?|t1w?i?_?{AGENT})"),
    ("FLAIR", r"(flair|t2f)"),
    ("T1w", r"t1(w|wi|n)?"),
    ("T2w", r"t2(w|wi)?"),
    ("PDw", r"pdw?"),
    ("CT", r"(pl)?ct"),
    ("DWI", r"dwi"),
)
CONTOUR = r"(seg|mask|gtv\w?|roi|label|tumou?r)"
ORGAN = (
    r"(brain|(hd_?)?bet2?|head|skull(_?strip(ped)?)?|body|air|tissues?|aseg|aparc|wm|gm|csf|bias|synthstrip"
    r"|parotids?|eyes?|lens|brain_?stem|cord|fov)"
)
NO_TUMOUR = rf"(^|_){ORGAN}_?(mask|seg|label|roi)?(_|$)"


class LayoutError(ValueError):
    """A folder in which no patient is found: says what was looked for."""


class Found(NamedTuple):
    """One patient: `files` by manifest column; `notes` say what was left out of the folder and why;
    `refused` why the patient cannot be used, if so."""

    subject: str
    files: dict[str, Path]
    notes: list[str]
    gtv_space: str = ""
    refused: str = ""


def stem_of(path: Path) -> str:
    """A name in lower case without its suffix, words joined by "_"."""
    name = path.name.lower().removesuffix(".gz")
    name = name if path.is_dir() else name.rsplit(".", 1)[0]
    return re.sub(r"[^a-z0-9]+", "_", name).strip("_")


def is_organ(path: Path) -> bool:
    """Whether a mask's name says that it is the mask of a brain, a head or an organ, no tumour's."""
    stem = stem_of(path)
    return re.search(NO_TUMOUR, stem) is not None and not re.search(TUMOUR, stem)


def column_of(path: Path) -> str:
    """Manifest column of a file or folder by the end of its name; '' if none fits."""
    stem = stem_of(path)
    if path.is_file() and path.name.lower().endswith(DICOM_SUFFIXES):
        return "gtv" if is_rtstruct(path) or is_seg(path) else ""
    if not path.is_dir() and not path.name.lower().endswith(IMAGE_SUFFIXES):
        return ""
    if re.search(rf"(^|_){CONTOUR}(_|$)", stem):  # of brain_mask_t2, too: no image of a sequence
        ends = re.search(rf"(^|_){CONTOUR}(_(on|in))?(_?({'|'.join(e for _, e in NAMES)}))?$", stem)
        return "gtv" if ends and not is_organ(path) else ""

    def word(pattern: str) -> bool:
        return re.search(rf"(^|_){pattern}(_|$)", stem) is not None

    found = next((c for c, ending in NAMES if re.search(rf"(^|_){ending}$", stem)), "")
    if found == "T2w" and word(DARK_FLUID):
        return "FLAIR"
    if found == "T2w" and word(NO_T2):
        return ""
    return "ceT1w" if found == "T1w" and not word(NATIVE) and word(CONTRAST) else found


def collect(
    subject: str, paths: Sequence[Path], base: Path, column: Callable[[Path], str] = column_of
) -> Found:
    """Sort paths into columns. Of two of a sequence the first counts, of two contours none does.

    A T1w that says it was taken before contrast medium counts before one that does not say.
    """
    files: dict[str, Path] = {}
    notes = []
    contours = [p for p in paths if column(p) == "gtv"]
    if len(contours) > 1:
        shown = ", ".join(p.relative_to(base).as_posix() for p in contours)
        notes.append(f"{shown}: several contours, none taken; leave one, or write the row by hand")
        paths = [p for p in paths if p not in contours]
    for path in sorted(paths, key=lambda p: not re.search(NATIVE, stem_of(p))):  # stable
        found = column(path)
        shown = path.relative_to(base).as_posix()
        if not found:
            why = "the mask of an organ, no tumour" if is_organ(path) else \
                "no known sequence or contour by its name"
            notes.append(f"{shown}: {why}")
        elif found in files:
            notes.append(f"{shown}: a second {found}; {files[found].name} is taken")
        else:
            files[found] = path
    return Found(subject, files, notes)
