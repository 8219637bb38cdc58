"""Volumes in and out of files with their geometry (SimpleITK images): NIfTI, NRRD, MetaImage, DICOM."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.files import replacing, write_json
from pgmif_core.images.dicom import SeriesError, is_of_series, read_series
from pgmif_core.images.formats import (
    NIFTI_SUFFIXES,
    ImageError,
    Trust,
    data_files,
    read_metaimage,
    read_nifti,
    read_nrrd,
    refusing,
    to_image,
    write_detached,
)

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])
PLAIN = Trust(assume_ras=True)  # of the core by itself
NEAR_ROUND = 0.003  # of the range: an offset is a round number this close below
NEAR_ZERO = 0.01  # of the range: closer to 0 than this, a lowest intensity is that of air
FILL_NOTE = "fill-note"  # meta-data key
FEWEST_FILLED = 50  # voxels of one value that may be a fill
FILL_AWAY = 0.3  # of the range of all others: so far from them it is
LEAST_LEFT = 0.05  # of the volume has to be image
FEWEST_GREYS = 32  # different values of an image, not of a mask
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
DICOM_SUFFIXES = (".dcm", ".ima")
WRITTEN_SUFFIXES = (*NIFTI_SUFFIXES, ".nrrd", ".mha", ".mhd")


def read_image(path: str | os.PathLike, trust: Trust = PLAIN) -> sitk.Image:
    """Read a 3-D volume as float32 with geometry (LPS, mm): NIfTI, NRRD, MetaImage, or DICOM.

    A directory is read as one DICOM series, a .dcm file as a multi-frame image. Lengths are converted
    to mm where a header has another unit.

    Raises ImageError on a missing file, a file of another type or a truncated one, a series that is
    not one, a volume that is not 3-D, two orientations that differ, none unless `trust` takes it for
    RAS (as by default), a singular or sheared affine, voxels that lie outside the header's folder, and
    NaN or infinite voxels. A fill value far from all else (-1024, 65535) becomes the nearest intensity.
    """
    path = Path(path)
    with refusing(path, "a readable image"):
        image = _read(path, trust)
        bad = np.count_nonzero(~np.isfinite(sitk.GetArrayViewFromImage(image)))
    if bad:
        raise ImageError(
            f"{path}: expected finite intensities, found {bad} NaN or infinite voxels. "
            "Replace them (0 for background) and say so in your methods."
        )
    return _without_fill(image)


def _without_fill(image: sitk.Image) -> sitk.Image:
    """The same image where many voxels have one value far from all others, as converters and resamplers
    leave it (-1024, 65535): no intensity, it becomes the lowest one, and `fill_note` says so. A
    background of 0 is none of these.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    low, high = sitk.MinimumMaximum(image)
    suspects = [v for v in {min(low, 0.0), high} if np.count_nonzero(voxels == v) >= FEWEST_FILLED]
    if suspects in ([], [0.0]):
        return image
    rest = voxels[~np.isin(voxels, suspects)]
    greys = np.unique(rest[:: max(1, len(rest) // 20_000)])
    if len(rest) < LEAST_LEFT * voxels.size or len(greys) < FEWEST_GREYS:
        return image  # a mask, or empty
    floor, top = float(rest.min()), float(rest.max())
    fills = [v for v in suspects if v and max(floor - v, v - top) > FILL_AWAY * (top - floor)]
    if not fills:
        return image
    result = with_voxels(image, np.where(np.isin(voxels, fills), np.float32(floor), voxels))
    values = " and ".join(f"{v:g}" for v in sorted(fills))
    result.SetMetaData(FILL_NOTE, f"{values}, far from all other values, was taken for no intensity")
    return result


def fill_note(image: sitk.Image) -> str:
    """What `read_image` took for no intensity; '' if nothing."""
    return image.GetMetaData(FILL_NOTE) if image.HasMetaDataKey(FILL_NOTE) else ""


def with_voxels(image: sitk.Image, voxels: NDArray) -> sitk.Image:
    """An image of other voxels (z, y, x) in the place of one, with its notes."""
    result = sitk.GetImageFromArray(np.asarray(voxels, np.float32))
    result.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        result.SetMetaData(key, image.GetMetaData(key))
    return result


def _read(path: Path, trust: Trust) -> sitk.Image:
    name = path.name.lower()
    if not path.exists():
        raise ImageError(f"{path}: expected an image, found no such file. Check the path.")
    if path.is_dir() and name.endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES)):
        raise ImageError(f"{path}: expected an image file, found a directory. Name the file in it.")
    if path.is_dir() or name.endswith(DICOM_SUFFIXES):
        try:
            return read_series(path)
        except SeriesError as error:
            raise ImageError(str(error)) from error
    if name.endswith((".nrrd", ".nhdr")):
        return to_image(path, read_nrrd(path, trust))
    if name.endswith((".mha", ".mhd")):
        return to_image(path, read_metaimage(path, trust))
    with refusing(path, "a readable NIfTI file"):
        return to_image(path, read_nifti(path, trust))


def volume_files(path: Path, trust: Trust = PLAIN) -> list[Path]:
    """The files behind a volume: itself with its voxels, or those of a DICOM series' folder.

    Raises ImageError where a header names voxels that are absent or lie elsewhere.
    """
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file() and is_of_series(p))
    return [path, *data_files(path, trust)] if path.is_file() else [path]


def _affine(image: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = LPS_FROM_RAS @ direction * np.array(image.GetSpacing())
    affine[:3, 3] = LPS_FROM_RAS @ np.array(image.GetOrigin())
    return affine


def write_image(
    image: sitk.Image, path: str | os.PathLike, sidecar: Mapping[str, Any] | None = None
) -> Path:
    """Write NIfTI or NRRD (float32, or uint8 for masks) under a temporary name, then rename.

    Only voxels and geometry are written. `sidecar` goes beside it as BIDS-style JSON.
    """
    path = Path(path)
    name = path.name.lower()
    if not name.endswith(WRITTEN_SUFFIXES):
        raise ImageError(
            f"{path}: expected a name ending in {', '.join(WRITTEN_SUFFIXES)}; a folder "
            "of DICOM files is written by pgmif_core.images.dicom.write_series."
        )
    if sidecar is not None:  # an interrupted rewrite must not describe the new volume
        sidecar_file(path).unlink(missing_ok=True)
    voxels = sitk.GetArrayFromImage(image)
    voxels = voxels.astype(np.uint8 if voxels.dtype == np.uint8 else np.float32)
    suffix = next(s for s in WRITTEN_SUFFIXES[::-1] if name.endswith(s))
    with replacing(path) as temporary:
        # the libraries know suffixes in lower case only
        lower = temporary.with_name(temporary.name[: -len(suffix)] + suffix)
        if suffix in NIFTI_SUFFIXES:
            volume = nibabel.Nifti1Image(voxels.T, _affine(image))
            volume.header.set_xyzt_units("mm")
            nibabel.save(volume, lower)
        elif suffix == ".mhd":
            write_detached(voxels, image, path, lower)
        else:
            plain = sitk.GetImageFromArray(voxels)
            plain.CopyInformation(image)
            sitk.WriteImage(plain, os.fspath(lower), useCompression=True)
        if lower != temporary:
            lower.replace(temporary)
    if sidecar is not None:
        write_json(sidecar, sidecar_file(path))
    return path


def sidecar_file(path: Path) -> Path:
    """The JSON that describes an image file, beside it."""
    stem = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return path.with_name(stem.rsplit(".", 1)[0] + ".json")


def voxel_file(path: Path) -> Path | None:
    """The file of voxels that `write_image` puts beside a .mhd header; None of other formats."""
    return path.with_suffix(".raw") if path.suffix.lower() == ".mhd" else None


def write_displacement(field: sitk.Image, path: Path) -> Path:
    """Write a displacement field (vector image, mm, LPS) as ITK writes it to NIfTI."""
    with replacing(path) as temporary:
        sitk.WriteImage(sitk.Cast(field, sitk.sitkVectorFloat32), str(temporary))
    return path


def read_displacement(path: Path) -> sitk.Image:
    """Read a displacement field written by `write_displacement` (float64 components)."""
    return sitk.ReadImage(str(path), sitk.sitkVectorFloat64)


def same_grid(first: sitk.Image, second: sitk.Image, tolerance_mm: float = 1e-2) -> bool:
    """Whether two images share their size and, to a tolerance, the place of every voxel."""
    if first.GetSize() != second.GetSize():
        return False
    return bool(np.abs(_corners(first) - _corners(second)).max() <= tolerance_mm)


def _corners(image: sitk.Image) -> np.ndarray:
    """Outer corners of a volume, (8, 3) in mm."""
    far = np.array(image.GetSize()) - 0.5
    indices = ([far[k] if bit >> k & 1 else -0.5 for k in range(3)] for bit in range(8))
    return np.array([image.TransformContinuousIndexToPhysicalPoint(i) for i in indices])


def overlap_fraction(first: sitk.Image, second: sitk.Image) -> float:
    """Shared part of the images' bounding boxes in space, as a fraction of the smaller box."""
    corners = [_corners(image) for image in (first, second)]
    (low_a, high_a), (low_b, high_b) = ((c.min(axis=0), c.max(axis=0)) for c in corners)
    shared = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0, None).prod()
    return float(shared / min((high_a - low_a).prod(), (high_b - low_b).prod()))


def air_level(image: sitk.Image) -> float:
    """The intensity outside an image's field of view: what its background has, never that of tissue.

    Of images without negative values 0, where they reach down to a hundredth of their range (magnitude
    images); else an offset was added, the roundest number that lies below all of them by no more than
    three thousandths. Of others the 1st percentile (CT, z-scores), not the minimum: a few ringing voxels
    would frame the image.
    """
    low, high = sitk.MinimumMaximum(image)
    if low >= 0:
        near = low <= NEAR_ZERO * (high - low)
        return 0.0 if near else _roundest(low, NEAR_ROUND * (high - low))
    return min(0.0, float(np.percentile(sitk.GetArrayViewFromImage(image), 1)))


def _roundest(value: float, reach: float) -> float:
    """The roundest number from `value` - `reach` to `value`: few decimal digits, or a power of two."""
    for exponent in range(int(np.log10(value)), -4, -1):
        power = 2.0 ** int(np.log2(value)) if value >= 256 and exponent < 2 else 0.0
        for rounded in (power, float(np.floor(value / 10.0**exponent) * 10.0**exponent)):
            if rounded >= value - reach and rounded > 0:
                return rounded
    return float(value)


def imaged_part(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> NDArray[np.bool_]:
    """Which voxels of a grid, (slices, h, w), lie inside an image's field of view."""
    if transform is None and same_grid(image, grid):
        return np.ones(grid.GetSize()[::-1], bool)
    inside = sitk.Image(image.GetSize(), sitk.sitkUInt8) + 1
    inside.CopyInformation(image)
    moved = sitk.Resample(inside, grid, transform or sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(moved) > 0


def mask_on(
    mask: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> NDArray[np.bool_]:
    """A mask on another grid, (slices, h, w), by nearest neighbour; `transform` as of `resample`."""
    drawn = sitk.Cast(mask > 0, sitk.sitkUInt8)
    return sitk.GetArrayFromImage(resample(drawn, grid, transform, nearest=True)) > 0


def resample(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None,
    nearest: bool = False,
) -> sitk.Image:
    """Resample onto another image's grid; linear, or nearest neighbour for masks.

    Outside the image: its `air_level` (masks: 0), so that padding never looks like tissue;
    `imaged_part` says where that is. `transform` maps points of `grid` to points of `image` (the
    SimpleITK convention).
    """
    if transform is None and same_grid(image, grid):
        return image
    interpolator = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    outside = 0.0 if nearest else air_level(image)
    return sitk.Resample(image, grid, transform or sitk.Transform(), interpolator, outside)
