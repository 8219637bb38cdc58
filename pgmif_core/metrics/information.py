"""Fusion metrics of mutual information: MI, NMI, FMI."""

import numpy as np
from numpy.typing import NDArray

from pgmif_core.metrics.intensity import LEVELS, entropy_of_counts, quantised
from pgmif_core.metrics.remembered import remembered

WINDOW = 3  # of FMI, pixels
BLOCK = 4096
TINY = np.float32(1e-30)  # where the logarithm of 0 is taken: 0 · log 0 = 0
ROUNDING = 1e-6  # of single precision: below, gradients, probabilities and entropies count as 0


@remembered
def _entropies(fused: NDArray, source: NDArray) -> tuple[float, float, float]:
    x, y = quantised(fused).ravel(), quantised(source).ravel()
    joint = np.bincount(x * LEVELS + y, minlength=LEVELS**2).reshape(LEVELS, LEVELS)
    return tuple(map(entropy_of_counts, (joint.sum(axis=1), joint.sum(axis=0), joint.ravel())))


def mutual_information(fused: NDArray, sources: NDArray) -> float:
    """MI: Σ_m I(fused; x_m) in bit, of 256-level histograms (Qu et al. 2002).

    Depends on quantisation: on raw float images every pixel is a level of its own and MI is the
    logarithm of the number of pixels, whatever the images show.

    >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])  # one bit; inverted, it still tells all
    >>> [mutual_information(y, x[None]) for y in (x, 1 - x, 0 * x)]
    [1.0, 1.0, 0.0]
    """
    return float(sum(f + s - j for f, s, j in (_entropies(fused, source) for source in sources)))


def normalized_mutual_information(fused: NDArray, sources: NDArray) -> float:
    """NMI: Σ_m 2·I(fused; x_m) / (H(fused) + H(x_m)) (Hossny et al. 2008), in [0, m].

    A constant fused image and a constant source share all there is: that term is 1.

    >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> normalized_mutual_information(x, np.stack((x, x)))
    2.0
    """
    total = 0.0
    for source in sources:
        f, s, joint = _entropies(fused, source)
        total += 2 * (f + s - joint) / (f + s) if f + s > 0 else 1.0
    return float(total)


def _plogp(p: NDArray) -> NDArray:
    return p * np.log(np.maximum(p, TINY))


@remembered
def _window_distributions(image: NDArray) -> tuple[NDArray, NDArray]:
    """Gradient magnitude in every window as a distribution over its pixels; (9, windows), and H."""
    feature = np.hypot(*np.gradient(np.asarray(image, np.float32)))
    height, width = (n - WINDOW + 1 for n in feature.shape)
    windows = np.stack([
        feature[i : i + height, j : j + width].ravel() for i, j in np.ndindex(WINDOW, WINDOW)
    ])
    low, high = windows.min(axis=0), windows.max(axis=0)
    p = np.where(high - low > ROUNDING, windows - low, np.float32(1))
    p /= p.sum(axis=0)
    return p, -_plogp(p).sum(axis=0)


def _shape_correlation(p: NDArray, q: NDArray) -> NDArray:
    p, q = p - p.mean(axis=0), q - q.mean(axis=0)
    scale = np.sqrt((p * p).sum(axis=0) * (q * q).sum(axis=0))
    return np.divide((p * q).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > ROUNDING)


def _accumulated(x: NDArray) -> NDArray:
    # row by row: np.cumsum along the first axis is several times slower
    for k in range(1, len(x)):
        x[k] += x[k - 1]
    return x


def _merged(first: NDArray, second: NDArray) -> NDArray:
    """Two stacks of ascending rows (8, n) sorted into one (16, n): a bitonic merge (Batcher 1968).

    Sorts all columns at once, several times faster than np.sort along the first axis.
    """
    x = np.concatenate((first, second[::-1]))
    distance = len(first)
    while distance:
        pairs = x.reshape(-1, 2, distance, x.shape[1])
        x = np.stack((pairs.min(axis=1), pairs.max(axis=1)), axis=1).reshape(x.shape)
        distance //= 2
    return x


def _upper_bound(p: NDArray, q: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Mass, row and column of the cells of the upper Fréchet bound of every pair of marginals.

    They lie between consecutive steps of either cumulative distribution: 17 cells for nine values.
    """
    count, windows = p.shape
    # positive floats sort like their bits; the last bit tells whose step it is
    steps = (_accumulated(x[:-1].astype(np.float32)).view(np.int32) for x in (p, q))
    bits = _merged(next(steps) & ~1, next(steps) | 1)
    columns = np.zeros((2 * count - 1, windows), np.int32)
    np.bitwise_and(bits, 1, out=columns[1:])
    _accumulated(columns)
    edges = np.ones((2 * count, windows), np.float32)
    edges[0], edges[1:-1] = 0, bits.view(np.float32)
    mass = np.maximum(edges[1:] - edges[:-1], 0)
    return mass, np.arange(2 * count - 1, dtype=np.int32)[:, None] - columns, columns


def _taken(x: NDArray, rows: NDArray) -> NDArray:
    """np.take_along_axis(x, rows, 0), faster."""
    return x.ravel().take(rows * x.shape[1] + np.arange(x.shape[1], dtype=np.int32), mode="clip")


def _shared(p: NDArray, h_p: NDArray, q: NDArray, h_q: NDArray) -> NDArray:
    """2·I / (H_p + H_q) of the joint distribution that FMI builds from two marginals, per window."""
    index = np.arange(len(p), dtype=p.dtype)
    same = np.abs(p - q).max(axis=0) < ROUNDING
    c = _shape_correlation(p, q)
    # the lower Fréchet bound is the upper one with an axis turned round
    q = np.where(c < 0, q[::-1], q)
    mass, rows, columns = _upper_bound(p, q)
    mean_p, mean_q = index @ p, index @ q
    spread = np.sqrt(np.maximum((index**2 @ p - mean_p**2) * (index**2 @ q - mean_q**2), 0))
    covariance = (mass * (rows * columns).astype(mass.dtype)).sum(axis=0) - mean_p * mean_q
    share = np.divide(
        np.abs(c) * spread, covariance, out=np.zeros_like(spread), where=covariance > ROUNDING
    )
    share = np.minimum(share, 1)
    rest = 1 - share
    independent = rest * _taken(p, rows) * _taken(q, columns)
    # −Σ J log J: all cells as if independent, corrected on the cells of the bound
    corrected = _plogp(independent) - _plogp(share * mass + independent)
    entropy = rest * (h_p + h_q) - _plogp(rest) + corrected.sum(axis=0)
    total = h_p + h_q
    value = np.divide(2 * (total - entropy), total, out=np.zeros_like(total), where=total > ROUNDING)
    return np.where(same, 1, np.clip(value, 0, 1))


def feature_mutual_information(fused: NDArray, sources: NDArray) -> float:
    """FMI: mutual information of gradient magnitude in 3×3 windows, mean over windows and sources.

    In every window the magnitudes, min-max scaled, are read as distributions over its pixels; their
    joint distribution is the mixture of independence and a Fréchet bound that has their correlation;
    2·I/(H_f + H_m) is averaged (Haghighat et al. 2011; windows: Haghighat & Razian 2014). In [0, 1].
    The mixture's share is cut at 1, so that no probability is negative; equal windows count 1.

    >>> x = np.random.default_rng(0).random((8, 8))
    >>> feature_mutual_information(x, x[None])
    1.0
    """
    p, h_p = _window_distributions(fused)
    values = []
    for source in sources:
        q, h_q = _window_distributions(source)
        parts = [slice(k, k + BLOCK) for k in range(0, len(h_p), BLOCK)]
        values += [_shared(p[:, s], h_p[s], q[:, s], h_q[s]) for s in parts]
    return float(np.concatenate(values).mean(dtype=np.float64))
