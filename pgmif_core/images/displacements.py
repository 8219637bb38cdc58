"""How far a transform moves what it maps, and whether it folds space."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.regions import head_mask
from pgmif_core.images.volumes import resample

JACOBIAN_GRID_MM = 4.0


def head_of(image: sitk.Image) -> sitk.Image:
    """The head of a volume, cavities filled, and a rim of three pixels: 0 or 1 on its grid."""
    head = head_mask(sitk.GetArrayViewFromImage(image)[None], fill=True).astype(np.uint8)
    mask = sitk.GetImageFromArray(head)
    mask.CopyInformation(image)
    return sitk.BinaryDilate(mask, (3, 3, 1))


def head_points(image: sitk.Image, count: int = 4000, seed: int = 0) -> NDArray[np.float64]:
    """Random voxel centres inside the head, (count, 3) in mm: where errors are measured."""
    inside = np.argwhere(head_mask(sitk.GetArrayViewFromImage(image)[None], fill=True))
    if len(inside) == 0:
        raise ValueError("no head found: the image is constant")
    rng = np.random.default_rng(seed)
    chosen = inside[rng.choice(len(inside), min(count, len(inside)), replace=False)][:, ::-1]
    return np.array([image.TransformIndexToPhysicalPoint(p.tolist()) for p in chosen])


def transform_points(transform: sitk.Transform, points: NDArray) -> NDArray:
    """Apply a transform to (n, 3) points in mm."""
    return np.array([transform.TransformPoint(p.tolist()) for p in points])


def displacement_error(
    transform: sitk.Transform, true_displacement: sitk.Image, points: NDArray
) -> NDArray[np.float64]:
    """Target registration error in mm at T2w points, against a phantom's true displacement.

    The transform sends a T2w point to T1w; the truth sends it back; the error is the distance
    from where it started.
    """
    truth = sitk.DisplacementFieldTransform(sitk.Image(true_displacement))
    returned = transform_points(truth, transform_points(transform, points))
    return np.linalg.norm(returned - points, axis=1)


def mean_shift(transform: sitk.Transform, points: NDArray) -> float:
    """Mean distance in mm that points (n, 3) are moved by a transform."""
    return float(np.linalg.norm(transform_points(transform, points) - points, axis=1).mean())


def displacement_lengths(transform: sitk.Transform, grid: sitk.Image) -> NDArray[np.float64]:
    """How far a transform moves every voxel of a grid, (slices, h, w) in mm."""
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(),
        grid.GetDirection(),
    )
    return np.linalg.norm(sitk.GetArrayFromImage(field), axis=-1)


def smallest_jacobian(transform: sitk.Transform, fixed: sitk.Image) -> float:
    """Least Jacobian determinant of a transform inside the head, on a grid of about 4 mm."""
    factors = [max(1, round(JACOBIAN_GRID_MM / s)) for s in fixed.GetSpacing()]
    coarse = sitk.BinShrink(fixed, factors)
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, coarse.GetSize(), coarse.GetOrigin(),
        coarse.GetSpacing(), coarse.GetDirection(),
    )
    values = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    head = sitk.GetArrayFromImage(resample(head_of(fixed), coarse, nearest=True)) > 0
    inner = (slice(1, -1),) * 3  # differences at the border of the volume are not defined
    own = values[inner][head[inner]]
    return float(own.min()) if own.size else 1.0
