"""From registered volumes to what the network sees: upright slices of 192×192, min-max each."""

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.modalities import Minmax
from pgmif_core.images.volumes import NEAR_ZERO, air_level, imaged_part, resample

SLICE_SIZE = 192
SIGNAL = 0.08  # of a min-max slice: below it is air
ANTIALIAS_FROM = 1.2
THICK_SLICES = 1.5


class NormalisedSlices(NamedTuple):
    """A sequence on the slices: `planes` (slices, h, w) in [0, 1], where it was `imaged` (boolean), and
    `ranges` (slices, 2), the intensities that 0 and 1 stand for in each slice."""

    planes: NDArray[np.float32]
    imaged: NDArray[np.bool_]
    ranges: NDArray[np.float32]


def slice_ranges(
    volume: NDArray, imaged: NDArray | None = None, floor: float = 0.0
) -> NDArray[np.float32]:
    """Least and largest intensity of each slice of (slices, h, w): (slices, 2), as `minmax_per_slice`
    takes them. Raises ValueError on NaN or infinite values."""
    if not np.isfinite(volume).all():
        raise ValueError("the volume holds NaN or infinite values")
    known = np.ones(volume.shape, bool) if imaged is None else imaged
    low = np.where(known, volume, np.inf).min(axis=(1, 2))
    high = np.where(known, volume, -np.inf).max(axis=(1, 2))
    seen = known.any(axis=(1, 2))
    low, high = (np.where(seen, x, 0).astype(np.float32) for x in (low, high))
    near = (low >= floor) & (low - floor <= NEAR_ZERO * (high - low))
    low = np.where(near & ~known.all(axis=(1, 2)), np.float32(floor), low)
    return np.stack((low, high), axis=-1)


def minmax_per_slice(
    volume: NDArray, imaged: NDArray | None = None, floor: float = 0.0
) -> NDArray[np.float32]:
    """Min-max normalise each slice of (slices, h, w) to [0, 1] ("min-max-each-slice").

    Where `imaged` (boolean, of its shape) is False there is no intensity: it decides no range and
    becomes 0. The minimum of a slice with such a part is `floor`, the level of air, where its lowest
    intensity lies there to a hundredth of its range. A constant slice becomes zeros. Raises ValueError
    on NaN or infinite values.
    """
    volume = np.asarray(volume, dtype=np.float32)
    return _scaled(volume, imaged, slice_ranges(volume, imaged, floor))


def _scaled(
    volume: NDArray[np.float32], imaged: NDArray | None, ranges: NDArray[np.float32]
) -> NDArray[np.float32]:
    low, high = ranges.T[..., None, None]
    known = high > low if imaged is None else (high > low) & imaged
    scaled = np.zeros_like(volume)
    np.divide(volume - low, high - low, out=scaled, where=known)
    return np.clip(scaled, 0, 1)


def minmax_acquired(image: sitk.Image) -> sitk.Image:
    """An upright image with each of its own slices in [0, 1], before anything is interpolated: the order
    in which the paper names it. Raises ValueError on NaN or infinite values."""
    own = upright(image)
    voxels = minmax_per_slice(sitk.GetArrayFromImage(own), floor=air_level(own))
    scaled = sitk.GetImageFromArray(voxels)
    scaled.CopyInformation(own)
    return scaled


def covered_slices(sources: NDArray) -> NDArray[np.bool_]:
    """The slices, (slices,), of `sources` (slices, m, h, w) on which every source shows anything."""
    return np.asarray(sources.any(axis=(2, 3)).all(axis=1))


def upright(image: sitk.Image) -> sitk.Image:
    """The same voxels, axes flipped and swapped to the radiological order, nothing interpolated.

    Slices run along z, or along the coarsest axis where one is 1.5 times coarser than the next
    (sagittal and coronal acquisitions keep their plane). Axial slices have the patient's right on
    the left and the front at the top, however the file stores them.
    """
    axes = np.abs(np.array(image.GetDirection()).reshape(3, 3)).argmax(axis=0)
    spacing = np.array(image.GetSpacing())
    coarsest = int(spacing.argmax())
    thick = spacing[coarsest] > THICK_SLICES * np.delete(spacing, coarsest).max()
    plane = ("PIR", "LIP", "LPS")[axes[coarsest] if thick else 2]
    return sitk.DICOMOrient(image, plane)


def slice_grid(image: sitk.Image, size: int = SLICE_SIZE) -> sitk.Image:
    """An empty image with the slices of `image`, upright, resized to size×size square pixels.

    The aspect ratio is kept: the longer side fills the square, the shorter is padded. (The paper
    says only "resized"; stretching would change angles, and with them every gradient.) A slice
    that is size×size already keeps its grid, so nothing is interpolated.
    """
    image = upright(image)
    width, height, depth = image.GetSize()
    spacing = np.array(image.GetSpacing())
    pixel = max(width * spacing[0], height * spacing[1]) / size
    if np.isclose(pixel, spacing[:2], rtol=1e-3).all():
        # whole pixels of padding only: the old pixel centres stay pixel centres
        first = -np.array([(size - width) // 2, (size - height) // 2, 0.0])
        pixels = spacing[:2]
    else:
        pixels = np.array([pixel, pixel])
        middle = (np.array([width, height]) - 1) / 2
        first = np.append(middle - (size - 1) / 2 * pixel / spacing[:2], 0.0)
    grid = sitk.Image([size, size, depth], sitk.sitkFloat32)
    grid.SetSpacing([*pixels.tolist(), spacing[2]])
    grid.SetDirection(image.GetDirection())
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    return grid


def place_on_slices(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> sitk.Image:
    """Resample a volume onto the slice grid, smoothing first where pixels grow by more than 1.2.

    The Gaussian brings the in-plane resolution to that of the larger pixels; without it, fine
    clinical matrices (512×512) would alias into the 192×192 slices and noise would look like edges.
    """
    axes = [np.array(i.GetDirection()).reshape(3, 3) for i in (grid, image)]
    along = np.abs(axes[0].T @ axes[1]).argmax(axis=0)  # the slice axis nearest to each own axis
    moving = image
    for axis, spacing in enumerate(image.GetSpacing()):
        factor = grid.GetSpacing()[along[axis]] / spacing
        if along[axis] < 2 and factor > ANTIALIAS_FROM and image.GetSize()[axis] > 3:
            smooth = sitk.RecursiveGaussianImageFilter()
            smooth.SetSigma(0.5 * float(np.sqrt(factor**2 - 1)) * spacing)
            smooth.SetDirection(axis)
            moving = smooth.Execute(moving)
    return resample(moving, grid, transform)


def normalised_slices(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None,
    minmax: Minmax = "placed",
) -> NormalisedSlices:
    """A sequence on the slice grid, min-max normalised slice by slice; where `minmax` is "acquired", it
    was before (`minmax_acquired`): then its slices are what moving and resizing leave of that, and their
    ranges 0 and 1."""
    imaged = imaged_part(image, grid, transform)
    placed = sitk.GetArrayFromImage(place_on_slices(image, grid, transform)).astype(np.float32)
    if minmax == "acquired":
        ranges = np.tile(np.float32([0, 1]), (len(placed), 1))
        return NormalisedSlices(_scaled(placed, imaged, ranges), imaged, ranges)
    ranges = slice_ranges(placed, imaged, air_level(image))
    return NormalisedSlices(_scaled(placed, imaged, ranges), imaged, ranges)
