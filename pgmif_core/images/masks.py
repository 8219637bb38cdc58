"""Masks read from files: one structure of possibly several, as integers, or a refusal that says why."""

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.dicom import (
    FRAME_OF_REFERENCE,
    ContourError,
    is_rtstruct,
    is_seg,
    rasterise,
    read_seg,
    seg_segments,
    series_identity,
)
from pgmif_core.images.formats import read_nrrd, refusing, segments_of, to_image
from pgmif_core.images.volumes import DICOM_SUFFIXES, PLAIN, ImageError, Trust, read_image

ANY_GTV = "GTV*"  # where no structure is named
EVERY_LABEL = "all"
NOTE = "mask-note"  # meta-data key: what was done to make a mask of the file's values
MOST_LABELS = 64  # more different whole numbers are intensities
WHOLE = 1e-3
MOST_BETWEEN = 0.2  # of the volume: a probability map of a tumour is 0 or 1 elsewhere
SAME_PLACE_VOXELS = 0.5


class Structure(NamedTuple):
    """Which structure of a file is meant: its name or pattern, or its label; '' where neither is given.

    `label` is a number, several joined by + (1+2+4), or `all`.
    """

    roi: str = ""
    label: str = ""


def structure_file(path: Path) -> Path:
    """The RTSTRUCT or SEG in a folder that holds just that, else the path itself. Raises ImageError."""
    if not path.is_dir():
        return path
    files = [p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith(".")]
    found = [p for p in files if is_rtstruct(p) or is_seg(p)]
    if len(found) > 1:
        raise ImageError(f"{path}: expected one structure set, found {len(found)}: "
                         f"{', '.join(p.name for p in found[:5])}. Name the file that holds the tumour.")
    return found[0] if found else path


def read_mask(
    path: Path, drawn_on: Callable[[], sitk.Image], roi: str = "", label: str = "",
    trust: Trust = PLAIN,
) -> sitk.Image:
    """A mask (uint8) of one structure: of an image's labels, a .seg.nrrd, a DICOM SEG or an RTSTRUCT.

    `roi` is its name or a pattern, where the file has names; `label` its number (several: 1+2+4, or
    all) in an image. A file with several structures needs the choice. Probabilities are cut at 0.5,
    which the meta-data NOTE says. `drawn_on()` is the image whose grid an RTSTRUCT is rasterised on.
    Raises ImageError: several structures and no choice, values that are intensities, all that
    `read_image` and `rasterise` refuse.
    """
    chosen = Structure("" if roi == ANY_GTV else roi, label)
    anything = roi == "*"
    with refusing(path, "a readable mask"):
        path = structure_file(Path(path))
        dicom = path.is_file() and (path.name.lower().endswith(DICOM_SUFFIXES) or not path.suffix)
        if path.is_file() and (dicom or is_rtstruct(path) or is_seg(path)):
            return _dicom_mask(path, drawn_on, chosen, trust)
        segments = [] if path.is_dir() or not path.exists() else segments_of(path)
        if segments:
            return _segment(path, segments, chosen, trust)
        if chosen.roi and not anything and not path.is_dir():
            raise ImageError(
                f"{path}: expected names of structures to choose {chosen.roi!r} from, found a file "
                "that has none. gtv_roi is for RTSTRUCT, SEG and .seg.nrrd; leave it empty, or "
                "choose by number in gtv_label."
            )
        every = EVERY_LABEL if anything else ""
        return _labelled(path, read_image(path, trust), chosen.label or every)


def _dicom_mask(
    path: Path, drawn_on: Callable[[], sitk.Image], chosen: Structure, trust: Trust
) -> sitk.Image:
    if not is_rtstruct(path) and not is_seg(path):
        return _labelled(path, read_image(path, trust), chosen.label)
    if chosen.label:
        raise ImageError(f"{path}: expected a structure chosen by its name, found gtv_label "
                         f"{chosen.label!r}. Put the name into gtv_roi.")
    try:
        if is_rtstruct(path):
            return rasterise(path, chosen.roi or ANY_GTV, drawn_on())
        segments = seg_segments(path)
        k = _named(path, [s.name for s in segments], chosen.roi)
        _check_frame(path, drawn_on())
        return read_seg(path, segments[k].number)
    except ContourError as error:
        raise ImageError(str(error)) from error


def _check_frame(path: Path, image: sitk.Image | None) -> None:
    """Raise ImageError where a SEG lies in another frame of reference than the image it is of."""
    known = image is not None and FRAME_OF_REFERENCE in image.GetMetaDataKeys()
    frames = {series_identity(path).frame, image.GetMetaData(FRAME_OF_REFERENCE) if known else ""}
    if len(frames - {""}) > 1:
        raise ImageError(f"{path}: expected a segmentation in the image's frame of reference, found one "
                         "in another: it was drawn on another series or session. Export it for this "
                         "image, or name the modality that it was drawn on in gtv_space.")


def _named(path: Path, names: Sequence[str], roi: str) -> int:
    """Which of several names is meant: the only one, or the one that is called or fits `roi`."""
    if len(names) == 1 and not roi:
        return 0
    wanted = (roi or ANY_GTV).lower()
    exact = [k for k, name in enumerate(names) if name.lower() == wanted]
    fitting = exact or [k for k, n in enumerate(names) if fnmatch.fnmatchcase(n.lower(), wanted)]
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(repr(names[k]) for k in (fitting or range(len(names)))[:20]) or "none"
    raise ImageError(
        f"{path}: expected one structure whose name matches {roi or ANY_GTV!r}, found "
        f"{'several' if fitting else 'no such structure'}: {shown}. Set gtv_roi to the "
        "name of the primary tumour."
    )


def _segment(path: Path, segments: Sequence, chosen: Structure, trust: Trust) -> sitk.Image:
    volume = read_nrrd(path, trust, layers=True)
    if chosen.label:
        return _labelled(path, to_image(path, volume._replace(voxels=volume.voxels[0])), chosen.label)
    segment = segments[_named(path, [s.name for s in segments], chosen.roi)]
    if segment.layer >= len(volume.voxels):
        raise ImageError(f"{path}: expected layer {segment.layer} of segment {segment.name!r}, found "
                         f"{len(volume.voxels)} layers. Save the segmentation again.")
    mask = volume.voxels[segment.layer] == segment.label
    return sitk.Cast(to_image(path, volume._replace(voxels=mask)), sitk.sitkUInt8)


def _labelled(path: Path, image: sitk.Image, label: str) -> sitk.Image:
    """Binary mask of an image's labels. Raises ImageError where its values are no labels."""
    values = sitk.GetArrayViewFromImage(image)
    found = np.unique(values)
    whole = np.abs(found - found.round()).max() <= WHOLE
    if found.min() < -WHOLE or (whole and len(found) > MOST_LABELS) \
            or (not whole and found.max() > 1 + WHOLE):
        raise ImageError(
            f"{path}: expected a mask (0 and whole numbers, or probabilities from 0 to 1), found values "
            f"from {found.min():g} to {found.max():g}, {len(found)} of them: intensities. Name the mask."
        )
    between = float(np.mean((values > 0.02) & (values < 0.98)))
    if not whole and between > MOST_BETWEEN and len(found) > MOST_LABELS:
        raise ImageError(
            f"{path}: expected a mask, or probabilities that are 0 almost everywhere, found values "
            f"between 0 and 1 in {between:.0%} of the volume: an image. Name the mask."
        )
    labels = [int(v) for v in found.round() if v > 0] if whole else [1]
    wanted = _wanted(path, labels, label)
    mask = np.isin(values.round(), wanted) if whole else values >= 0.5
    result = sitk.GetImageFromArray(mask.astype(np.uint8))
    result.CopyInformation(image)
    if not whole:
        cut = f"probabilities from {found.min():g} to {found.max():g} were cut at 0.5"
        result.SetMetaData(NOTE, cut)
    return result


def _wanted(path: Path, labels: Sequence[int], label: str) -> list[int]:
    if label.lower() == EVERY_LABEL or (not label and len(labels) < 2):
        return list(labels)
    shown = ", ".join(map(str, labels[:20]))
    if not label:
        raise ImageError(
            f"{path}: expected one structure, found {len(labels)} labels: {shown}. Set gtv_label "
            "to the number of the tumour, to several as 1+4, or to all."
        )
    try:
        wanted = [int(number) for number in label.split("+")]
    except ValueError as error:
        raise ImageError(f"{path}: expected gtv_label as a number, several as 1+4, or all, found "
                         f"{label!r}.") from error
    if not set(wanted) <= set(labels):
        raise ImageError(f"{path}: expected label {label}, found only {shown or 'none'}. Correct "
                         "gtv_label.")
    return wanted


def mask_note(mask: sitk.Image) -> str:
    """What `read_mask` did to make a mask of a file's values; '' if nothing."""
    return mask.GetMetaData(NOTE) if mask.HasMetaDataKey(NOTE) else ""


def displaced(mask: sitk.Image, image: sitk.Image, name: str) -> str:
    """Why a mask with an image's matrix lies elsewhere, with both affines; '' if it does not.

    Two files of one matrix belong together voxel by voxel; another affine is a mistake of saving.
    """
    if mask.GetSize() != image.GetSize():
        return ""
    apart = np.linalg.norm(_steps(mask)[1] - _steps(image)[1], axis=0).max()
    if apart <= SAME_PLACE_VOXELS * min(image.GetSpacing()):
        return ""
    size = " × ".join(map(str, mask.GetSize()))
    return (
        f"expected a mask of {name}'s matrix ({size}) in its place, found it up to {apart:.1f} mm away; "
        f"the mask's affine is\n{_shown(mask)}\nand that of {name}\n{_shown(image)}\nCopy {name}'s "
        f"affine to the mask if their voxels belong together; resample the mask onto {name} if it was "
        "reoriented and its own affine is right"
    )


def _steps(image: sitk.Image) -> tuple[NDArray, NDArray]:
    """Affine (3, 4; LPS, mm) and the places of the corner voxels (3, 8)."""
    matrix = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.column_stack([matrix, image.GetOrigin()])
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in image.GetSize()])).reshape(3, -1)
    return affine, matrix @ ends + affine[:, 3:]


def _shown(image: sitk.Image) -> str:
    return np.array2string(_steps(image)[0], precision=3, suppress_small=True)
