"""A nasopharyngeal carcinoma: starts in the fossa of Rosenmüller and infiltrates by stage."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pgmif_core.phantom.anatomy import STEP_MM, ellipsoid, smooth_noise
from pgmif_core.phantom.tissues import tissue_labels

# z, y, x of the pharyngeal recess in atlas coordinates (right or left by sign of x), mm
FOSSA_MM = (0.5, 3.0, 13.5)
LUMEN = ("mucosa", "lymphoid", "air", "muscle")
INVADES = {  # T category (AJCC 8): what the tumour may replace
    1: LUMEN,
    2: (*LUMEN, "fat", "parotid"),
    3: (*LUMEN, "fat", "parotid", "cortical_bone", "marrow_red", "marrow_yellow", "cartilage"),
    4: (*LUMEN, "fat", "parotid", "cortical_bone", "marrow_red", "marrow_yellow", "cartilage",
        "csf", "tongue"),
}
RADIUS_MM = {1: 9.5, 2: 12.5, 3: 15.5, 4: 19.0}
NECROSIS_CHANCE = {1: 0.0, 2: 0.1, 3: 0.35, 4: 0.5}


class Tumour(NamedTuple):
    """T category, side (+1 left, −1 right) and whether it has a necrotic core."""

    stage: int
    side: int
    necrotic: bool


def _around(
    seed: NDArray, shape: tuple[int, ...], zyx: list[NDArray], reach_mm: float = 48.0
) -> tuple[slice, ...]:
    """Index box around the seed, wide enough for the largest tumour."""
    others = ((1, 2), (0, 2), (0, 1))
    middle = [
        int(np.argmin(np.abs(u.mean(axis=axes) - c)))
        for u, c, axes in zip(zyx, seed, others, strict=True)
    ]
    reach = int(reach_mm / STEP_MM)
    return tuple(slice(max(0, m - reach), min(n, m + reach))
                 for m, n in zip(middle, shape, strict=True))


def grow_tumour(
    rng: np.random.Generator, labels: NDArray[np.uint8], zyx: list[NDArray]
) -> tuple[NDArray[np.uint8], Tumour]:
    """Paint a tumour into a head; returns new labels and what was painted.

    The border is a distance from the seed disturbed by noise on two scales, cut to the tissues that
    the stage may invade; its largest connected piece is kept.
    """
    label = tissue_labels()
    stage = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.25, 0.35, 0.2]))
    side = int(rng.choice([-1, 1]))
    radius = RADIUS_MM[stage] * rng.uniform(0.88, 1.12)
    seed = np.array([FOSSA_MM[0], FOSSA_MM[1], side * FOSSA_MM[2]])
    # large tumours cross the midline along the posterior wall and the roof
    centre = seed - np.array([0, 1.5, side * (0.25 * radius)]) + rng.normal(0, 1.0, 3)
    axes = radius * np.array([1.05, 0.8, 1.15]) * rng.uniform(0.9, 1.1, 3)
    box = _around(seed, labels.shape, zyx)
    part = labels[box]
    distance = np.sqrt(ellipsoid([u[box] for u in zyx], centre, axes, 2.0))
    rough = smooth_noise(rng, part.shape, 7 / STEP_MM)
    fine = smooth_noise(rng, part.shape, 3 / STEP_MM)
    allowed = np.isin(part, [label[t] for t in INVADES[stage]])
    pieces, _ = ndimage.label((distance + 0.14 * rough + 0.06 * fine < 1) & allowed)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    grown = ndimage.binary_fill_holes(pieces == sizes.argmax())
    painted = labels.copy()
    painted[box][grown] = label["tumour"]
    necrotic = bool(rng.random() < NECROSIS_CHANCE[stage])
    if necrotic:
        painted[box][grown & (distance + 0.25 * rough < 0.45)] = label["necrosis"]
    return painted, Tumour(stage, side, necrotic)
