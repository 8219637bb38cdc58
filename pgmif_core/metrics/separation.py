"""Does an image help to delineate the tumour? What its grey values alone can do, nothing trained."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

NEAREST_MM, FARTHEST_MM = 3.0, 15.0  # the contour's own uncertainty is left out


class Separation(NamedTuple):
    """How well one threshold tells tumour from surroundings.

    `auc`: chance that a tumour voxel is brighter than one of the surroundings (0.5: no difference,
    below: darker). `separability` = max(auc, 1 − auc). `dice` of the best threshold, brighter or
    darker, over tumour and surroundings together; all in [0, 1].

    >>> grey = np.array([0, 1, 2])  # a tumour darker than all around it is found as well
    >>> separation(grey, grey < 1, grey > 0)
    Separation(auc=0.0, separability=1.0, dice=1.0)
    """

    auc: float
    separability: float
    dice: float


def surroundings(
    gtv: NDArray, head: NDArray, spacing_mm: tuple[float, float, float],
    nearest_mm: float = NEAREST_MM, farthest_mm: float = FARTHEST_MM,
) -> NDArray:
    """Tissue between two distances from the tumour, in 3-D: boolean like `gtv` (slices, h, w).

    `spacing_mm`: slice, row, column. Raises ValueError where the tumour or what surrounds it is empty.

    >>> line = np.arange(20)[None, None]  # mm from the tumour
    >>> np.flatnonzero(surroundings(line == 0, line >= 0, (1, 1, 1)))[[0, -1]].tolist()
    [3, 15]
    """
    if not gtv.any():
        raise ValueError("the tumour mask is empty: nothing surrounds it")
    distance = ndimage.distance_transform_edt(~gtv, sampling=spacing_mm)
    shell = (distance >= nearest_mm) & (distance <= farthest_mm) & head
    if not shell.any():
        raise ValueError(
            f"no tissue lies {nearest_mm:g}-{farthest_mm:g} mm from the tumour; is the contour in place?"
        )
    return shell


def separation(image: NDArray, tumour: NDArray, around: NDArray) -> Separation:
    """ROC AUC (Hanley & McNeil 1982: U ÷ number of pairs) and the best Dice of a single threshold.

    `image` (…), boolean masks of its shape that do not overlap. No training, no smoothing: what the
    eye's window setting could reach at best. Raises ValueError on an empty mask.

    >>> grey = np.array([1, 3, 0, 2])  # brighter in three of four pairs
    >>> separation(grey, grey % 2 == 1, grey % 2 == 0)
    Separation(auc=0.75, separability=0.75, dice=0.8)
    """
    inside, outside = np.asarray(image)[tumour], np.asarray(image)[around]
    if not inside.size or not outside.size:
        raise ValueError("tumour and surroundings must both hold voxels")
    u = stats.mannwhitneyu(inside, outside, method="asymptotic").statistic
    auc = float(u) / (inside.size * outside.size)
    dice = max(_best_dice(inside, outside), _best_dice(-inside, -outside))
    return Separation(auc, max(auc, 1 - auc), dice)


def _best_dice(inside: NDArray, outside: NDArray) -> float:
    """Best Dice of "at least t is tumour" over all t."""
    values = np.concatenate((inside, outside))
    is_tumour = np.arange(values.size) < inside.size
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(is_tumour[order])
    called = np.arange(1, values.size + 1)
    descending = values[order]
    last_of_its_value = np.r_[descending[1:] != descending[:-1], True]
    dice = 2 * hits / (called + inside.size)
    return float(dice[last_of_its_value].max())
