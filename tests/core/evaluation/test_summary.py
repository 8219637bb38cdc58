"""What a row of a summary holds; a coefficient of variation whose mean is near zero says nothing."""

import numpy as np
import pandas as pd
import pytest

from pgmif_core.evaluation.statistics import bootstrap_interval
from pgmif_core.evaluation.summary import (
    beside_published,
    p_versus,
    says_nothing,
    shown_summary,
    spread_of,
)


@pytest.mark.parametrize(("mean", "sd", "n", "empty"), [
    (1.0, 0.4, 10, False), (1.0, 1.5, 10, False), (1.0, 1.7, 10, True), (0.03, 1.0, 10, True),
    (-1.0, 0.4, 10, True), (1.0, 0.8, 3, False), (1.0, 0.9, 3, True), (1.0, 5.0, 100, False),
])
def test_a_cv_whose_mean_is_near_zero_says_nothing(mean, sd, n, empty):
    cv = pd.DataFrame({"label": ["A", "B"], "n": n, "cv_percent": [100 * sd / mean, 30.0],
                       "cv_low": [-816239.0, 20.0], "cv_high": [1.0, 40.0]})
    shown, note = shown_summary(cv)
    assert shown["cv_percent"].isna().tolist() == [empty, False]
    assert shown["cv_low"].isna().tolist() == [empty, False]
    assert ("A" in note.split() or "A." in note.split()) is empty
    assert "B" not in note


def test_the_bounds_of_a_cv_that_says_nothing():
    cv = pd.Series([-1.0, 0.0, 0.5, 100.0, 100.5])  # of four patients: two standard errors are 100 %
    assert says_nothing(cv, pd.Series([4] * 5)).tolist() == [True, True, False, False, True]


def test_the_spread_of_a_skewed_distribution():
    values = pd.Series([1.0, 2.0, 3.0, 5.0, 50.0, 60.0, 90.0])
    row = spread_of(values)
    assert [row[k] for k in ("n", "q1", "median", "q3")] == [7, 2.5, 5, 55]
    assert (row["median_low"], row["median_high"]) == bootstrap_interval(values, np.median)
    assert row["median_low"] != bootstrap_interval(values, np.mean).low


def test_p_is_none_against_itself_and_of_one_patient():
    low, high = pd.Series([1.0, 2.0]), pd.Series([3.0, 4.0])
    assert p_versus(low, high, "t1w") == pytest.approx(1 / 3)  # 2 of the 6 orders are as extreme
    for target, values, name in ((low, high, "pgmif"), (low[:1], high, "t1w"), (low, high[:1], "t1w")):
        assert np.isnan(p_versus(target, values, name))


@pytest.mark.parametrize("cvs", [(27.0, np.nan), (np.nan, np.nan)])
def test_a_summary_beside_the_papers(cvs):
    ours = pd.DataFrame({"method": ["t1w", "pgmif", "other"], "median": [1.0, 2.0, 3.0]})
    printed = pd.DataFrame({"method": ["pgmif", "t1w"], "median": [1.208, 1.044], "q1": [1.175, 0.957],
                            "q3": [1.381, 1.179], "p_versus_pgmif": [np.nan, 0.02], "cv_percent": cvs})
    table = beside_published(ours, printed)
    assert list(table)[:3] == ["method", "label", "median"]
    assert table["label"].tolist() == ["T1w", "PGMIF", "other"]
    assert table["paper_median"].tolist()[:2] == [1.044, 1.208]
    assert table.loc[2].filter(like="paper_").isna().all()
    assert ("paper_cv_percent" in table) is bool(np.isfinite(cvs[0]))
