"""Where the slices of a DICOM series lie: their positions along one line, or why they do not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from pgmif_core.images.dicom.decoding import frame_count
from pgmif_core.images.formats.common import DIRECTION_DECIMALS

SAME_DIRECTION = 2e-3  # of a direction cosine: rounded headers differ by less, a localizer by far more
SPACING_TOLERANCE = 0.05  # of the spacing: irregularity that is not a missing slice
ROUNDED_MM = 0.11  # positions are often exported with one decimal


class SeriesError(ValueError):
    """A folder that does not hold one readable series: names it, what was found, what to do."""


class Plane(NamedTuple):
    """Where one slice lies: `frame` of `file`, position (mm, LPS), rescale slope and intercept."""

    file: Path
    frame: int
    position: NDArray[np.float64]
    slope: float
    intercept: float


def where(header: pydicom.Dataset) -> Path:
    """The file that a header was read from."""
    return Path(header.filename)


def _functional(header: pydicom.Dataset, frame: int, macro: str) -> pydicom.Dataset | None:
    """A functional group of an enhanced (multi-frame) image: the frame's own, or the shared one."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        sequence = header.get(groups)
        if not sequence:
            continue
        group = sequence[frame if groups.startswith("Per") else 0]
        if macro in group:
            return group[macro].value[0]
    return None


def _frame_value(header: pydicom.Dataset, frame: int, macro: str, name: str) -> Any:
    group = _functional(header, frame, macro)
    value = header.get(name) if group is None else group.get(name)
    if value is None and name not in ("RescaleSlope", "RescaleIntercept"):
        raise SeriesError(
            f"{where(header)}: expected {name}, found none. Without the position of its slices an "
            "image cannot be registered; export the original series, not a screen capture."
        )
    return value


def _planes(header: pydicom.Dataset) -> list[tuple[Plane, NDArray, NDArray]]:
    """Every frame of a file with its orientation (6,) and pixel spacing (row, column) in mm."""
    planes = []
    for frame in range(frame_count(header)):
        def value(macro: str, name: str, frame: int = frame) -> Any:
            return _frame_value(header, frame, macro, name)

        position = np.array(value("PlanePositionSequence", "ImagePositionPatient"), float)
        axes = np.array(value("PlaneOrientationSequence", "ImageOrientationPatient"), float)
        pixel = np.array(value("PixelMeasuresSequence", "PixelSpacing"), float)
        rescale = "PixelValueTransformationSequence"
        slope = float(value(rescale, "RescaleSlope") or 1)
        intercept = float(value(rescale, "RescaleIntercept") or 0)
        planes.append((Plane(where(header), frame, position, slope, intercept), axes, pixel))
    return planes


def _common_direction(
    folder: Path, found: Sequence[tuple[Plane, NDArray, NDArray]]
) -> tuple[NDArray, NDArray]:
    """Direction cosines (3, 3) and pixel spacing of parallel planes; SeriesError where they are not."""
    axes, pixel = np.mean([own for _, own, _ in found], axis=0), found[0][2]
    for plane, own_axes, own_pixel in found:
        apart = max(np.abs(own_axes - found[0][1]).max(), np.abs(own_axes - axes).max())
        if apart > SAME_DIRECTION or not np.allclose(own_pixel, pixel, rtol=1e-3):
            raise SeriesError(
                f"{folder}: expected parallel slices of one pixel size, found two kinds "
                f"({found[0][0].file.name}, {plane.file.name}). A localizer or a reformatted series "
                "may be among them; move it to another folder."
            )
    if not abs(axes[:3] @ axes[3:]) < 0.01 or not np.isfinite(axes).all() or not (pixel > 0).all():
        raise SeriesError(
            f"{folder}: expected rows at right angles to columns and pixels of some size, found "
            f"orientation {np.round(axes, 3).tolist()}, pixels {pixel.tolist()}. Export the series "
            "again."
        )
    row = axes[:3] / np.linalg.norm(axes[:3])
    column = axes[3:] - (axes[3:] @ row) * row
    column /= np.linalg.norm(column)
    direction = np.stack([row, column, np.cross(row, column)], axis=1)
    return np.round(direction, DIRECTION_DECIMALS), pixel


def sorted_positions(
    path: Path, header: pydicom.Dataset
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Heights of a file's frames along their normal, direction, pixel spacing, and the lowest corner."""
    found = _planes(header)
    direction, pixel = _common_direction(path, found)
    positions = np.array([plane.position for plane, _, _ in found])
    heights = positions @ direction[:, 2]
    return heights, direction, pixel, positions[heights.argmin()]


def sorted_planes(
    folder: Path, headers: Sequence[pydicom.Dataset]
) -> tuple[list[Plane], NDArray, NDArray, NDArray]:
    """Planes along the normal, the direction cosines (3, 3), pixel spacing, and their step (mm)."""
    found = [plane for header in headers for plane in _planes(header)]
    direction, pixel = _common_direction(folder, found)
    normal = direction[:, 2]
    planes = sorted((p for p, _, _ in found), key=lambda p: float(p.position @ normal))
    heights = np.array([p.position @ normal for p in planes])
    _check_heights(folder, planes, heights)
    step = np.array([0.0, 0.0, 1.0])
    if len(planes) > 1:
        step = (planes[-1].position - planes[0].position) / (len(planes) - 1)
        _check_line(folder, planes, step, float(min(pixel)))
    return planes, direction, pixel, step


def _check_heights(folder: Path, planes: Sequence[Plane], heights: NDArray) -> None:
    if len(planes) < 2:
        return
    steps = np.diff(heights)
    typical = float(np.median(steps))
    tolerance = max(SPACING_TOLERANCE * typical, min(ROUNDED_MM, 0.3 * typical))
    same = np.flatnonzero(steps < max(1e-3, SPACING_TOLERANCE * typical))
    if len(same):
        where = ", ".join(
            f"{heights[k]:.2f} mm ({planes[k].file.name}, {planes[k + 1].file.name})" for k in same[:5]
        )
        raise SeriesError(
            f"{folder}: expected one slice per position, found {len(same)} positions taken twice: "
            f"{where}. The folder may hold copies, or several echoes or time points; keep one of each."
        )
    gaps = np.flatnonzero(np.abs(steps - typical) > tolerance)
    if len(gaps):
        where = ", ".join(
            f"between {heights[k]:.2f} and {heights[k + 1]:.2f} mm ({planes[k].file.name}, "
            f"{planes[k + 1].file.name})" for k in gaps[:5]
        )
        raise SeriesError(
            f"{folder}: expected slices every {typical:.2f} mm, found another distance {where}. "
            "A slice is missing or belongs elsewhere; export the series again."
        )


def _check_line(folder: Path, planes: Sequence[Plane], step: NDArray, pixel: float) -> None:
    """Slices must start along one line: otherwise two stacks were mixed, or one slice is displaced."""
    line = planes[0].position + np.arange(len(planes))[:, None] * step
    away = np.linalg.norm(np.array([p.position for p in planes]) - line, axis=1)
    allowed = max(0.5 * pixel, SPACING_TOLERANCE * float(np.linalg.norm(step)))
    if away.max() > allowed:
        raise SeriesError(
            f"{folder}: expected slices that start along one line, found "
            f"{planes[int(away.argmax())].file.name} {away.max():.1f} mm beside it. Two stations or "
            "stacks may share the series; put each in a folder of its own."
        )
