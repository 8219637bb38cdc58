"""A folder with one DICOM series → one volume with geometry. Headers: pydicom; pixels: GDCM."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

FRAME_OF_REFERENCE = "frame-of-reference"  # meta-data key of volumes; written to no file
OTHER_FILES = {"DICOMDIR", "LICENSE", "LOCKFILE", "VERSION", "Thumbs.db", "desktop.ini"}
SAME_DIRECTION = 1e-4
SPACING_TOLERANCE = 0.05  # of the spacing: irregularity that is not a missing slice
ROUNDED_MM = 0.11  # positions are often exported with one decimal
SHEAR_MM = 0.05
DEFLATED = "1.2.840.10008.1.2.1.99"


class SeriesError(ValueError):
    """A folder that does not hold one readable series: names it, what was found, what to do."""


class Plane(NamedTuple):
    """Where one slice lies: `frame` of `file`, position (mm, LPS), rescale slope and intercept."""

    file: Path
    frame: int
    position: NDArray[np.float64]
    slope: float
    intercept: float


def series_headers(folder: Path) -> list[pydicom.Dataset]:
    """Headers of all images in a folder (or of one file), by file name.

    `filename` of each says where it came from. Objects without pixels (contours, reports,
    presentation states) are left out. Raises SeriesError on a file that is not DICOM.
    """
    headers = []
    files = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if p.is_file())
    for path in files:
        if path.name.startswith(".") or path.name in OTHER_FILES:
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError, ValueError) as error:
            raise SeriesError(
                f"{path}: expected a DICOM file, found {type(error).__name__}. Remove the file from "
                "the series' folder, or export the series again if it should be one of its slices."
            ) from error
        if "Rows" in header:
            headers.append(header)
        elif "Image" in pydicom.uid.UID(header.get("SOPClassUID", "Image")).name:
            raise SeriesError(
                f"{path}: expected an image, found a header without rows: the file is truncated. "
                "Copy or export the series again."
            )
    return headers


def _where(header: pydicom.Dataset) -> Path:
    return Path(header.filename)


def _one_series(folder: Path, headers: Sequence[pydicom.Dataset]) -> None:
    if not headers:
        raise SeriesError(
            f"{folder}: expected the DICOM files of one series, found no DICOM image. Name the "
            "folder that holds the slices themselves."
        )
    series: dict[str, list[pydicom.Dataset]] = {}
    for header in headers:
        series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    if len(series) > 1:
        found = "; ".join(
            f"series {h[0].get('SeriesNumber', '?')} ({len(h)} files, first {_where(h[0]).name})"
            for h in series.values()
        )
        raise SeriesError(
            f"{folder}: expected one series, found {len(series)}: {found}. Put each in a folder of "
            "its own, or let `pgmif scan` tell them apart."
        )
    for name in ("Rows", "Columns", "SamplesPerPixel"):
        values = sorted({int(h.get(name, 1)) for h in headers})
        if len(values) > 1:
            raise SeriesError(
                f"{folder}: expected slices of one size, found {name} {values}. A localizer may be "
                "among them; move it to another folder."
            )
    if int(headers[0].get("SamplesPerPixel", 1)) != 1:
        raise SeriesError(
            f"{folder}: expected one number per pixel, found colour. Export the grey-scale series."
        )


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
            f"{_where(header)}: expected {name}, found none. Without the position of its slices an "
            "image cannot be registered; export the original series, not a screen capture."
        )
    return value


def _planes(header: pydicom.Dataset) -> list[tuple[Plane, NDArray, NDArray]]:
    """Every frame of a file with its orientation (6,) and pixel spacing (row, column) in mm."""
    planes = []
    for frame in range(int(header.get("NumberOfFrames", 1) or 1)):
        def value(macro: str, name: str, frame: int = frame) -> Any:
            return _frame_value(header, frame, macro, name)

        position = np.array(value("PlanePositionSequence", "ImagePositionPatient"), float)
        axes = np.array(value("PlaneOrientationSequence", "ImageOrientationPatient"), float)
        pixel = np.array(value("PixelMeasuresSequence", "PixelSpacing"), float)
        rescale = "PixelValueTransformationSequence"
        slope = float(value(rescale, "RescaleSlope") or 1)
        intercept = float(value(rescale, "RescaleIntercept") or 0)
        planes.append((Plane(_where(header), frame, position, slope, intercept), axes, pixel))
    return planes


def _sorted_planes(
    folder: Path, headers: Sequence[pydicom.Dataset]
) -> tuple[list[Plane], NDArray, NDArray, NDArray]:
    """Planes along the normal, the direction cosines (3, 3), pixel spacing, and their step (mm)."""
    found = [plane for header in headers for plane in _planes(header)]
    axes, pixel = found[0][1], found[0][2]
    for plane, own_axes, own_pixel in found:
        if np.abs(own_axes - axes).max() > SAME_DIRECTION or not np.allclose(own_pixel, pixel):
            raise SeriesError(
                f"{folder}: expected parallel slices of one pixel size, found two kinds "
                f"({found[0][0].file.name}, {plane.file.name}). A localizer or a reformatted series "
                "may be among them; move it to another folder."
            )
    row, column = axes[:3], axes[3:]
    normal = np.cross(row, column)
    planes = sorted((p for p, _, _ in found), key=lambda p: float(p.position @ normal))
    heights = np.array([p.position @ normal for p in planes])
    _check_heights(folder, planes, heights)
    step = np.array([0.0, 0.0, 1.0])
    if len(planes) > 1:
        step = (planes[-1].position - planes[0].position) / (len(planes) - 1)
        _check_line(folder, planes, step, float(min(pixel)))
    return planes, np.stack([row, column, normal], axis=1), pixel, step


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


def _pixels(planes: Sequence[Plane]) -> NDArray[np.float32]:
    """Rescaled pixels (slices, rows, columns), in the order of the planes."""
    volumes: dict[Path, NDArray] = {}
    first = {p.file: p for p in reversed(planes) if p.frame == 0}
    slices = []
    for plane in planes:
        if plane.file not in volumes:
            try:
                image = sitk.ReadImage(os.fspath(plane.file), sitk.sitkFloat32)
            except RuntimeError as error:
                raise SeriesError(
                    f"{plane.file}: expected pixels that can be decoded, found none: the file is "
                    "truncated or damaged. Export the series again."
                ) from error
            array = sitk.GetArrayFromImage(image)
            volumes[plane.file] = array if array.ndim == 3 else array[None]
        pixels = volumes[plane.file][plane.frame]
        own = first.get(plane.file, plane)  # GDCM rescales all frames of a file like its first
        if (own.slope, own.intercept) != (plane.slope, plane.intercept):
            pixels = (pixels - own.intercept) / own.slope * plane.slope + plane.intercept
        slices.append(pixels)
    return np.stack(slices).astype(np.float32)


def _complete(headers: Sequence[pydicom.Dataset]) -> None:
    """Refuse uncompressed files that end before their pixels do: GDCM would fill in."""
    for header in headers:
        syntax = header.file_meta.get("TransferSyntaxUID")
        if syntax is None or syntax.is_private or syntax == DEFLATED or syntax.is_compressed:
            continue
        needed = (
            int(header.Rows) * int(header.Columns) * int(header.get("BitsAllocated", 16)) // 8
            * int(header.get("NumberOfFrames", 1) or 1)
        )
        found = _where(header).stat().st_size
        if found < needed:
            raise SeriesError(
                f"{_where(header)}: expected {needed} bytes of pixels, found a file of {found}: it is "
                "truncated. Copy or export the series again."
            )


def read_series(folder: str | os.PathLike) -> sitk.Image:
    """The series in a folder as one float32 volume (LPS, mm): sorted, rescaled, oblique as it is.

    `folder` may also be the one file of a multi-frame image. Classic (one file per slice) and
    enhanced multi-frame images, compressed or not. A tilted gantry is undone by in-plane resampling
    onto an orthogonal grid. The volume carries the frame of
    reference as meta-data `FRAME_OF_REFERENCE`, and nothing else of the header. Raises SeriesError:
    files that are not DICOM or are truncated, two series, slices missing, doubled or not parallel.
    """
    folder = Path(folder)
    try:
        return _read_series(folder)
    except SeriesError:
        raise
    except (IndexError, TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:
        raise SeriesError(
            f"{folder}: expected complete DICOM headers, found some that contradict themselves "
            f"({type(error).__name__}). Export the series again."
        ) from error


def _read_series(folder: Path) -> sitk.Image:
    headers = series_headers(folder)
    _one_series(folder, headers)
    _complete(headers)
    planes, direction, pixel, step = _sorted_planes(folder, headers)
    image = sitk.GetImageFromArray(_pixels(planes))
    along = float(step @ direction[:, 2])
    if len(planes) == 1:
        along = float(headers[0].get("SliceThickness", 1) or 1)
    image.SetSpacing([float(pixel[1]), float(pixel[0]), along])
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(planes[0].position.tolist())
    shear = step - along * direction[:, 2]
    if len(planes) > 1 and np.linalg.norm(shear) * (len(planes) - 1) > SHEAR_MM:
        image = _without_tilt(image, shear)
    image.SetMetaData(FRAME_OF_REFERENCE, str(headers[0].get("FrameOfReferenceUID", "")))
    return image


def _without_tilt(image: sitk.Image, shear: NDArray) -> sitk.Image:
    """Resample slices that each start `shear` mm (in their plane) further onto an upright grid."""
    direction = np.array(image.GetDirection()).reshape(3, 3)
    total = direction.T @ shear * (image.GetSize()[2] - 1)
    margins = np.ceil(np.abs(total[:2]) / np.array(image.GetSpacing()[:2])).astype(int)
    before = [int(m) if t < 0 else 0 for m, t in zip(margins, total, strict=False)]
    after = [int(m) if t > 0 else 0 for m, t in zip(margins, total, strict=False)]
    low = float(sitk.GetArrayViewFromImage(image).min())
    grid = sitk.ConstantPad(image, [*before, 0], [*after, 0], low)
    shift = sitk.AffineTransform(3)
    shift.SetCenter(image.GetOrigin())
    slope = np.outer(shear, direction[:, 2]) / image.GetSpacing()[2]
    shift.SetMatrix((np.eye(3) - slope).ravel().tolist())
    return sitk.Resample(image, grid, shift, sitk.sitkLinear, low)
