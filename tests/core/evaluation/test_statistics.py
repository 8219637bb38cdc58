"""Rank tests, Holm's correction and bootstrap intervals by their definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from pgmif_core.evaluation.statistics import (
    bootstrap_interval,
    holm,
    mann_whitney,
    paired_wilcoxon,
    quartiles,
    ranksum,
)


def test_mann_whitney_is_exact_and_two_sided():
    low, high = np.arange(10), np.arange(10) + 100
    result = mann_whitney(high, low)
    assert result.u == 100
    assert result.p == pytest.approx(2 / math.comb(20, 10))
    tied = [1, 2, 2, 3], [2, 2, 4, 5]
    assert mann_whitney(*tied).p == stats.mannwhitneyu(*tied, method="asymptotic").pvalue
    assert mann_whitney(*tied).p != stats.mannwhitneyu(*tied, method="exact").pvalue


def test_mann_whitney_against_enumeration():
    from itertools import combinations

    first, second = [0.3, 2.2, 4.1], [1.0, 1.5, 0.1, 3.0]
    pooled = np.array(first + second)

    def u(chosen):
        rest = [k for k in range(7) if k not in chosen]
        return sum(pooled[i] > pooled[j] for i in chosen for j in rest)

    every = np.array([u(c) for c in combinations(range(7), 3)])
    observed = u((0, 1, 2))
    tail = min((every <= observed).mean(), (every >= observed).mean())
    assert mann_whitney(first, second).p == pytest.approx(min(1, 2 * tail))


def test_quartiles_match_numpy_and_are_ordered():
    low, middle, high = quartiles([3, 1, 2, 4])
    assert (low, middle, high) == (1.75, 2.5, 3.25)


values = st.lists(st.integers(-50, 50), min_size=3, max_size=9)


def literal_wilcoxon(difference):
    """Every assignment of signs to the ranks, counted one by one."""
    difference = [d for d in difference if d]
    ranks = stats.rankdata(np.abs(difference))
    observed = abs(sum(r * np.sign(d) for r, d in zip(ranks, difference, strict=True)))
    sums = [abs(sum(r * s for r, s in zip(ranks, signs, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(ranks))]
    return sum(s >= observed - 1e-9 for s in sums) / len(sums)


@settings(max_examples=40, deadline=None)
@given(values)
def test_paired_wilcoxon_by_all_signs(difference):
    assume(any(difference))
    base = np.arange(len(difference), dtype=float)
    result = paired_wilcoxon(base + difference, base)
    assert result.p == pytest.approx(literal_wilcoxon(difference))
    other_way = paired_wilcoxon(base, base + difference)
    assert other_way.rank_biserial == pytest.approx(-result.rank_biserial)
    assert -1 <= result.rank_biserial <= 1


def test_paired_wilcoxon_of_many_pairs_by_scipy_and_the_same_every_time():
    rng = np.random.default_rng(0)
    difference = rng.normal(0.3, 1, 25)
    expected = stats.wilcoxon(difference, method="exact").pvalue
    assert paired_wilcoxon(difference, np.zeros(25)).p == pytest.approx(expected)
    tied = np.r_[difference, difference[:3], -difference[3:5]]
    assert len({paired_wilcoxon(tied, np.zeros(30)).p for _ in range(3)}) == 1


def test_paired_wilcoxon_limits():
    low = np.arange(10.0)
    above = paired_wilcoxon(low + np.linspace(1, 2, 10), low)
    assert above == pytest.approx((2 / 2**10, 1.0))
    assert paired_wilcoxon(low, low) == (1.0, 0.0)
    with pytest.raises(ValueError, match="paired samples"):
        paired_wilcoxon(low, low[:-1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_by_its_definition(p):
    adjusted = holm(p)
    order = sorted(range(len(p)), key=lambda k: p[k])
    for rank, k in enumerate(order):
        literal = max(min(1.0, (len(p) - i) * p[order[i]]) for i in range(rank + 1))
        assert adjusted[k] == pytest.approx(literal)


def test_holm_leaves_untested_rows_alone():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_bootstrap_interval_covers_and_is_honest_about_few_patients():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        low, high = bootstrap_interval(rng.normal(size=20), np.mean)
        inside += low <= 0 <= high
    assert inside >= 50
    assert np.isnan(bootstrap_interval([1.0, 2, 3, 4], np.median)).all()
    assert np.isfinite(bootstrap_interval([1.0, 2, 3, 4, 5], np.mean)).all()
    assert np.isnan(bootstrap_interval([1.0] * 8, np.median)).all()
    low, high = bootstrap_interval([1, 2, 3, 3, 3, 3, 4, 5, 6, 7], np.median)  # no jackknife spread
    assert 1 <= low <= 3 <= high <= 7
    assert bootstrap_interval(range(10), np.median) == bootstrap_interval(range(10), np.median, seed=0)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_bootstrap_interval_is_bca_whatever_the_scale(scale):
    values = scale * np.array([0.0, 1, 3, 4, 9, 12])
    found = bootstrap_interval(values, np.mean)
    expected = [stats.bootstrap((values,), np.mean, n_resamples=9999, method=method,
                                rng=np.random.default_rng(0)).confidence_interval
                for method in ("BCa", "percentile")]
    assert found == expected[0]
    assert found != expected[1]


def test_ranksum_is_that_of_matlab():
    ten = np.arange(10.0)
    assert ranksum(ten, ten + 100) == pytest.approx(1.8267e-4, rel=1e-4)  # what MATLAB prints for it
    # by hand: U = 5 of 100 pairs, mean 50, variance 10·10·21/12, half a pair of continuity
    shifted = np.array([4.5, *range(100, 109)])
    z = (50 - 5 - 0.5) / np.sqrt(175)
    assert mann_whitney(ten, shifted).u == 5
    assert ranksum(ten, shifted) == pytest.approx(2 * stats.norm.sf(z))
    # exact only where both samples are small
    assert ranksum(ten[:9], ten[:9] + 100) == pytest.approx(2 / math.comb(18, 9))
    assert ranksum(ten[:9], ten + 100) == mann_whitney(ten[:9], ten + 100).p
    assert ranksum(ten[:9], np.arange(11.0) + 100) != mann_whitney(ten[:9], np.arange(11.0) + 100).p
