"""What quartiles and P values that were printed allow."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgmif_core.evaluation.printed import (
    exact_p,
    largest_u_below,
    possible_u,
    printed_consistency,
    samples_with_u,
)
from pgmif_core.evaluation.statistics import mann_whitney


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
    for n in (3, 4):  # strictly below, up to half of the pairs
        p = [exact_p(u, n, n) for u in range(n * n // 2 + 1)]
        assert [largest_u_below(x, n) for x in p] == list(range(-1, n * n // 2))
        assert largest_u_below(1.5, n) == n * n // 2


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


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-60, 60), min_size=6, max_size=6, unique=True))
def test_quartiles_of_three_tell_everything(values):
    first, second = np.array(values[:3]) * 0.08, np.array(values[3:]) * 0.08
    printed = [tuple(np.percentile(x, [25, 50, 75])) for x in (first, second)]
    u = sum(b > a for a in first for b in second)
    assert possible_u(*printed, n=3) == (u, u)


def test_printing_rounds():
    half, same = (0.5, 0.5, 0.5), (0.0, 0.0, 0.0)
    assert possible_u(half, half, n=1) == possible_u(same, same, n=1) == (0, 1)
    assert possible_u(half, (0.501, 0.501, 0.501), n=1) == (1, 1)  # at most and at least 0.5005
    assert possible_u(half, (0.499, 0.499, 0.499), n=1) == (0, 0)
    skew = (0.5, 0.5, 0.501)  # two values have their median in the middle: only rounding allows this
    assert possible_u(skew, (2.0, 2.0, 2.0), n=2) == (4, 4)
    assert possible_u(skew, (2.0, 2.0, 2.0), n=2, decimals=4) is None


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
    assert rows.loc["t2w", ["p_needed", "p_next"]].tolist() == [exact_p(11), exact_p(12)]
    tested = table.dropna(subset="p_printed")
    assert (tested["p_needed"] < tested["p_printed"]).all()
    assert (tested["p_printed"] <= tested["p_next"]).all()


@pytest.mark.parametrize(("u", "verdict"), [(8, "impossible: the quartiles overlap too much"),
                                            (9, "possible"), (10, "possible")])
def test_a_p_at_the_least_u_is_possible(root, u, verdict):
    published = pd.read_csv(root / "published" / "results.csv")
    pair = published[(published["metric"] == "cnr") & published["method"].isin(["pgmif", "t2w"])].copy()
    pair.loc[pair["method"] == "t2w", "p_versus_pgmif"] = (exact_p(u) + exact_p(u + 1)) / 2
    row = printed_consistency(pair).iloc[0]
    assert (row["u_needed"], row["u_least"], row["verdict"]) == (u, 9, verdict)
