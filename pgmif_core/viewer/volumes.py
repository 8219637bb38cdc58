"""What a viewer is given, brought to volumes of one shape: arrays, SimpleITK images or files."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images import read_image, resample
from pgmif_core.metrics import contrast_to_noise_ratio, generalized_sobel
from pgmif_core.slices import upright

Image = Any  # array or tensor (slices, h, w) or (h, w), a SimpleITK image, or the path of one


class Volumes(NamedTuple):
    """`images` and `masks` (slices, h, w) on one grid; `aspect`: height of a pixel over its width."""

    images: dict[str, NDArray[np.float32]]
    masks: dict[str, NDArray[np.bool_]]
    aspect: float


def _opened(image: Image) -> Any:
    return read_image(image) if isinstance(image, str | os.PathLike) else image


def as_volumes(images: Mapping[str, Image], masks: Mapping[str, Image | None], first: str) -> Volumes:
    """Images and masks as arrays of one shape.

    Files and SimpleITK images are laid upright and resampled to the grid of image `first`; beside
    arrays, which have no place in space, they must have its shape. Raises ValueError naming the image.
    """
    opened = {name: _opened(image) for name, image in images.items()}
    drawn = {name: _opened(mask) for name, mask in masks.items() if mask is not None}
    grid = opened[first] if isinstance(opened[first], sitk.Image) else None
    aspect = 1.0
    if grid is not None:
        grid = upright(grid)
        aspect = grid.GetSpacing()[1] / grid.GetSpacing()[0]
    volumes = {name: _array(name, image, grid) for name, image in opened.items()}
    shape = volumes[first].shape
    outlines = {name: _array(name, mask, grid, nearest=True) > 0 for name, mask in drawn.items()}
    for name, volume in (volumes | outlines).items():
        if volume.shape != shape:
            raise ValueError(f"{name}: expected the shape of {first}, {shape}, found {volume.shape}")
        if not np.isfinite(volume).all():
            raise ValueError(f"{name}: expected finite values, found NaN or infinite ones")
    return Volumes(volumes, outlines, float(aspect))


def _array(name: str, image: Any, grid: sitk.Image | None, nearest: bool = False) -> NDArray:
    if isinstance(image, sitk.Image):
        placed = image if grid is None else resample(upright(image), grid, nearest=nearest)
        image = sitk.GetArrayFromImage(placed)
    volume = np.asarray(image, dtype=np.float32)
    volume = volume[None] if volume.ndim == 2 else volume
    if volume.ndim != 3 or not volume.size:
        raise ValueError(
            f"{name}: expected an image (slices, height, width) or (height, width), found shape "
            f"{np.shape(image)}"
        )
    return volume


def intensity_range(volume: NDArray) -> tuple[float, float]:
    """0 to 1 where all values lie there, else least and largest value (a constant gets a range of 1)."""
    low, high = float(volume.min()), float(volume.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1


def measures_of(
    volume: NDArray, sources: Sequence[NDArray], tumour: NDArray, reference: NDArray
) -> list[float | None]:
    """CNR (Eq. 8), then the generalized Sobel (Eq. 12) against each source; None where undefined.

    Undefined is a CNR without tumour, without reference or with a constant reference, and a Q
    without tumour.
    """
    if not tumour.any():
        return [None] * (1 + len(sources))
    measurable = reference.any() and np.ptp(volume[reference]) > 0
    cnr = contrast_to_noise_ratio(volume, tumour, reference) if measurable else None
    planes = np.flatnonzero(tumour.any(axis=(-2, -1)))
    return [cnr, *(generalized_sobel(volume[planes], s[planes], tumour[planes]) for s in sources)]
