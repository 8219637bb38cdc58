"""RTSTRUCT: a structure's contours as a mask on an image's grid."""

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from pgmif_core.dicom.series import FRAME_OF_REFERENCE

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SUBPIXELS = 4
SAME_PLANE_MM = 0.05
THICKEST_MM = 10.0  # contours further apart than this leave the slices between them empty


class ContourError(ValueError):
    """Contours that cannot be used: names the file, what was expected, found, and to do."""


def is_rtstruct(path: str | os.PathLike) -> bool:
    """Whether a file is an RT Structure Set."""
    try:
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    except (InvalidDicomError, OSError, EOFError):
        return False
    return header.get("SOPClassUID") == RTSTRUCT


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
            "Set the manifest's gtv_roi column to the name of the primary tumour."
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


def _loops(contour: pydicom.Dataset, grid: sitk.Image) -> list[NDArray]:
    """Contours as (n, 3) continuous indices of the grid."""
    loops = []
    for item in contour.ContourSequence:
        numbers = np.array(item.get("ContourData") or [], float)
        points = numbers[: len(numbers) // 3 * 3].reshape(-1, 3)
        kind = str(item.get("ContourGeometricType", "CLOSED_PLANAR"))
        if kind.startswith("CLOSED") and len(points) >= 3:
            loops.append(np.array(
                [grid.TransformPhysicalPointToContinuousIndex(p.tolist()) for p in points]
            ))
    return loops


def _fill(loop: NDArray, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Which part of every pixel of (rows, columns) a closed polygon (n, 2: x, y) covers."""
    low = np.maximum(np.floor(loop.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(loop.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
    covered = np.zeros(shape, np.float32)
    if (high <= low).any():
        return covered
    size = (high - low) * SUBPIXELS
    x, y = ((np.arange(n) + 0.5) / SUBPIXELS - 0.5 + start for n, start in zip(size, low, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    inside = Polygon(loop, closed=False).contains_points(points).reshape(len(y), len(x))
    blocks = inside.reshape(high[1] - low[1], SUBPIXELS, high[0] - low[0], SUBPIXELS)
    covered[low[1] : high[1], low[0] : high[0]] = blocks.mean(axis=(1, 3))
    return covered


def _planes(
    loops: Sequence[NDArray], shape: tuple[int, int], same: float
) -> dict[float, NDArray[np.bool_]]:
    """Height (slice index) → filled plane; a loop inside another is a hole (even-odd rule).

    Loops less than `same` (in slices) apart lie in one plane.
    """
    planes: dict[float, NDArray[np.bool_]] = {}
    for loop in sorted(loops, key=lambda loop: float(loop[:, 2].mean())):
        height = float(loop[:, 2].mean())
        known = next((h for h in planes if abs(h - height) < same), height)
        filled = _fill(loop[:, :2], shape) >= 0.5
        planes[known] = planes[known] ^ filled if known in planes else filled
    return planes


def rasterise(path: str | os.PathLike, pattern: str, grid: sitk.Image) -> sitk.Image:
    """Mask (uint8) of one structure on an image's grid; `pattern` is its name, `*` for anything.

    A contour fills the slice it lies on, and slices up to half the distance to its neighbours where
    it was drawn on thicker ones. Contours must be parallel to the grid's slices (0.25 of their
    distance); a loop inside another is a hole. Raises ContourError: a name that is not there or not
    unique (all are listed), another frame of reference, oblique or outside contours.
    """
    path = Path(path)
    structures = pydicom.dcmread(path)
    chosen = _chosen(path, structures, pattern)
    _check_frame(path, structures, int(chosen.ReferencedROINumber), grid)
    loops = _loops(chosen, grid)
    tilt = max((float(np.ptp(loop[:, 2])) for loop in loops), default=0.0)
    if tilt > 0.5:
        raise ContourError(
            f"{path}: expected contours parallel to the image's slices, found one that crosses "
            f"{tilt:.1f} of them. Name the modality that it was drawn on in gtv_space."
        )
    columns, rows, depth = grid.GetSize()
    planes = _planes(loops, (rows, columns), SAME_PLANE_MM / grid.GetSpacing()[2])
    mask = np.zeros((depth, rows, columns), np.uint8)
    if planes:
        heights = np.array(sorted(planes))
        steps = np.diff(heights)
        # the least step: a gap between two lesions is no slice thickness
        reach = max(0.5, float(steps.min()) / 2 if len(steps) else 0.5) + 1e-3
        reach = min(reach, max(0.5, THICKEST_MM / 2 / grid.GetSpacing()[2]) + 1e-3)
        for k in range(depth):
            nearest = heights[np.abs(heights - k).argmin()]
            if abs(nearest - k) <= reach:
                mask[k] = planes[nearest]
    if not mask.any():
        raise ContourError(
            f"{path}: expected contours inside the image, found none of {len(loops)} there. Do the "
            "contours and the image belong to the same patient and session?"
        )
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(grid)
    return image
