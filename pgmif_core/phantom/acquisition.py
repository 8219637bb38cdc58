"""What the scanner adds: partial volume, coil bias, noise, its own grid, and patient motion."""

from typing import NamedTuple, SupportsIndex

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from pgmif_core.phantom.anatomy import STEP_MM, Grid, smooth_noise
from pgmif_core.phantom.tissues import tissue_labels, tissue_table

LATTICE_MM = 6.0  # spacing of the true displacement field
MAX_SHIFT_MM, MAX_ROTATION_DEG = 5.0, 3.0
MAX_DEFORMATION_MM = 3.0


class Motion(NamedTuple):
    """How the patient moved between T2w and T1w; lengths in mm, angle in degrees."""

    shift_mm: float
    rotation_deg: float
    deformation_rms_mm: float


def empty_image(
    size: tuple[SupportsIndex, SupportsIndex, SupportsIndex], spacing_mm: tuple[float, float, float],
    centre_mm: NDArray, direction: NDArray | None = None,
) -> sitk.Image:
    """A float32 image of `size` (x, y, z) whose centre lies at `centre_mm` (x, y, z)."""
    direction = np.eye(3) if direction is None else direction
    half = (np.array(size) - 1) / 2 * np.array(spacing_mm)
    image = sitk.Image([int(n) for n in size], sitk.sitkFloat32)
    image.SetSpacing([float(s) for s in spacing_mm])
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin((np.asarray(centre_mm) - direction @ half).tolist())
    return image


def voxel_points(image: sitk.Image) -> NDArray:
    """Physical coordinates (3, z, y, x) in mm, components x, y, z, of every voxel centre."""
    width, height, depth = image.GetSize()
    index = np.stack(np.meshgrid(
        np.arange(depth), np.arange(height), np.arange(width), indexing="ij"
    ))[::-1].reshape(3, -1)
    affine = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    points = affine @ index + np.array(image.GetOrigin())[:, None]
    return points.reshape(3, depth, height, width)


def _rotation(axis: NDArray, angle_deg: float) -> NDArray:
    versor = sitk.VersorRigid3DTransform()
    versor.SetRotation(axis.tolist(), float(np.deg2rad(angle_deg)))
    return np.array(versor.GetMatrix()).reshape(3, 3)


def true_displacement(
    rng: np.random.Generator, around: sitk.Image
) -> tuple[sitk.Image, Motion]:
    """The known misalignment: a vector image D with (T2w point) = p + D(p) for T1w points p.

    Rigid, up to 5 mm and 3°, plus a smooth deformation of about 1 mm RMS length, at most 3 mm, largest
    in the jaw and soft tissue, a quarter of that in the skull. On a 6 mm lattice around the image.
    """
    corners = voxel_points(around).reshape(3, -1)
    low, high = corners.min(axis=1) - 12, corners.max(axis=1) + 12
    size = tuple(np.ceil((high - low) / LATTICE_MM).astype(int) + 1)
    field = empty_image(size, (LATTICE_MM,) * 3, (low + high) / 2)
    points = voxel_points(field)
    axis = rng.standard_normal(3)
    angle = rng.uniform(0.3, 1) * MAX_ROTATION_DEG
    shift = rng.standard_normal(3)
    shift *= rng.uniform(0.3, 1) * MAX_SHIFT_MM / np.linalg.norm(shift)
    rotation = _rotation(axis / np.linalg.norm(axis), angle)
    moved = np.tensordot(rotation, points, 1) + shift[:, None, None, None]
    _, y, z = moved
    jaw = 1 / (1 + np.exp((z + 12) / 9))
    # bone of skull base and vault moves as one body; the jaw and what hangs on it do not
    weight = 0.25 + 0.75 * np.maximum(jaw, 0.6 / (1 + np.exp((y + 40) / 10)))
    bend = np.stack([smooth_noise(rng, moved.shape[1:], 50 / LATTICE_MM) for _ in range(3)])
    bend = 1.45 * bend * weight
    length = np.linalg.norm(bend, axis=0)
    bend *= np.minimum(1, MAX_DEFORMATION_MM / np.maximum(length, 1e-9))
    displacement = (moved + bend - points).transpose(1, 2, 3, 0)
    result = sitk.GetImageFromArray(displacement.astype(np.float64), isVector=True)
    result.CopyInformation(field)
    deformation = float(np.sqrt((bend**2).sum(axis=0).mean()))
    return result, Motion(float(np.linalg.norm(shift)), float(angle), deformation)


def _sample(volume: NDArray, grid: Grid, points: NDArray) -> NDArray:
    """Values of a label-grid volume at physical points (3, …), linear, 0 outside."""
    zyx = points[::-1] - grid.origin_mm.reshape(3, *[1] * (points.ndim - 1))
    return ndimage.map_coordinates(volume, zyx / STEP_MM, order=1, mode="constant", cval=0.0)


def _slice_profile(volume: NDArray, thickness_mm: float) -> NDArray:
    """Mean over a rectangular slice, symmetric for any thickness (an even box would shift it)."""
    reach = int(np.ceil(thickness_mm / STEP_MM / 2 - 0.5))
    edges = np.abs(np.arange(-reach, reach + 1)) * STEP_MM
    weights = np.clip((thickness_mm + STEP_MM) / 2 - edges, 0, STEP_MM)
    return ndimage.correlate1d(volume, weights / weights.sum(), axis=0, mode="nearest")


def displaced_points(image: sitk.Image, displacement: sitk.Image) -> NDArray:
    """p + D(p) for every voxel centre p of an image, (3, z, y, x) in mm; D interpolated linearly."""
    shift = sitk.Resample(displacement, image, sitk.Transform(), sitk.sitkLinear)
    return voxel_points(image) + np.moveaxis(sitk.GetArrayViewFromImage(shift), -1, 0)


def signal_map(
    rng: np.random.Generator, labels: NDArray[np.uint8], signals: NDArray, textured: bool = True
) -> NDArray[np.float32]:
    """Noise-free signal of the label volume: tissue and intravoxel fat mixed, tissue texture.

    `signals`: of every tissue, indexed by label (`tissue_signals`, `tissue_attenuations`).
    """
    table = tissue_table()
    fat_signal = signals[tissue_labels()["fat"]]
    mean = table["fat_fraction"].to_numpy(np.float32)[labels]
    variation = table["fat_variation"].to_numpy(np.float32)[labels]
    texture = table["texture"].to_numpy(np.float32)[labels] * textured
    strands = smooth_noise(rng, labels.shape, 3.5 / STEP_MM)
    grain = smooth_noise(rng, labels.shape, 5 / STEP_MM)
    fat = np.clip(mean + variation * strands, 0, 1)
    water = signals[labels] * (1 + texture * grain)
    return water + fat * (fat_signal - water)


def coil_bias(rng: np.random.Generator, points: NDArray, strength: float = 0.12) -> NDArray:
    """Smooth receive sensitivity around 1: a random quadratic over the head, SD about `strength`."""
    unit = points / 100.0
    linear, quadratic = rng.normal(0, 1, 3), rng.normal(0, 0.7, 3)
    bias = np.tensordot(linear, unit, 1) + np.tensordot(quadratic, unit**2 - 0.3, 1)
    return np.exp(strength * bias)


def _imaged(
    signal: NDArray, grid: Grid, image: sitk.Image, displacement: sitk.Image | None
) -> tuple[NDArray, NDArray]:
    """The signal with slice profile and in-plane blur at an image's voxels, and those voxels' points."""
    spacing = image.GetSpacing()
    blurred = _slice_profile(signal, spacing[2])
    for axis, width in ((1, spacing[1]), (2, spacing[0])):
        blurred = ndimage.gaussian_filter1d(blurred, 0.4 * width / STEP_MM, axis=axis)
    points = voxel_points(image)
    anatomy = points if displacement is None else displaced_points(image, displacement)
    return _sample(blurred, grid, anatomy), points


def _as_scan(values: NDArray, image: sitk.Image) -> sitk.Image:
    scan = sitk.GetImageFromArray(values.astype(np.float32))
    scan.CopyInformation(image)
    return scan


def acquire(
    rng: np.random.Generator, signal: NDArray, grid: Grid, image: sitk.Image, noise_sd: float,
    displacement: sitk.Image | None = None,
) -> sitk.Image:
    """One MRI scan: slice profile and in-plane blur, sampling, coil bias, Rician noise.

    `noise_sd` is the SD of each quadrature channel, in units of fully relaxed water. With a
    displacement, anatomy is seen where the patient had moved to.
    """
    clean, points = _imaged(signal, grid, image, displacement)
    clean = clean * coil_bias(rng, points)
    real = clean + rng.normal(0, noise_sd, clean.shape)
    return _as_scan(1000 * np.hypot(real, rng.normal(0, noise_sd, clean.shape)), image)


def acquire_ct(
    rng: np.random.Generator, attenuation: NDArray, grid: Grid, image: sitk.Image, noise_hu: float,
    displacement: sitk.Image,
) -> sitk.Image:
    """One CT scan in HU, at least -1024 as scanners store it; `attenuation` relative to water."""
    clean, _ = _imaged(attenuation, grid, image, displacement)
    return _as_scan(np.maximum(1000 * (clean - 1) + rng.normal(0, noise_hu, clean.shape), -1024), image)


def contour(labels: NDArray, tissues: tuple[str, ...], grid: Grid, image: sitk.Image) -> sitk.Image:
    """Binary mask (uint8) on an image's grid: voxels at least half filled by the tissues."""
    inside = np.isin(labels, [tissue_labels()[t] for t in tissues]).astype(np.float32)
    inside = _sample(_slice_profile(inside, image.GetSpacing()[2]), grid, voxel_points(image))
    mask = sitk.GetImageFromArray((inside >= 0.5).astype(np.uint8))
    mask.CopyInformation(image)
    return mask
