"""A folder with one DICOM series → one volume with geometry. Headers: pydicom; pixels: GDCM."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.dicom.decoding import (
    DecodingError,
    compressed_pixels,
    frame_count,
    is_plain,
    stored_pixels,
)
from pgmif_core.images.dicom.planes import Plane, SeriesError, sorted_planes, where

FRAME_OF_REFERENCE = "frame-of-reference"  # meta-data key of volumes; written to no file
OTHER_FILES = {"DICOMDIR", "LICENSE", "LOCKFILE", "VERSION", "Thumbs.db", "desktop.ini"}
SHEAR_MM = 0.05


def is_of_series(path: Path) -> bool:
    """Whether a file of a folder may belong to its series: hidden ones, and those of systems, do not."""
    return not path.name.startswith(".") and path.name not in OTHER_FILES


def series_headers(folder: Path) -> list[pydicom.Dataset]:
    """Headers of all images in a folder (or of one file), by file name.

    `filename` of each says where it came from. Objects without pixels (contours, reports,
    presentation states) are left out. Raises SeriesError on a file that is not DICOM.
    """
    headers = []
    files = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if p.is_file())
    for path in files:
        if not is_of_series(path):
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception as error:  # pydicom ends in errors of many kinds where a file is damaged
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


def _one_series(folder: Path, headers: Sequence[pydicom.Dataset]) -> None:
    if not headers:
        raise SeriesError(
            f"{folder}: expected the DICOM files of one series, found no DICOM image. Name a folder of "
            "slices; a structure set (RTSTRUCT, SEG) belongs in the column gtv."
        )
    series: dict[str, list[pydicom.Dataset]] = {}
    for header in headers:
        series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    if len(series) > 1:
        found = "; ".join(
            f"series {h[0].get('SeriesNumber', '?')} ({len(h)} files, first {where(h[0]).name})"
            for h in series.values()
        )
        raise SeriesError(
            f"{folder}: expected one series, found {len(series)}: {found}. Put the files "
            "of each in a folder of their own."
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


def _pixels(planes: Sequence[Plane], headers: Sequence[pydicom.Dataset]) -> NDArray[np.float32]:
    """Rescaled pixels (slices, rows, columns), in the order of the planes; padding as dark as air."""
    own = {where(h): h for h in headers}
    packed = [file for file, header in own.items() if not is_plain(header)]
    decoded = dict(zip(packed, compressed_pixels(packed, [own[f] for f in packed]), strict=True)) \
        if packed else {}
    first = {p.file: p for p in reversed(planes) if p.frame == 0}
    slices, padded = [], []
    for plane in planes:
        if plane.file not in decoded:
            decoded[plane.file] = stored_pixels(plane.file)
        pixels = decoded[plane.file][plane.frame]
        if plane.file in packed:  # GDCM has rescaled all frames of a file like its first
            by = first.get(plane.file, plane)
            pixels = (pixels - by.intercept) / by.slope
        padded.append(_padding(own[plane.file], pixels))
        slices.append((pixels * plane.slope + plane.intercept).astype(np.float32))
    volume, outside = np.stack(slices), np.stack(padded)
    if outside.any() and not outside.all():
        volume[outside] = volume[~outside].min()
    return volume


def _padding(header: pydicom.Dataset, stored: NDArray) -> NDArray[np.bool_]:
    """Pixels that the scanner marks as not imaged: PixelPaddingValue, or a range from it."""
    value, limit = (_whole(header.get(n)) for n in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value is None:
        return np.zeros(stored.shape, bool)
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low - 0.5) & (stored <= high + 0.5)


def _whole(value: Any) -> int | None:
    return int.from_bytes(value[:2], "little", signed=True) if isinstance(value, bytes) else value


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
    except DecodingError as error:
        raise SeriesError(str(error)) from error
    except Exception as error:
        raise SeriesError(
            f"{folder}: expected complete DICOM headers, found some that contradict themselves "
            f"({type(error).__name__}). Export the series again."
        ) from error


def _read_series(folder: Path) -> sitk.Image:
    headers = series_headers(folder)
    _one_series(folder, headers)
    for header in headers:
        frame_count(header)
    planes, direction, pixel, step = sorted_planes(folder, headers)
    image = sitk.GetImageFromArray(_pixels(planes, headers))
    along = round(float(step @ direction[:, 2]), 9)
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


class Identity(NamedTuple):
    """Whose series it is, of which study and frame of reference; '' where the header does not say."""

    patient: str
    study: str
    frame: str


def series_identity(folder: str | os.PathLike) -> Identity:
    """Identity of a series by its first image, or of a structure set; of anything else, nothing. To
    compare, never to write."""
    folder = Path(folder)
    files = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else [folder]
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            if "Rows" in header or "StructureSetROISequence" in header:
                names = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")
                return Identity(*(str(header.get(name) or "").strip() for name in names))
        except Exception:  # no DICOM, or damaged: reading the series says so
            continue
    return Identity("", "", "")


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
