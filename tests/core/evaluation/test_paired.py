"""Methods compared patient by patient."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pgmif_core.evaluation.paired import measures_by_patient, paired_comparisons
from pgmif_core.evaluation.statistics import holm, mann_whitney, ranksum


def tidy(n=8, seed=0):
    rng = np.random.default_rng(seed)
    rows = [{"subject": f"s{k}", "method": m, "cnr": rng.normal(shift), "q_t1w": rng.random(),
             "q_t2w": 0.46 if m == "t2w" else rng.random() + 0.2 * shift}
            for k in range(n) for m, shift in (("t2w", 0), ("pgmif", 1), ("pwa", 1), ("other", 0))]
    return pd.DataFrame(rows)


def test_paired_comparisons():
    table = paired_comparisons(tidy())
    assert list(table) == ["measure", "method", "n", "median_difference", "p_mann_whitney", "p_ranksum",
                           "p_wilcoxon", "p_holm", "p_holm_all", "rank_biserial"]
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


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_p_value_needs_two_patients(n):
    table = paired_comparisons(tidy(n), columns=["cnr"])
    wide = tidy(n).pivot(index="subject", columns="method", values="cnr")
    for name, p in (("p_mann_whitney", lambda a, b: mann_whitney(a, b).p), ("p_ranksum", ranksum)):
        expected = [p(wide["pgmif"], wide[m]) if n > 1 else np.nan for m in table["method"]]
        np.testing.assert_allclose(table[name], expected)


def test_measures_are_joined_by_patient_and_method():
    wide = tidy(2)
    long = wide.melt(["subject", "method"], ["q_t1w", "q_t2w"], var_name="reference", value_name="q")
    long["reference"] = long["reference"].map({"q_t1w": "T1w", "q_t2w": "T2w"})
    shuffled = long.sample(frac=1, random_state=1)
    joined = measures_by_patient(wide[["subject", "method", "cnr"]], shuffled)
    pd.testing.assert_frame_equal(joined[wide.columns], wide)
