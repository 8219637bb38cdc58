"""What fusing gives over one source alone."""

import numpy as np
import pandas as pd
import pytest

from pgmif_core.evaluation.gain import gain_rows, gain_summary, limit_row
from pgmif_core.evaluation.measures import cnr
from pgmif_core.images.patient import PatientSlices
from pgmif_core.methods.registry import METHODS


@pytest.fixture
def patient():
    rng = np.random.default_rng(2)
    sources = np.clip(rng.normal(0.4, 0.05, (5, 2, 30, 34)), 0, 1).astype(np.float32)
    gtv, reference = np.zeros((2, 5, 30, 34), bool)
    gtv[1:4, 5:12, 6:14], reference[1:4, 18:26, 18:27] = True, True
    sources[:, 0][gtv] += 0.05
    sources[:, 1][gtv] += 0.15
    return PatientSlices("a", sources, gtv, reference, None)


def test_of_one_source_an_average_is_that_source(patient):
    rows = pd.DataFrame(gain_rows(patient, ("T1w", "T2w"), {"average": (METHODS["average"], None)}))
    found = rows.set_index("fed")
    for m, modality in enumerate(("T1w", "T2w")):
        assert found.loc[modality, "cnr"] == pytest.approx(cnr(patient.sources[:, m], patient), rel=1e-4)
    # half the noise variance, the mean contrast
    assert found.loc["all", "cnr"] == pytest.approx(
        (found.loc["T1w", "cnr"] + found.loc["T2w", "cnr"]) / 2**0.5, rel=0.1)
    assert found.loc["T2w", "gcnr"] > found.loc["T1w", "gcnr"]
    assert 0.5 < found.loc["T1w", "auc"] < found.loc["T2w", "auc"] <= 1


def test_the_gain_is_that_of_patients_over_their_better_source():
    rows = pd.DataFrame([
        {"subject": s, "method": "average", "fed": fed, "cnr": value, "cnr_within": 2 * value,
         "gcnr": 0.5, "auc": 0.6}
        for s, values in {"a": (3.0, 1.0, 2.0), "b": (1.0, 4.0, 2.0), "c": (9.0, 1.0, 8.5),
                          "d": (2.0, 2.0, 1.0), "e": (9.0, 0.5, 8.0)}.items()
        for fed, value in zip(("all", "T1w", "T2w"), values, strict=True)
    ])
    row = gain_summary(rows).iloc[0]
    assert (row["cnr"], row["cnr_t1w_alone"], row["cnr_t2w_alone"]) == (3.0, 1.0, 2.0)
    assert (row["gain"], row["gain_within"], row["gained"], row["n"]) == (0.5, 1.0, 3, 5)
    assert row[:2].tolist() == ["average", "Direct average"]


def test_within_slices_steps_between_them_do_not_count(patient):
    stepped = patient.sources + 0.05 * np.arange(5, dtype=np.float32)[:, None, None, None]
    stepped = patient._replace(sources=stepped)
    rows = pd.DataFrame(gain_rows(stepped, ("T1w", "T2w"), {"average": (METHODS["average"], None)}))
    row = rows.set_index("fed").loc["T2w"]
    within = cnr(stepped.sources[:, 1], stepped, pooled=False)
    assert row["cnr_within"] == pytest.approx(within, rel=1e-4)
    assert row["cnr_within"] > 1.2 * row["cnr"]
    limit = limit_row(stepped, ("T1w", "T2w"))
    assert limit["limit_within"] > 1.2 * limit["limit"]
    flat = limit_row(patient, ("T1w", "T2w"))
    assert limit["limit_within"] == pytest.approx(flat["limit_within"], rel=1e-4)


def test_the_limit_stands_over_the_better_source(patient):
    row = limit_row(patient, ("T1w", "T2w"))
    assert row["over_better"] == pytest.approx(row["limit"] / row["cnr_t2w"])
    assert row["over_better"] >= 1
    assert row["limit_within"] > 0
    assert row["weight_t2w"] > row["weight_t1w"] > 0
