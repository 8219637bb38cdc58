"""Fusion metrics of grey values and their changes: EN, SD, SF, AG, CC, SCD."""

import numpy as np
from numpy.typing import NDArray

LEVELS = 256  # 8-bit quantisation of [0, 1], stated wherever a histogram is taken


def quantised(image: NDArray) -> NDArray[np.intp]:
    """Grey levels 0-255 of an image in [0, 1], rounded; no stretching.

    >>> quantised(np.array([0, 0.2, 1])).tolist()
    [0, 51, 255]
    """
    return np.rint(np.asarray(image, np.float64) * (LEVELS - 1)).astype(np.intp)


def entropy_of_counts(counts: NDArray) -> float:
    """Shannon entropy in bit of a histogram.

    >>> entropy_of_counts(np.array([2, 1, 1]))  # ½ · 1 bit + 2 · ¼ · 2 bit
    1.5
    """
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0  # −0 of a single level becomes 0


def entropy(fused: NDArray, sources: NDArray) -> float:
    """EN: Shannon entropy −Σ p log₂ p of the 256-level histogram, bit (Roberts et al. 2008).

    >>> x = np.array([[0, 0.2], [0.4, 0.6]])  # four greys
    >>> entropy(x, x[None])
    2.0
    """
    return entropy_of_counts(np.bincount(quantised(fused).ravel(), minlength=LEVELS))


def standard_deviation(fused: NDArray, sources: NDArray) -> float:
    """SD: population standard deviation of the fused intensities (Rao 1997), in [0, ½].

    >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> standard_deviation(x, x[None])
    0.5
    """
    return float(np.std(fused, dtype=np.float64))


def spatial_frequency(fused: NDArray, sources: NDArray) -> float:
    """SF = √(RF² + CF²): root mean square of row and column differences (Eskicioglu & Fisher 1995).

    Both sums are divided by the number of pixels, as printed there.

    >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])  # four differences of 1 over four pixels
    >>> spatial_frequency(x, x[None])
    1.0
    """
    x = np.asarray(fused, np.float64)
    squares = np.square(np.diff(x, axis=0)).sum() + np.square(np.diff(x, axis=1)).sum()
    return float(np.sqrt(squares / x.size))


def average_gradient(fused: NDArray, sources: NDArray) -> float:
    """AG: mean of √((∂x² + ∂y²)/2) over pixels that have both forward differences (Cui et al. 2015).

    >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> average_gradient(x, x[None])
    1.0
    """
    x = np.asarray(fused, np.float64)
    down, right = np.diff(x, axis=0)[:, :-1], np.diff(x, axis=1)[:-1]
    return float(np.sqrt((down**2 + right**2) / 2).mean())


def correlation(x: NDArray, y: NDArray) -> float:
    """Pearson correlation over all pixels; 0 where either is constant.

    >>> x = np.array([0.0, 1.0])
    >>> [correlation(y, x) for y in (x, 1 - x, 0 * x)]
    [1.0, -1.0, 0.0]
    """
    x, y = (np.ravel(a) - np.mean(a, dtype=np.float64) for a in (x, y))
    scale = np.sqrt((x @ x) * (y @ y))
    # differences of equal float images leave rounding noise, whose correlation means nothing
    return float(np.clip(x @ y / scale, -1, 1)) if scale > 1e-12 * x.size else 0.0


def correlation_coefficient(fused: NDArray, sources: NDArray) -> float:
    """CC: Pearson correlation with each source, mean over sources (Ma et al. 2019). In [−1, 1].

    >>> x = np.array([[0.0, 1.0]])
    >>> correlation_coefficient(x, np.stack((x, x, 1 - x)))  # (1 + 1 − 1) / 3
    0.3333333333333333
    """
    return float(np.mean([correlation(fused, source) for source in sources]))


def sum_of_correlations_of_differences(fused: NDArray, sources: NDArray) -> float:
    """SCD: Σ_m r(fused − x_k, x_m), k the other source (Aslantas & Bendes 2015). In [−m, m].

    With more than two sources each term is the mean over all k ≠ m. A copied source leaves a
    difference of 0, whose correlation is 0/0: NaN in the copies in circulation. Here it counts 0:
    nothing came from the other source.

    >>> first, second = np.eye(2), np.array([[0.0, 1.0], [0.0, 0.0]])
    >>> round(sum_of_correlations_of_differences(first + second, np.stack((first, second))), 3)
    2.0
    """
    fused = np.asarray(fused, np.float64)
    total = 0.0
    for m, source in enumerate(sources):
        others = [x for k, x in enumerate(sources) if k != m]
        total += float(np.mean([correlation(fused - x, source) for x in others]))
    return total
