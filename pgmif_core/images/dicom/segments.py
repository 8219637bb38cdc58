"""DICOM SEG: one of its segments as a mask; frames without tissue are not stored, and are empty."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import SimpleITK as sitk

from pgmif_core.images.dicom.decoding import DecodingError, stored_pixels
from pgmif_core.images.dicom.filling import ContourError
from pgmif_core.images.dicom.planes import sorted_positions

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
MOST_SLICES = 2000
ON_A_SLICE = 0.05  # of the distance of slices: a frame lies on one of them


class DicomSegment(NamedTuple):
    """A segment of a SEG: its number in the file, and its label."""

    number: int
    name: str


def is_seg(path: str | os.PathLike) -> bool:
    """Whether a file is a DICOM segmentation."""
    try:
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
        return header.get("SOPClassUID") == SEG
    except Exception:  # no DICOM, or damaged: whoever reads it says so
        return False


def seg_segments(path: Path) -> list[DicomSegment]:
    """The segments of a SEG. Raises ContourError where the file is damaged."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return [DicomSegment(int(s.SegmentNumber), str(s.get("SegmentLabel", "")))
                for s in header.get("SegmentSequence", [])]
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ContourError:
    reason = " ".join(str(error).split())[:120]
    return ContourError(f"{path}: expected a readable DICOM SEG, found one that is damaged or "
                        "contradicts "
                        f"itself ({type(error).__name__}: {reason}). Export it again.")


def read_seg(path: Path, number: int) -> sitk.Image:
    """Mask (uint8) of one segment on the slices of its own file. Fractions are cut at one half."""
    try:
        return _read_seg(path, number)
    except (ContourError, DecodingError) as error:
        raise ContourError(str(error)) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _read_seg(path: Path, number: int) -> sitk.Image:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    pixels = stored_pixels(path)
    heights, direction, pixel, corner = sorted_positions(path, header)
    step = _step(header, heights)
    index = (heights - heights.min()) / step
    if np.abs(index - index.round()).max() > ON_A_SLICE or index.max() >= MOST_SLICES:
        raise ContourError(
            f"{path}: expected frames every {step:.2f} mm, found some between them; the file is "
            "damaged. Export it again."
        )
    own = [int(f.SegmentIdentificationSequence[0].ReferencedSegmentNumber) if
           "SegmentIdentificationSequence" in f else number
           for f in header.PerFrameFunctionalGroupsSequence]
    most = float(header.get("MaximumFractionalValue", 1) or 1) \
        if header.get("SegmentationType") == "FRACTIONAL" else 1.0
    mask = np.zeros((int(index.max().round()) + 1, *pixels.shape[1:]), np.uint8)
    for frame, place, segment in zip(pixels, index.round().astype(int), own, strict=True):
        if segment == number:
            mask[place] |= (frame / most >= 0.5).astype(np.uint8)
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing([float(pixel[1]), float(pixel[0]), step])
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(corner.tolist())
    return image


def _step(header: pydicom.Dataset, heights: np.ndarray) -> float:
    """Distance of slices: what the file says, where all frames lie on such slices (empty ones are not
    stored, so that the least distance of two says little); else that."""
    steps = np.diff(np.unique(heights.round(3)))
    for said in _said_steps(header):
        parts = steps / said
        if not len(steps) or np.abs(parts - parts.round()).max() <= ON_A_SLICE:
            return said
    return float(steps.min()) if len(steps) else 1.0


def _said_steps(header: pydicom.Dataset) -> Iterator[float]:
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(groups, []):
            for measures in group.get("PixelMeasuresSequence", []):
                for name in ("SpacingBetweenSlices", "SliceThickness"):
                    if float(measures.get(name) or 0) > 0:
                        yield float(measures.get(name))
