import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from pgmif_core.evaluation.paired import measures_by_patient, paired_comparisons
from pgmif_core.evaluation.printed import (
    exact_p,
    largest_u_below,
    possible_u,
    printed_consistency,
    samples_with_u,
)
from pgmif_core.evaluation.statistics import bootstrap_interval, holm, mann_whitney, paired_wilcoxon

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
    assert np.isnan(bootstrap_interval([1.0, 2, 3], np.median)).all()
    assert np.isnan(bootstrap_interval([1.0] * 8, np.median)).all()
    low, high = bootstrap_interval([1, 2, 3, 3, 3, 3, 4, 5, 6, 7], np.median)  # no jackknife spread
    assert 1 <= low <= 3 <= high <= 7
    assert bootstrap_interval(range(10), np.median) == bootstrap_interval(range(10), np.median)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_samples_have_the_wanted_u(n, m, data):
    u = data.draw(st.integers(0, n * m))
    first, second = samples_with_u(u, n, m)
    assert sum(a > b for a in first for b in second) == u
    assert mann_whitney(first, second).u == u
    assert len(set(first + second)) == n + m


def test_exact_p_by_all_orders():
    n = 4
    for u in range(n * n + 1):
        us = [sum(a > b for a in chosen for b in set(range(2 * n)) - set(chosen))
              for chosen in itertools.combinations(range(2 * n), n)]
        extreme = sum(min(v, n * n - v) <= min(u, n * n - u) for v in us) / len(us)
        assert exact_p(u, n, n) == pytest.approx(extreme)
    with pytest.raises(ValueError, match="U must lie in"):
        exact_p(17, n, n)


def test_the_papers_p_lies_between_two_values_of_u():
    assert largest_u_below(5.60e-4) == 7
    assert exact_p(7) < 5.60e-4 < exact_p(8)
    assert largest_u_below(1e-6) == -1


# no two alike, and quartiles of at most two decimals: printing them rounds nothing
twelve = st.lists(st.integers(-60, 60), min_size=12, max_size=12, unique=True)


@settings(max_examples=25, deadline=None)
@example([0, 2, -16, 4, -22, -23, 1, 3, 46, 47, 48, -1])  # HiGHS once found no such sample
@example([-10, 55, 50, -43, 2, 40, -15, -16, -22, -9, 44, -57])
@given(twelve)
def test_a_real_sample_lies_within_what_its_quartiles_allow(values):
    first, second = np.array(values[:6]) * 0.08, np.array(values[6:]) * 0.08
    printed = [tuple(np.round(np.percentile(x, [25, 50, 75]), 3)) for x in (first, second)]
    low, high = possible_u(*printed, n=6)
    assert low <= sum(b > a for a in first for b in second) <= high


def test_impossible_quartiles_are_found():
    assert possible_u((1.0, 2.0, 3.0), (0.957, 1.044, 1.042)) is None
    low, high = possible_u((10.0, 11.0, 12.0), (1.0, 2.0, 3.0))
    assert (low, high) == (0, 36)  # two values of either sample are free on each side


def test_the_papers_own_numbers(root):
    table = printed_consistency(pd.read_csv(root / "published" / "results.csv"))
    rows = table[table["metric"] == "cnr"].set_index("method")
    assert rows.loc["t1w", "verdict"].startswith("impossible")
    assert (rows.drop("t1w")["verdict"] == "possible").all()
    assert rows.loc["t2w", ["u_needed", "u_least"]].tolist() == [11, 9]


def tidy(n=8, seed=0):
    rng = np.random.default_rng(seed)
    rows = [{"subject": f"s{k}", "method": m, "cnr": rng.normal(shift), "q_t1w": rng.random(),
             "q_t2w": 0.46 if m == "t2w" else rng.random() + 0.2 * shift}
            for k in range(n) for m, shift in (("t2w", 0), ("pgmif", 1), ("pwa", 1), ("other", 0))]
    return pd.DataFrame(rows)


def test_paired_comparisons():
    table = paired_comparisons(tidy())
    assert len(table) == 3 * 3 - 1  # T2w against itself is left out
    wide = tidy().pivot(index="subject", columns="method", values="cnr")
    row = table[(table["measure"] == "cnr") & (table["method"] == "pwa")].iloc[0]
    assert row["median_difference"] == pytest.approx((wide["pgmif"] - wide["pwa"]).median())
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(wide["pgmif"], wide["pwa"]).pvalue)
    np.testing.assert_allclose(table["p_holm_all"], holm(table["p_wilcoxon"]))
    assert (table["p_holm_all"] >= table["p_wilcoxon"]).all()
    papers = (table["method"] == "pwa") | ((table["method"] == "t2w") & (table["measure"] == "cnr"))
    np.testing.assert_allclose(table.loc[papers, "p_holm"], holm(table.loc[papers, "p_wilcoxon"]))
    assert table.loc[~papers, "p_holm"].isna().all()


def test_measures_are_joined_by_patient_and_method():
    wide = tidy(2)
    long = wide.melt(["subject", "method"], ["q_t1w", "q_t2w"], var_name="reference", value_name="q")
    long["reference"] = long["reference"].map({"q_t1w": "T1w", "q_t2w": "T2w"})
    shuffled = long.sample(frac=1, random_state=1)
    joined = measures_by_patient(wide[["subject", "method", "cnr"]], shuffled)
    pd.testing.assert_frame_equal(joined[wide.columns], wide)
