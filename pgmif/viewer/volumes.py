"""What a viewer is given, brought to volumes of one shape: arrays, SimpleITK images or files."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.slices import upright
from pgmif_core.images.volumes import overlap_fraction, read_image, resample
from pgmif_core.metrics.paper import contrast_to_noise_ratio, generalized_sobel

Image = Any  # array or tensor (slices, h, w) or (h, w), a SimpleITK image, or the path of one
UNIT_RANGE_FROM = 0.1  # a largest value below it is not that of an image scaled to [0, 1]


class Volumes(NamedTuple):
    """`images` and `masks` (slices, h, w) on one grid, upright where `stored` places them in space.

    `stored` is the image whose grid all have (as its file stores it), None where all are arrays.
    """

    images: dict[str, NDArray[np.float32]]
    masks: dict[str, NDArray[np.bool_]]
    stored: sitk.Image | None

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width."""
        spacing = upright(self.stored).GetSpacing() if self.stored is not None else (1, 1)
        return float(spacing[1] / spacing[0])


def as_volumes(
    images: Mapping[str, Image], masks: Mapping[str, Image | None], first: str,
    stored: sitk.Image | None = None,
) -> Volumes:
    """Images and masks as arrays of one shape, that of image `first`, or of `stored` where given.

    Files and SimpleITK images are put on the grid of `stored` (of `first`, or of the first of them
    that has one) and laid upright; arrays must have its shape as its file stores it, and are turned
    with it. Raises ValueError naming the image, also where it lies beside the others in space.
    """
    opened = {name: _opened(name, image) for name, image in images.items()}
    drawn = {name: _opened(name, mask) for name, mask in masks.items() if mask is not None}
    if stored is None:
        every = (opened[first], *opened.values(), *drawn.values())
        placed = [i for i in every if isinstance(i, sitk.Image)]
        stored = placed[0] if placed else None
    shape = opened[first].shape if stored is None else stored.GetSize()[::-1]
    what = first if stored is None or stored is opened[first] else "the image that places them"
    volumes = {name: _placed(name, image, stored, shape, what) for name, image in opened.items()}
    outlines = {n: _placed(n, mask, stored, shape, what, nearest=True) > 0 for n, mask in drawn.items()}
    return Volumes(volumes, outlines, stored)


def as_stored(name: str, image: Image) -> NDArray[np.float32]:
    """An image's values in the order in which its file stores them: what goes with arrays alone."""
    opened = _opened(name, image)
    if isinstance(opened, sitk.Image):
        return sitk.GetArrayFromImage(opened).astype(np.float32)
    return opened


def _opened(name: str, image: Image) -> sitk.Image | NDArray[np.float32]:
    """A SimpleITK image of three dimensions, or an array (slices, h, w) of finite values."""
    if isinstance(image, str | os.PathLike):
        image = read_image(image)
    if isinstance(image, sitk.Image):
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            parts = image.GetNumberOfComponentsPerPixel()
            raise ValueError(f"{name}: expected a grey image of three dimensions, found "
                             f"{image.GetDimension()} and {parts} values per pixel")
        values = sitk.GetArrayViewFromImage(image)
    else:
        if hasattr(image, "detach"):
            image = image.detach().cpu().float().numpy()
        values = image = np.asarray(image, dtype=np.float32)
        values = image = image[None] if image.ndim == 2 else image
        if image.ndim != 3 or not image.size:
            raise ValueError(f"{name}: expected an image (slices, height, width) or (height, width), "
                             f"found shape {image.shape}")
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.asarray(values, np.float32)).all()
    if not finite:
        raise ValueError(f"{name}: expected finite values, found NaN or infinite ones")
    return image


def _placed(
    name: str, image: sitk.Image | NDArray, stored: sitk.Image | None, shape: Sequence[int], what: str,
    nearest: bool = False,
) -> NDArray[np.float32]:
    if not isinstance(image, sitk.Image):
        if image.shape != tuple(shape):
            raise ValueError(
                f"{name}: expected the shape of {what}, {tuple(shape)}, found {image.shape}"
            )
        if stored is None:
            return image
        array, image = image, sitk.GetImageFromArray(image)
        image.CopyInformation(stored)
    elif not overlap_fraction(image, stored):
        raise ValueError(f"{name}: expected an image that overlaps {what} in space, found it elsewhere; "
                         "is it of the same patient and session?")
    smooth = image if nearest else sitk.Cast(image, sitk.sitkFloat32)  # else means of integers are cut
    array = sitk.GetArrayFromImage(resample(upright(smooth), upright(stored), nearest=nearest))
    return array.astype(np.float32)


def intensity_range(volume: NDArray) -> tuple[float, float]:
    """0 to 1 for images scaled like that, else least and largest value (a constant: a range of 1)."""
    low, high = float(volume.min()), float(volume.max())
    if low >= 0 and (UNIT_RANGE_FROM < high <= 1 or high == 0):
        return 0.0, 1.0
    return low, high if high > low else low + max(1.0, abs(low) / 1000)


def typical_range(volume: NDArray) -> float:
    """How far apart most values lie, so that one outlier does not count; 0 for a constant."""
    some = volume[:, :: max(1, volume.shape[1] // 64), :: max(1, volume.shape[2] // 64)]
    return float(np.ptp(np.percentile(some, (1, 99))))


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
