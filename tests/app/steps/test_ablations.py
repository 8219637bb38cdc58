"""Ablations change one thing each, and are summed up over values and patients."""

import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import Described
from helpers.tidy_tables import spread_table

from pgmif.runs.parameter_files import read_parameters
from pgmif.runs.parameters import check_parameters
from pgmif.steps.ablations import (
    ABLATIONS,
    _measured_at_every_value,
    ablation_table,
    in_force,
    value_spread,
    variant_weights,
)
from pgmif.steps.training import training_settings
from pgmif_core.evaluation.measures import cnr, fuse_volume
from pgmif_core.methods.registry import METHODS


@pytest.fixture
def described(root):
    return Described(root, "x", read_parameters(root / "params" / "quick.yaml"), "phantoms")


def settings_of(run, name, value, method="pgmif"):
    changed = run.parameters.model_copy(update=ABLATIONS[name].change(value))
    return training_settings(Described(run.root, "x", changed, ""), method)


def test_every_value_in_force_is_among_the_values(described):
    for name, ablation in ABLATIONS.items():
        assert in_force(described, name) in ablation.values, name
        assert list(ablation.values) == sorted(ablation.values)


@pytest.mark.parametrize("name", [n for n, a in ABLATIONS.items() if a.change])
def test_a_value_changes_one_thing(described, name):
    force = in_force(described, name)
    mine = training_settings(described, "pgmif").__dict__
    for value in ABLATIONS[name].values:
        other = settings_of(described, name, value).__dict__
        different = {k for k in mine if mine[k] != other[k]}
        assert len(different) == (value != force), (value, different)
        check_parameters(ABLATIONS[name].change(value))


def test_balance_0_is_without_adversarial_terms(described):
    assert settings_of(described, "adversarial", 1.0).content_scale == 1.0
    assert not settings_of(described, "adversarial", 0.0).adversarial


def test_spread_over_values_by_hand():
    row = value_spread(spread_table()).set_index(["measure", "method"]).loc[("cnr", "pgmif")]
    assert row["values"] == 3
    assert (row["lowest"], row["median"], row["highest"]) == (2, 12, 22)
    assert row["value_sd"] == pytest.approx(10)
    assert row["patient_sd"] == pytest.approx(np.std(range(5), ddof=1))


def test_patients_that_drop_out_at_one_value_are_left_out_of_all(capsys):
    table = spread_table()
    gone = table[(table["subject"] != "p3") | (table["value"] != 2)]
    kept = _measured_at_every_value(gone, "window", [f"p{k}" for k in range(5)])
    assert sorted(kept["subject"].unique()) == ["p0", "p1", "p2", "p4"]
    assert "left out: p3" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no test patient"):
        _measured_at_every_value(table[:0], "window", ["p0"])


@pytest.mark.slow
@pytest.mark.xdist_group("smoke")
def test_ablations_of_a_smoke_run(root, monkeypatch):
    from helpers.commands import main

    from pgmif.runs.run import open_run

    monkeypatch.chdir(root)
    assert main(["reproduce", "--profile", "smoke"]) == 0
    run = open_run(read_parameters(root / "params" / "smoke.yaml"))
    subjects = run.cohort.subjects("test")

    assert variant_weights(run, "epsilon", 0.1, "pgmif") == run.weights("pgmif")
    table = ablation_table(run, "epsilon", [0.1, 0.3])
    assert table.groupby("value").size().tolist() == [len(subjects)] * 2
    own = table[table["value"] == 0.1].set_index("subject")["cnr"]
    patient = run.patient(subjects[0])
    expected = cnr(fuse_volume("pgmif", patient, run.weights("pgmif")), patient)
    assert own[subjects[0]] == pytest.approx(expected, rel=1e-4)
    other = variant_weights(run, "epsilon", 0.3, "pgmif")
    made = other.stat().st_mtime_ns
    assert other != run.weights("pgmif")
    pd.testing.assert_frame_equal(ablation_table(run, "epsilon", [0.3]).reset_index(drop=True),
                                  table[table["value"] == 0.3].reset_index(drop=True))
    assert made <= other.stat().st_mtime_ns  # written again from its finished checkpoint

    windows = ablation_table(run, "window", [10.0, 12.0])
    reference = windows[(windows["value"] == 10.0) & (windows["method"] == "t2w")].set_index("subject")
    assert reference.loc[subjects[0], "cnr"] == pytest.approx(
        cnr(fuse_volume("t2w", patient), patient), rel=1e-4)
    registration = ablation_table(run, "registration")
    registration = registration.set_index(["value", "method", "subject"]).sort_index()
    for subject in subjects:
        on, off = (registration.loc[(v, "t2w", subject)] for v in (1.0, 0.0))
        assert on["cnr"] == off["cnr"]  # T2w does not move
    assert (registration.loc[(0.0, "t1w")]["q_t1w"] != registration.loc[(1.0, "t1w")]["q_t1w"]).all()
    order = ablation_table(run, "minmax").set_index(["value", "method", "subject"]).sort_index()
    for subject in subjects:
        placed, acquired = (order.loc[(v, "t2w", subject)] for v in (0.0, 1.0))
        assert placed["cnr"] == registration.loc[(1.0, "t2w", subject)]["cnr"]
        assert placed["q_t2w"] == acquired["q_t2w"]  # of an unchanged image against itself
        assert placed["cnr"] != acquired["cnr"]
    assert set(windows["method"]) <= set(METHODS)
