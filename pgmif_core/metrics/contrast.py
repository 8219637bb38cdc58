"""Contrast beside Eq. 8: what no rising intensity change can raise, what a linear mix can reach."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pgmif_core.metrics.paper import ROUNDING, around_slice_means, contrast_to_noise_ratio


class LinearLimit(NamedTuple):
    """`cnr`: the largest CNR (Eq. 8) of any weighted sum of the sources; `weights`: of that sum, their
    magnitudes summing to 1.

    >>> LinearLimit(5.0, (0.43, 0.57)).cnr
    5.0
    """

    cnr: float
    weights: tuple[float, ...]


def linear_limit(
    sources: NDArray, tumour: NDArray, reference: NDArray, pooled: bool = True
) -> LinearLimit:
    """What the best linear mix of the sources reaches in CNR, chosen with the contour known.

    w = Σ⁻¹ (μ_tumour − μ_reference), Σ the covariance of the sources in the reference region: Fisher's
    (1936) linear discriminant for the noise of Eq. 8, whose CNR is √(dᵀ Σ⁻¹ d). No sum of the sources
    with one weight each, whoever chooses them, has a larger one; an image beyond it smooths, sharpens or
    changes intensities from place to place. `sources` (m, …, h, w), boolean masks (…, h, w). With
    `pooled=False` Σ is taken around each slice's own means, as σ is there. Raises ValueError as
    `contrast_to_noise_ratio`, on every source.

    >>> sources = np.array([[[0.0, 2, 0, 2, 4]], [[0, 0, 2, 2, 5]]])  # CNR 3 and 4, noise unrelated
    >>> tumour = np.arange(5)[None] == 4
    >>> round(linear_limit(sources, tumour, ~tumour).cnr, 6)
    5.0
    """
    sources = np.asarray(sources, np.float64)
    for source in sources:
        contrast_to_noise_ratio(source, tumour, reference, pooled)
    inside, outside = sources[:, tumour], sources[:, reference]
    difference = inside.mean(axis=1) - outside.mean(axis=1)
    if not pooled:
        outside = np.stack([around_slice_means(source, reference) for source in sources])
    scale = outside.std(axis=1)
    correlation = np.atleast_2d(np.cov(outside / scale[:, None], bias=True))
    # sources that are copies of one another have many such sums, all as good
    direction = np.linalg.pinv(correlation, ROUNDING**0.5, hermitian=True) @ (difference / scale)
    weights = direction / scale
    total = np.abs(weights).sum()
    cnr = float(np.sqrt(max(float(direction @ (difference / scale)), 0.0)))
    return LinearLimit(cnr, tuple((weights / total if total else weights).tolist()))


def generalized_cnr(
    image: NDArray, tumour: NDArray, reference: NDArray, levels: int = 0
) -> float:
    """gCNR: 1 − overlap of the grey-value distributions of tumour and reference, in [0, 1].

    Rodriguez-Molares et al. 2020 (doi 10.1109/TUFFC.2019.2956855): 0 where both are alike, 1 where one
    threshold tells every pixel apart. The histograms have `levels` (0: 2 ∛n of the reference's n pixels,
    Rice's rule) that hold equally many pixels of the reference, and one below and one above them all, so
    that no strictly rising intensity change moves it; few pixels raise it. Raises ValueError on an empty
    or misshapen mask.

    >>> grey = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])
    >>> generalized_cnr(grey, grey > 3, grey < 4), generalized_cnr(grey, grey < 2, grey > 5)
    (1.0, 1.0)
    >>> generalized_cnr(np.array([0, 0, 1, 1]), np.arange(4) % 2 == 1, np.arange(4) % 2 == 0)
    0.0
    """
    image = np.asarray(image)
    for name, mask in (("tumour", tumour), ("reference", reference)):
        if np.shape(mask) != image.shape or not np.any(mask):
            raise ValueError(f"{name}: expected a mask of the image's shape {image.shape} with some "
                             f"pixels, found {np.count_nonzero(mask)} pixels of shape {np.shape(mask)}")
    known = np.sort(image[reference])
    levels = levels or max(2, round(2 * known.size ** (1 / 3)))

    def shares(values: NDArray) -> NDArray:
        level = 1 + np.searchsorted(known, values, "left") * levels // known.size
        level[values < known[0]], level[values > known[-1]] = 0, levels + 1
        return np.bincount(level, minlength=levels + 2) / values.size

    return float(1 - np.minimum(shares(image[tumour]), shares(known)).sum())
