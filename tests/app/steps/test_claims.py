"""Claims of the paper: when they hold, and when they cannot be tested."""

import numpy as np
import pandas as pd
import pytest
from helpers.tidy_tables import NAMES, tidy

from pgmif.steps.claims import (
    BEYOND,
    NOT_MEASURED,
    claims_table,
    claims_under_readings,
    counted,
    depends_on,
    fusion_table,
)
from pgmif.steps.cnr_boxplots import summarize_cnr
from pgmif.steps.sobel_analysis import summarize_sobel
from pgmif_core.metrics.paper import NO_CHANGE


def claims(published, pgmif=1.2, blurred=1.0, others=0.8, n=10, seconds=0.02):
    means = dict.fromkeys(NAMES, others) | {"pgmif": pgmif, "t2w_blurred": blurred}
    cnr = summarize_cnr(tidy("cnr", means, n), published)
    sobel = pd.concat([
        summarize_sobel(tidy("q", means, n, r), published, r).assign(reference=r)
        for r in ("T1w", "T2w")
    ])
    return claims_table(cnr, sobel, seconds).set_index("claim")


def test_claims_hold_when_pgmif_wins(published):
    table = claims(published)
    own = table[table.index.str.contains("PGMIF")]
    assert (own["verdict"] == "holds").sum() >= len(own) - 1
    assert table.loc["PGMIF has the highest median CNR", "paper"] == "1.21"


def test_claims_fail_when_it_does_not(published):
    table = claims(published, pgmif=0.5, seconds=0.3)
    assert table.loc["PGMIF has the highest median CNR", "verdict"] == "not reproduced"
    assert table.loc["CNR: PGMIF above T2w", "verdict"] == "not reproduced"
    assert table.loc["a pair is fused within 0.1 s", "verdict"] == "not reproduced"


def test_a_control_that_wins_is_named(published):
    table = claims(published, blurred=2.0)
    row = table.loc["PGMIF has the highest median CNR"]
    assert row["verdict"] == "holds"
    assert "beaten by the control T2w blurred" in row["why"]


def test_too_few_patients_cannot_test_a_p_value(published):
    table = claims(published, n=2)
    assert table.loc["CNR: PGMIF above T1w", "verdict"] == "cannot be tested"
    assert "no P below 0.05" in table.loc["CNR: PGMIF above T1w", "why"]


def test_cv_of_mixed_signs_is_not_a_spread(published):
    table = claims(published, others=-0.8)
    row = table.loc["PGMIF has the lowest inter-patient CV of CNR"]
    assert row["verdict"] == "cannot be tested"


def by_hand(medians, cvs, p, printed_p, n=10):
    """A summary as 05 and 06 write it, every number given."""
    return pd.DataFrame({
        "method": list(medians), "n": n, "median": list(medians.values()),
        "cv_percent": [cvs.get(m, 20.0) for m in medians],
        "p_versus_pgmif": [p.get(m, float("nan")) for m in medians],
        "paper_median": [1.208 if m == "pgmif" else 1.0 for m in medians],
        "paper_cv_percent": 31.4,
        "paper_p_versus_pgmif": [printed_p.get(m, float("nan")) for m in medians],
    })


def test_every_row_of_the_claims_of_a_cohort_worked_out_by_hand():
    medians = {"t1w": 0.5, "t2w": 2.0, "pgmif": 1.5, "gmmci": 1.2, "dlmwl": 1.5, "pwa": 1.4, "moi": 1.0,
               "t2w_blurred": 1.9, "t2w_sharpened": 1.5}
    cvs = {"pgmif": 30.0, "gmmci": 25.0, "t2w_blurred": -5.0, "t2w_sharpened": 10.0}
    p = {"t1w": 1e-4, "t2w": 1e-3, "gmmci": 0.04, "dlmwl": 1e-5, "pwa": 0.2, "moi": 5e-4}
    bound = dict.fromkeys(("t1w", "gmmci", "dlmwl", "pwa", "moi"), 5.6e-4) | {"t2w": 2.4e-3}
    cnr = by_hand(medians, cvs, p, bound)
    q = {"t1w": 0.462, "t2w": 0.5, "pgmif": 0.7, "gmmci": 0.8, "dlmwl": 0.4, "pwa": 0.6, "moi": 0.65,
         "t2w_sharpened": 0.9}
    q_p = {"gmmci": 0.01, "dlmwl": 1e-5, "pwa": 0.049, "moi": 0.051}
    other = q | {"gmmci": 0.6, "pwa": 0.75, "t2w_sharpened": 0.3}
    other_p = {"gmmci": 0.05, "dlmwl": 5.6e-4, "pwa": 0.01, "moi": 0.01}
    printed = dict.fromkeys(("gmmci", "dlmwl", "pwa"), 5.6e-4)
    sobel = pd.concat([by_hand(q, {}, q_p, printed).assign(reference="T1w"),
                       by_hand(other, {}, other_p, printed).assign(reference="T2w")])
    table = claims_table(cnr, sobel, 0.1)
    yes, no, none = "holds", "not reproduced", ""
    expected = [
        ("PGMIF has the highest median CNR", no, none),
        ("PGMIF has the lowest inter-patient CV of CNR", no, none),
        ("the order of the inter-patient CVs", no, none),
        ("CNR: PGMIF above T1w", yes, yes), ("CNR: PGMIF above T2w", no, no),
        ("CNR: PGMIF above GMMCI", yes, no), ("CNR: PGMIF above DLMWL", no, no),  # equal is not above
        ("CNR: PGMIF above PWA", no, no), ("CNR: PGMIF above MoI", yes, yes),
        ("PGMIF has the highest generalized Sobel against T1w", no, none),
        ("Sobel against T1w: PGMIF above GMMCI", no, no),
        ("Sobel against T1w: PGMIF above DLMWL", yes, yes),
        ("Sobel against T1w: PGMIF above PWA", yes, no),
        ("Sobel against T1w: PGMIF above MoI", no, none),
        ("PGMIF has the highest generalized Sobel against T2w", no, none),
        ("Sobel against T2w: PGMIF above GMMCI", no, no),  # P = 0.05 is not below it
        ("Sobel against T2w: PGMIF above DLMWL", yes, no),  # nor the printed P below itself
        ("Sobel against T2w: PGMIF above PWA", no, no),
        ("Sobel against T2w: PGMIF above MoI", yes, none),
        ("PWA is less sharp than each source", no, none),
        ("a pair is fused within 0.1 s", yes, none),
        *((claim, "cannot be tested", none) for claim, *_ in NOT_MEASURED),
    ]
    found = table[["claim", "verdict", "at_printed_p"]]
    assert list(found.itertuples(index=False, name=None)) == expected
    assert table.loc[table["counts"] != "yes", "claim"].tolist() == [
        claim for claim, *_ in expected if "highest" in claim]
    assert len(counted(table)) == len(table) - 3
    why = table.set_index("claim")["why"]
    assert why["PGMIF has the highest median CNR"] == (
        "best of the compared: T2w (2); also beaten by the control T2w blurred")
    # a control whose CV is negative is no winner
    assert why["PGMIF has the lowest inter-patient CV of CNR"] == (
        "best of the compared: T1w (20); also beaten by the control T2w sharpened")
    assert why["PGMIF has the highest generalized Sobel against T1w"] == (
        "best of the compared: GMMCI (0.8); also beaten by the control T2w sharpened")
    assert why["PGMIF has the highest generalized Sobel against T2w"] == (
        "best of the compared: PWA (0.75)")
    assert why["PWA is less sharp than each source"].startswith("median Q against T1w / T2w")
    assert why["Sobel against T1w: PGMIF above MoI"] == (
        "PGMIF's median is greater, but not significantly")
    for n, cannot in ((3, True), (4, False)):
        few = claims_table(by_hand(medians, cvs, p, bound, n=n), sobel.assign(n=n), 0.101)
        assert few.set_index("claim").loc["a pair is fused within 0.1 s", "verdict"] == no
        pairs = few[few["claim"].str.contains(" above ")]
        printed = pairs.loc[pairs["at_printed_p"] != "", "at_printed_p"]
        for verdicts in (pairs["verdict"], printed):
            assert set(verdicts) == ({"cannot be tested"} if cannot else {yes, no})


def a_cohort(**columns):
    """CNR and Sobel summaries of methods that tie, with other columns for CNR."""
    medians = dict.fromkeys(("t1w", "t2w", "pgmif", "gmmci", "dlmwl", "pwa", "moi"), 0.5)
    cnr = by_hand(medians, {}, dict.fromkeys(medians, 0.5), {"t1w": 5.6e-4}).assign(**columns)
    fused = {m: 0.5 for m in medians if m not in ("t1w", "t2w")}
    sobel = pd.concat([by_hand(fused, {}, {}, {}).assign(reference=r) for r in ("T1w", "T2w")])
    return cnr, sobel


@pytest.mark.parametrize(("cvs", "verdicts"), [
    ([3, 2, 1, 4, 5, 6, 7], ["holds", "holds"]), ([3, 2, 1, 4, 5, 7, 6], ["holds", "not reproduced"]),
    ([3, 1, 2, 4, 5, 6, 7], ["not reproduced", "not reproduced"]),
    ([3, 2, 1, 4, 5, 6, -7], ["cannot be tested"] * 2),
    ([3, 2, 1, 4, 5, 6, float("nan")], ["cannot be tested"] * 2),
])
def test_the_order_of_the_spreads_between_patients(cvs, verdicts):
    cnr, sobel = a_cohort(cv_percent=np.array(cvs, float), paper_cv_percent=[30, 20, 10, 40, 50, 60, 70])
    table = claims_table(cnr, sobel, 0.1).set_index("claim")
    rows = table.loc[["PGMIF has the lowest inter-patient CV of CNR",
                      "the order of the inter-patient CVs"]]
    assert rows["verdict"].tolist() == verdicts
    if cvs[-1] == -7:
        assert rows["why"].str.contains("MoI").all()


def test_a_p_that_is_missing_tests_nothing():
    cnr, sobel = a_cohort(p_versus_pgmif=np.nan)
    row = claims_table(cnr, sobel, 0.1).set_index("claim").loc["CNR: PGMIF above T1w"]
    assert (row["at_printed_p"], row["here"]) == ("cannot be tested", "no test")


@pytest.mark.parametrize(("q", "verdict"), [
    ((0.4, 0.45), "holds"), ((0.45, 0.6), "not reproduced"), ((0.6, 0.6), "not reproduced"),
    ((0.4, NO_CHANGE), "not reproduced")])
def test_an_average_is_less_sharp_than_each_source(q, verdict):
    cnr, sobel = a_cohort()
    sobel.loc[sobel["method"] == "pwa", "median"] = q
    row = claims_table(cnr, sobel, 0.1).set_index("claim").loc["PWA is less sharp than each source"]
    assert (row["verdict"], row["value"]) == (verdict, max(q))


def gains_by_hand(both, t1w, t2w):
    """Rows as 07 writes them of PGMIF, CNR by patient; within slices it is twice that."""
    return pd.DataFrame([
        {"subject": f"p{k}", "method": "pgmif", "fed": fed, "cnr": value, "cnr_within": 2 * value}
        for fed, values in (("all", both), ("T1w", t1w), ("T2w", t2w))
        for k, value in enumerate(values)])


@pytest.mark.parametrize(("both", "limit", "verdicts", "here", "why"), [
    ([3.0] * 6, 2.0, ["holds", "holds"], ["+1.00", "3.00 : 2.00"], "higher in 6 of 6"),
    ([3.0] * 5 + [1.0], 4.0, ["not reproduced"] * 2, ["+1.00", "3.00 : 4.00"], "higher in 5 of 6"),
    ([1.0] * 6, 1.0, ["not reproduced"] * 2, ["-1.00", "1.00 : 1.00"], "higher in 0 of 6"),
    ([3.0] * 5, 2.0, ["cannot be tested"] * 2, ["+1.00", "3.00 : 2.00"], "P = 0.062; higher in 5 of 5"),
])
def test_what_fusing_itself_gives_is_two_rows_that_do_not_count(
    published, both, limit, verdicts, here, why
):
    n = len(both)
    subjects = [f"p{k}" for k in range(n)]
    limits = pd.DataFrame({"subject": subjects, "limit": limit, "limit_within": 100.0})
    fusion = fusion_table(gains_by_hand(both, [0.5] * n, [2.0] * n), limits)
    cnr = summary_of(published, 0.8, pgmif=1.2)
    sobel = pd.concat([
        summarize_sobel(tidy("q", dict.fromkeys(NAMES, 0.5), 10, r), published, r).assign(reference=r)
        for r in ("T1w", "T2w")])
    table = claims_table(cnr, sobel, 0.02, fusion)
    rows = table[table["counts"] == BEYOND]
    assert rows["verdict"].tolist() == verdicts
    assert rows["here"].tolist() == here
    assert why in rows["why"].iloc[0]
    assert len(counted(table)) == len(counted(claims_table(cnr, sobel, 0.02)))
    inside = claims_table(cnr, sobel, 0.02, fusion, within=True).set_index("claim")
    assert inside.loc["fusing adds to PGMIF's CNR of one source alone", "value"] == 2 * rows[
        "value"].iloc[0]
    assert inside.loc["PGMIF's CNR is above that of the best linear mix", "verdict"] in (
        "not reproduced", "cannot be tested")


def test_fusing_that_adds_nothing_to_most_patients_does_not_hold():
    n = 13  # six gain (P = 0.031), seven are as they were
    limits = pd.DataFrame({"subject": [f"p{k}" for k in range(n)], "limit": 0.1, "limit_within": 9.0})
    gains = gains_by_hand([2.0 + 0.1 * max(k - 6, 0) for k in range(n)], [0.5] * n, [2.0] * n)
    cnr, sobel = a_cohort()
    fusion = fusion_table(gains, limits)
    read = claims_under_readings(cnr, cnr, sobel, sobel.assign(reading="crop"), 0.1, fusion)
    rows = {name: table[table["counts"] == BEYOND] for name, table in read.items()}
    assert rows[""]["verdict"].tolist() == ["not reproduced", "holds"]
    assert rows[""]["value"].tolist() == [0.0, pytest.approx(1.9)]
    assert rows["σ within slices"]["value"].tolist() == [0.0, pytest.approx(-5.0)]
    skew = fusion_table(gains_by_hand([3.0] * 6 + [30.0], [1.0] * 7, [1.0] * 7), limits[:7])
    found = claims_table(cnr, sobel, 0.1, skew)
    assert found.loc[found["counts"] == BEYOND, "value"].tolist() == [2.0, pytest.approx(2.9)]


def test_the_better_of_one_source_alone_is_that_of_the_patient():
    limits = pd.DataFrame({"subject": ["p0", "p1"], "limit": 1.0, "limit_within": 1.0})
    fusion = fusion_table(gains_by_hand([1.0, 1.0], [3.0, 0.0], [0.0, 0.5]), limits)
    assert fusion["gain"].tolist() == [-2.0, 0.5]
    with pytest.raises(ValueError, match="expected PGMIF among the fused methods"):
        fusion_table(gains_by_hand([1.0], [1.0], [1.0]).assign(method="pwa"), limits)


def summary_of(published, value, **means):
    return summarize_cnr(tidy("cnr", dict.fromkeys(NAMES, value) | means, 10), published)


def test_claims_say_on_which_measurement_they_depend(published):
    won, lost = summary_of(published, 0.8, pgmif=1.2), summary_of(published, 1.2, pgmif=0.8)
    sobel = pd.concat([
        summarize_sobel(tidy("q", dict.fromkeys(NAMES, 0.5) | {"pgmif": 0.6}, 10, r), published, r)
        .assign(reference=r) for r in ("T1w", "T2w")
    ])
    claims = claims_table(won, sobel, 0.02)
    others = {"within": claims_table(lost, sobel, 0.02), "filtered first": claims}
    table = claims.assign(depends_on=depends_on(claims, others)).set_index("claim")
    assert table.loc["PGMIF has the highest median CNR", "depends_on"] == "within: not reproduced"
    assert table.loc["CNR: PGMIF above T2w", "depends_on"] == "within: not reproduced"
    assert (table.loc[table.index.str.startswith("Sobel"), "depends_on"] == "nothing").all()
