"""How a sequence is seen: CT in its window, hot voxels cut, an offset of the background taken off."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.modalities import CT_WINDOW_HU
from pgmif_core.images.volumes import air_level, with_voxels

FEW, SOME = 4, 16  # voxels of a slice that are no tissue, where they lie beyond all others; far beyond


def windowed(image: sitk.Image, modality: str) -> sitk.Image:
    """A sequence as everything after sees it: CT (HU) cut to the soft-tissue window, level 40 and width
    400 HU; others as they are, but for single voxels beyond all else in their slice (`hot_voxels`), and
    an offset of the background."""
    if modality == "CT":
        return sitk.Clamp(image, sitk.sitkFloat32, *CT_WINDOW_HU)
    cut, offset = _cut(sitk.GetArrayViewFromImage(image)), max(0.0, air_level(image))
    if not cut and not offset:
        return image
    voxels = sitk.GetArrayFromImage(image)
    for k, (low, high) in cut.items():
        voxels[k] = np.clip(voxels[k], low, high)
    return with_voxels(image, voxels - np.float32(offset))


def hot_voxels(image: sitk.Image) -> list[int]:
    """Slices of an image, as stored, whose range a few voxels alone decide: at most four that lie more
    than twice as far from the rest as anything else, or sixteen that lie four times as far and beyond
    twice what the volume has. `windowed` cuts them."""
    return sorted(_cut(sitk.GetArrayViewFromImage(image)))


def _cut(volume: NDArray) -> dict[int, tuple[float, float]]:
    """By slice the range that its other voxels have, where a few lie far beyond."""
    found = {}
    bright = 2 * float(np.percentile(volume[:, ::3, ::3], 99.9))
    for k, plane in enumerate(volume):
        least, most = float(plane.min()), float(plane.max())
        low, high = _limits(plane, FEW, 1)
        if low <= least and most <= high and most > bright:
            low, high = -np.inf, max(bright, _limits(plane, SOME, 3)[1])
        if least < low or most > high:
            usual = plane[(plane >= low) & (plane <= high)]
            found[k] = float(usual.min()), float(usual.max())
    return found


def _limits(plane: NDArray, few: int, times: float) -> tuple[float, float]:
    """How far a slice's intensities may lie: `times` the range of all but the `few` lowest and highest
    beyond it. No end where that range is empty."""
    if plane.size <= 4 * few:
        return -np.inf, np.inf
    flat = np.partition(plane.ravel(), (few, -few - 1))
    low, high = float(flat[few]), float(flat[-few - 1])
    reach = times * (high - low) or np.inf
    return low - reach, high + reach
