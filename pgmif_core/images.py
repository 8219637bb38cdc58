"""Volumes in and out of files with their geometry (SimpleITK images): NIfTI, NRRD, MetaImage, DICOM."""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from pgmif_core.dicom import SeriesError, read_series
from pgmif_core.files import replacing

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])
ORTHONORMAL_TOLERANCE = 1e-3
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".ima")
WRITTEN_SUFFIXES = (*NIFTI_SUFFIXES, ".nrrd", ".mha")  # header and voxels in one file


class ImageError(ValueError):
    """An image file that cannot be used: names the file, what was expected, found, and to do."""


def _geometry(path: Path, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spacing (mm) and direction from a NIfTI affine, or an error that says what is wrong."""
    matrix = affine[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(affine).all() or not (spacing > 0).all() or not np.linalg.det(matrix):
        raise ImageError(
            f"{path}: expected an invertible affine (voxel to mm), found the singular\n{affine}\n"
            "Export the image again, or set its sform from the scanner's geometry."
        )
    direction = matrix / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > ORTHONORMAL_TOLERANCE:
        raise ImageError(
            f"{path}: expected orthogonal axes, found a sheared affine\n{affine}\n"
            "Resample the image to an orthogonal grid first."
        )
    left, _, right = np.linalg.svd(direction)  # rounding in the header: nearest exact rotation
    return spacing, LPS_FROM_RAS @ (left @ right)


def read_image(path: str | os.PathLike) -> sitk.Image:
    """Read a 3-D volume as float32 with geometry (LPS, mm): NIfTI, NRRD, MetaImage, or DICOM.

    A directory is read as one DICOM series, a .dcm file as a multi-frame image.

    Raises ImageError on a missing file, a file of another type or a truncated one, a series that is
    not one, a volume that is not 3-D, a singular or sheared affine, and NaN or infinite voxels.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.exists():
        raise ImageError(f"{path}: expected an image, found no such file. Check the path.")
    if path.is_dir() and name.endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES)):
        raise ImageError(f"{path}: expected an image file, found a directory. Name the file in it.")
    if path.is_dir() or name.endswith(DICOM_SUFFIXES):
        try:
            image = read_series(path)
        except SeriesError as error:
            raise ImageError(str(error)) from error
    elif name.endswith(ITK_SUFFIXES):
        image = _read_itk(path)
    else:
        image = _read_nifti(path)
    bad = np.count_nonzero(~np.isfinite(sitk.GetArrayViewFromImage(image)))
    if bad:
        raise ImageError(
            f"{path}: expected finite intensities, found {bad} NaN or infinite voxels. "
            "Replace them (0 for background) and say so in your methods."
        )
    return image


def _read_itk(path: Path) -> sitk.Image:
    """NRRD or MetaImage; what such headers may hold beside geometry (names, dates) is dropped."""
    try:
        image = sitk.ReadImage(os.fspath(path))
    except RuntimeError as error:
        raise ImageError(
            f"{path}: expected a readable image, found none; the file may be truncated or of another "
            "type. Copy or convert it again."
        ) from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ImageError(
            f"{path}: expected a 3-D volume with one number per voxel, found {image.GetSize()} with "
            f"{image.GetNumberOfComponentsPerPixel()} components. Split it into volumes."
        )
    image = sitk.Cast(image, sitk.sitkFloat32)
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def _read_nifti(path: Path) -> sitk.Image:
    try:
        volume = nibabel.load(path)
        kind = volume.get_data_dtype().kind
        voxels = np.asarray(volume.dataobj, dtype=np.float32) if kind in "biuf" else None
    except (ImageFileError, HeaderDataError, EOFError, OSError, ValueError, zlib.error) as error:
        raise ImageError(
            f"{path}: expected a readable NIfTI file, found {type(error).__name__}: {error}. "
            "The file may be truncated or of another type; copy or convert it again."
        ) from error
    if voxels is None:
        raise ImageError(
            f"{path}: expected one number per voxel, found {volume.get_data_dtype()} (colour or "
            "complex). Export a grey-scale magnitude image."
        )
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3:
        raise ImageError(
            f"{path}: expected a 3-D volume, found shape {voxels.shape}. Split it into volumes."
        )
    spacing, direction = _geometry(path, volume.affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin((LPS_FROM_RAS @ volume.affine[:3, 3]).tolist())
    return image


def volume_files(path: Path) -> list[Path]:
    """The files behind a volume: itself with its voxels, or those of a DICOM series' folder."""
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file())
    if path.suffix.lower() in (".mhd", ".nhdr"):  # the header names a file of voxels beside it
        return [path, *sorted(p for p in path.parent.glob(f"{path.stem}.*") if p != path)]
    return [path]


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
    if not path.name.endswith(WRITTEN_SUFFIXES):
        raise ImageError(
            f"{path}: expected a name ending in {', '.join(WRITTEN_SUFFIXES)}; a folder "
            "of DICOM files is written by pgmif_core.dicom.write_series."
        )
    beside = path.with_name(path.name.removesuffix(".gz").rsplit(".", 1)[0] + ".json")
    if sidecar is not None:
        beside.unlink(missing_ok=True)  # an interrupted rewrite must not describe the new volume
    voxels = sitk.GetArrayFromImage(image)
    voxels = voxels.astype(np.uint8 if voxels.dtype == np.uint8 else np.float32)
    with replacing(path) as temporary:
        if path.name.endswith(NIFTI_SUFFIXES):
            volume = nibabel.Nifti1Image(voxels.T, _affine(image))
            volume.header.set_xyzt_units("mm")
            nibabel.save(volume, temporary)
        else:
            plain = sitk.GetImageFromArray(voxels)
            plain.CopyInformation(image)
            sitk.WriteImage(plain, os.fspath(temporary), useCompression=True)
    if sidecar is not None:
        write_json(sidecar, beside)
    return path


def write_json(content: Mapping[str, Any], path: Path) -> Path:
    """Write JSON under a temporary name, then rename."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    return path


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


def resample(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None,
    nearest: bool = False,
) -> sitk.Image:
    """Resample onto another image's grid; linear, or nearest neighbour for masks.

    Outside the image: 0, or its 1st percentile where that is negative (CT, z-scores), so that
    padding never looks like tissue. Not the minimum: a few ringing voxels would frame the image.

    `transform` maps points of `grid` to points of `image` (the SimpleITK convention).
    """
    if transform is None and same_grid(image, grid):
        return image
    interpolator = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    outside = 0.0
    if sitk.MinimumMaximum(image)[0] < 0:
        outside = min(0.0, float(np.percentile(sitk.GetArrayViewFromImage(image), 1)))
    return sitk.Resample(image, grid, transform or sitk.Transform(), interpolator, outside)
