"""A coefficient of variation whose mean is near zero says nothing."""

import pandas as pd
import pytest

from pgmif_core.evaluation.summary import shown_summary


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
