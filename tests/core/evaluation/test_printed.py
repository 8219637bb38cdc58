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
