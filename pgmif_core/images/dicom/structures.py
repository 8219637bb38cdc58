"""RTSTRUCT: a structure's contours as a mask on an image's grid."""

import fnmatch
import os
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.dicom.filling import ContourError, contour_planes, fill_slices
from pgmif_core.images.dicom.series import FRAME_OF_REFERENCE

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def is_rtstruct(path: str | os.PathLike) -> bool:
    """Whether a file is an RT Structure Set."""
    try:
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
        return header.get("SOPClassUID") == RTSTRUCT
    except Exception:  # no DICOM, or damaged: whoever reads it says so
        return False


def _names(structures: pydicom.Dataset) -> dict[int, str]:
    return {
        int(roi.ROINumber): str(roi.get("ROIName", ""))
        for roi in structures.get("StructureSetROISequence", [])
    }


def contour_names(path: str | os.PathLike) -> list[str]:
    """Names of the structures in an RTSTRUCT."""
    return list(_names(pydicom.dcmread(path)).values())


def _chosen(path: Path, structures: pydicom.Dataset, pattern: str) -> pydicom.Dataset:
    names = _names(structures)
    exact = [n for n, name in names.items() if name.lower() == pattern.lower()]
    numbers = exact or [
        n for n, name in names.items() if fnmatch.fnmatchcase(name.lower(), pattern.lower())
    ]
    if len(numbers) != 1:
        found = ", ".join(repr(names[n]) for n in (numbers or names)) or "none"
        which = "several" if numbers else "no such structure"
        raise ContourError(
            f"{path}: expected one structure whose name matches {pattern!r}, found {which}: {found}. "
            "Set gtv_roi to the name of the primary tumour."
        )
    for contour in structures.get("ROIContourSequence", []):
        if int(contour.ReferencedROINumber) == numbers[0] and contour.get("ContourSequence"):
            return contour
    raise ContourError(
        f"{path}: expected contours of {names[numbers[0]]!r}, found none. Draw the structure, or name "
        "another one in gtv_roi."
    )


def _check_frame(
    path: Path, structures: pydicom.Dataset, number: int, grid: sitk.Image
) -> None:
    own = {
        str(roi.ReferencedFrameOfReferenceUID)
        for roi in structures.get("StructureSetROISequence", [])
        if int(roi.ROINumber) == number and roi.get("ReferencedFrameOfReferenceUID")
    } or {
        str(f.FrameOfReferenceUID)
        for f in structures.get("ReferencedFrameOfReferenceSequence", [])
        if "FrameOfReferenceUID" in f
    }
    known = FRAME_OF_REFERENCE in grid.GetMetaDataKeys()
    image = grid.GetMetaData(FRAME_OF_REFERENCE) if known else ""
    if own and image and image not in own:
        raise ContourError(
            f"{path}: expected contours in the image's frame of reference, found those of another. "
            "They were drawn on another series or session; export the structure set of this image, "
            "or name the modality that it was drawn on in gtv_space."
        )


def _loops(contour: pydicom.Dataset) -> list[NDArray]:
    """Closed contours as (n, 3) points in mm."""
    loops = []
    for item in contour.ContourSequence:
        numbers = np.array(item.get("ContourData") or [], float)
        points = numbers[: len(numbers) // 3 * 3].reshape(-1, 3)
        kind = str(item.get("ContourGeometricType", "CLOSED_PLANAR"))
        if kind.startswith("CLOSED") and len(points) >= 3 and np.isfinite(points).all():
            loops.append(points)
    return loops


def _read_structures(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path)


def rasterise(path: str | os.PathLike, pattern: str, grid: sitk.Image) -> sitk.Image:
    """Mask (uint8) of one structure on an image's grid; `pattern` is its name, `*` for anything.

    A contour fills the slice it lies on, and slices up to half the distance to its neighbours where
    it was drawn on thicker ones. Its planes may be tilted against the grid's slices by up to 5°. A
    contour inside another is a hole, one inside a hole is tissue again; copies and overlaps of one
    plane are joined. Raises ContourError: a name that is not there or not unique (all are listed),
    another frame of reference, oblique or outside contours, a damaged file.
    """
    path = Path(path)
    try:
        structures = _read_structures(path)
        chosen = _chosen(path, structures, pattern)
        _check_frame(path, structures, int(chosen.ReferencedROINumber), grid)
        loops = _loops(chosen)
        if not loops:
            kinds = sorted({str(i.get("ContourGeometricType", "none")) for i in chosen.ContourSequence})
            raise ContourError(
                f"{path}: expected closed contours (CLOSED_PLANAR) of three or more points, found none: "
                f"{', '.join(kinds)}. Draw the structure as a volume, or name another one."
            )
        planes = contour_planes(path, loops, grid)
        mask = fill_slices(planes, grid)
    except ContourError:
        raise
    except Exception as error:  # pydicom ends in errors of many kinds where a file is damaged
        reason = " ".join(str(error).split())[:120]
        raise ContourError(
            f"{path}: expected a readable structure set, found one that is damaged or contradicts "
            f"itself ({type(error).__name__}: {reason}). Export it again."
        ) from error
    if not mask.any():
        raise ContourError(
            f"{path}: expected contours inside the image, found none of {len(loops)} there. Do the "
            "contours and the image belong to the same patient and session?"
        )
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(grid)
    return image
