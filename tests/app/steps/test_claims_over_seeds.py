"""Claims over seeds: when they hold, how they are counted, how far medians move."""

import numpy as np
import pandas as pd
import pytest

from pgmif.steps.claims_over_seeds import (
    MEASURES,
    over_seeds,
    patient_measures,
    seed_medians,
    seed_spread,
)


def one_seed(verdict, value, printed=""):
    return pd.DataFrame([{
        "claim": "a", "paper": "1", "here": "x", "value": value, "verdict": verdict,
        "at_printed_p": printed, "counts": "yes", "why": "w"}])


@pytest.mark.parametrize(("verdicts", "over", "count"), [
    (["holds"] * 3, "holds", "3 of 3"),
    (["not reproduced"] * 3, "not reproduced", "0 of 3"),
    (["holds", "not reproduced", "holds"], "depends on the seed", "2 of 3"),
    (["not reproduced", "holds", "not reproduced"], "depends on the seed", "1 of 3"),
    (["holds", "cannot be tested", "holds"], "cannot be tested", "2 of 3"),
])
def test_a_claim_holds_only_where_it_does_with_every_seed(verdicts, over, count):
    row = over_seeds([one_seed(v, float(k)) for k, v in enumerate(verdicts)]).iloc[0]
    assert (row["verdict"], row["holds_in"]) == (over, count)
    assert (row["lowest"], row["median"], row["highest"]) == (0, 1, 2)
    assert row["at_printed_in"] == ""  # the paper prints no P of it


def test_the_printed_p_is_counted_by_itself():
    tables = [one_seed("holds", 0.01, p) for p in ("holds", "not reproduced", "holds")]
    assert over_seeds(tables).iloc[0]["at_printed_in"] == "2 of 3"


def test_a_number_that_no_seed_has_is_none():
    row = over_seeds([one_seed("cannot be tested", np.nan)] * 2).iloc[0]
    assert np.isnan([row["median"], row["lowest"], row["highest"]]).all()


def test_other_claims_with_another_seed_are_refused():
    with pytest.raises(ValueError, match="a method is missing"):
        over_seeds([one_seed("holds", 1.0), one_seed("holds", 1.0).assign(claim="b")])


def tables(shift, methods=("t2w", "pgmif", "gmmci"), seed=None, once=()):
    """Three patients; only trained methods move with the seed, and of those none that is trained `once`,
    with seed 0."""
    own = [(m, f"p{k}", k + (0 if m == "t2w" else shift)) for m in methods for k in (1.0, 2.0, 6.0)]
    of = pd.DataFrame(own, columns=["method", "subject", "x"]).assign(
        seed=shift if seed is None else seed)
    of.loc[of["method"].isin(once), "seed"] = 0
    sobel = pd.concat([of.assign(reference=r, q=of["x"] * f) for r, f in (("T1w", 0.1), ("T2w", 0.2))])
    return {"cnr": of.assign(cnr=of["x"], cnr_within=2 * of["x"]),
            "fidelity": of.assign(ssim_t2w=of["x"] / 10), "sobel": sobel}


def test_medians_of_each_seed_by_hand():
    medians = seed_medians({seed: tables(seed) for seed in (4, 5, 6)})
    assert medians[["method", "seed"]].to_numpy().tolist() == [
        [m, s] for m in ("pgmif", "gmmci") for s in (4, 5, 6)]  # T2w has no seed
    row = medians[(medians["method"] == "pgmif") & (medians["seed"] == 5)].iloc[0]
    assert row[list(MEASURES)].astype(float).tolist() == pytest.approx([7, 14, 0.7, 1.4, 0.7])


def test_the_spread_of_seeds_beside_that_of_patients():
    by_seed = {seed: tables(seed) for seed in (0, 1, 2)}
    spread = seed_spread(seed_medians(by_seed), patient_measures(by_seed[0]))
    row = spread.set_index(["method", "measure"]).loc[("pgmif", "cnr")]
    assert (row["seeds"], row["lowest"], row["median"], row["highest"]) == (3, 2, 3, 4)
    assert row["cv_percent"] == pytest.approx(100 / 3)
    assert row["agree"] == "no"
    assert row["patient_sd"] == pytest.approx(np.std([1, 2, 6], ddof=1))
    near = seed_medians({s: tables(s / 100, seed=s) for s in (0, 1, 2)})
    calm = seed_spread(near, patient_measures(by_seed[0]))
    assert (calm["agree"] == "yes").all()


def test_a_method_that_was_trained_once_has_one_seed():
    by_seed = {seed: tables(seed, once=("gmmci",)) for seed in (0, 1, 2)}
    medians = seed_medians(by_seed)
    assert medians.groupby("method")["seed"].apply(list).to_dict() == {"pgmif": [0, 1, 2], "gmmci": [0]}
    spread = seed_spread(medians, patient_measures(by_seed[0])).set_index(["method", "measure"])
    assert spread.loc[("pgmif", "cnr"), "seeds"] == 3
    row = spread.loc[("gmmci", "cnr")]
    assert (row["seeds"], row["agree"]) == (1, "")
    assert np.isnan(row["cv_percent"])
