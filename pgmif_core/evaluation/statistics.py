"""Statistics between methods: the paper's Mann-Whitney test, and the paired ones that fit its design."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

SMALLEST_BOOTSTRAP = 5  # below, resampled patients repeat too much for an interval to mean anything
RESAMPLES = 9999


class MannWhitney(NamedTuple):
    """U of the first sample and the exact two-sided P value."""

    u: float
    p: float


class Wilcoxon(NamedTuple):
    """Two-sided P of the paired test, and the rank-biserial correlation (effect size) in [−1, 1]."""

    p: float
    rank_biserial: float


class Interval(NamedTuple):
    """Bounds of a confidence interval; NaN where it cannot be had."""

    low: float
    high: float


def mann_whitney(first: ArrayLike, second: ArrayLike) -> MannWhitney:
    """Two-sided Mann-Whitney test that two samples share a distribution, as in the paper.

    Exact where there are no ties, otherwise the normal approximation with tie correction (scipy).
    U is large where `first` tends to be greater. The paper tests the same ten patients under two
    methods as if independent; `paired_wilcoxon` is the right test, and P cannot fall below
    2 / C(20, 10) = 1.1e-5 with ten against ten.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    ties = len(np.unique(np.concatenate((first, second)))) < first.size + second.size
    method = "asymptotic" if ties else "exact"
    result = stats.mannwhitneyu(first, second, alternative="two-sided", method=method)
    return MannWhitney(float(result.statistic), float(result.pvalue))


def ranksum(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided P of the Mann-Whitney test as MATLAB's `ranksum` gives it: the paper names MATLAB.

    Exact where the smaller sample has fewer than 10 values and both together fewer than 20; else the
    normal approximation, with corrections for ties and continuity (MATLAB's documentation). With ten
    against ten that is never exact: its least P is 1.8e-4 where the exact one is 1.1e-5.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    few = min(first.size, second.size) < 10 and first.size + second.size < 20
    if few:
        return mann_whitney(first, second).p
    result = stats.mannwhitneyu(first, second, alternative="two-sided", method="asymptotic",
                                use_continuity=True)
    return float(result.pvalue)


def paired_wilcoxon(first: ArrayLike, second: ArrayLike) -> Wilcoxon:
    """Wilcoxon signed-rank test of paired samples (the same patients under two methods), exact.

    The rank-biserial correlation is (W₊ − W₋) / (W₊ + W₋) (Kerby 2014): 1 where `first` is greater in
    every patient, 0 where neither tends to be. Equal pairs are left out; P is 1 where all are equal.
    With n pairs P cannot fall below 2^(1−n): 0.002 for ten patients. Raises ValueError where the
    samples differ in length.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"expected paired samples, found shapes {first.shape} and {second.shape}")
    difference = first - second
    difference = difference[difference != 0]
    if difference.size == 0:
        return Wilcoxon(1.0, 0.0)
    ranks = stats.rankdata(np.abs(difference))
    signed = float((ranks * np.sign(difference)).sum())
    return Wilcoxon(_signed_rank_p(ranks, signed), signed / float(ranks.sum()))


def _signed_rank_p(ranks: NDArray, signed: float) -> float:
    """Exact P of a sum of signed ranks, ties or not: all 2^n sign patterns, counted by convolution.

    (scipy is exact only without ties.)
    """
    doubled = np.rint(2 * ranks).astype(int)  # mid-ranks are halves
    chance = np.ones(1)
    for rank in doubled:
        chance = (np.pad(chance, (0, 2 * rank)) + np.pad(chance, (2 * rank, 0))) / 2
    sums = np.arange(chance.size) - doubled.sum()
    return float(min(chance[np.abs(sums) >= round(2 * abs(signed))].sum(), 1.0))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P values adjusted for several comparisons by Holm's step-down method (1979); NaN stays NaN."""
    p = np.asarray(p_values, float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested])]
    factors = np.arange(order.size, 0, -1)
    adjusted = np.full_like(p, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return adjusted


def bootstrap_interval(
    values: ArrayLike, statistic: Callable[[NDArray], float], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """BCa bootstrap interval of a statistic over patients (Efron 1987; scipy).

    NaN with fewer than five patients, or where all agree. Where leaving out any one patient changes
    nothing (equal medians), BCa is undefined and the percentile interval is given.
    """
    values = np.asarray(values, float)
    if values.size < SMALLEST_BOOTSTRAP or np.ptp(values) == 0:
        return Interval(np.nan, np.nan)
    without_one = [statistic(np.delete(values, k)) for k in range(values.size)]
    result = stats.bootstrap(
        (values,), statistic, n_resamples=RESAMPLES, confidence_level=confidence,
        method="BCa" if np.ptp(without_one) > 0 else "percentile", rng=np.random.default_rng(seed),
    )
    return Interval(*map(float, result.confidence_interval))


def quartiles(values: ArrayLike) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile (linear interpolation)."""
    low, middle, high = np.percentile(np.asarray(values, float), [25, 50, 75])
    return float(low), float(middle), float(high)
