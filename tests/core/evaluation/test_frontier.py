"""The frontier of trivial filters: curves, margins, verdicts."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from pgmif_core.evaluation.frontier import (
    curves,
    margin_above,
    median_ellipse,
    standing_table,
    trivial_images,
    trivial_rows,
)
from pgmif_core.evaluation.measures import cnr, sobel_against
from pgmif_core.images.patient import PatientSlices

CURVE = np.array([[0.4, 2.0], [0.6, 1.5], [0.9, 0.5]])  # (Q, CNR), blurred to sharpened


@pytest.fixture
def patient():
    rng = np.random.default_rng(0)
    sources = ndimage.gaussian_filter(rng.random((3, 2, 40, 44)), (0, 0, 1, 1))
    sources = (sources - sources.min()) / np.ptp(sources)
    gtv, reference = np.zeros((2, 3, 40, 44), bool)
    gtv[1, 10:18, 10:20], reference[1, 25:33, 25:33] = True, True
    sources[1, 1, 10:18, 10:20] += 0.3
    return PatientSlices("a", np.clip(sources, 0, 1).astype(np.float32), gtv, reference, None)


@pytest.mark.parametrize(("point", "margin"), [
    ((0.3, 2.5), 0.5), ((0.3, 1.5), -0.5), ((0.5, 2.0), 0.25), ((0.6, 1.5), 0.0),
    ((0.7, 0.9), 0.9 - (1.5 - 1 / 3)), ((0.95, -3.0), -3.5), ((0.95, 0.6), 0.1),
])
def test_margin_by_hand(point, margin):
    assert margin_above(np.array(point), CURVE) == pytest.approx(margin)


def test_margin_counts_every_part_of_a_curve_that_turns_back():
    folded = np.array([[0.5, 1.0], [0.7, 1.4], [0.6, 2.0]])
    assert margin_above(np.array([0.55, 1.9]), folded) == pytest.approx(-0.1)
    assert margin_above(np.array([0.65, 1.9]), folded) == pytest.approx(0.2)


def test_margin_where_two_settings_are_equally_sharp():
    level = np.array([[0.4, 2.0], [0.6, 1.5], [0.6, 1.0], [0.9, 0.5]])
    for q, margin in ((0.6, 0.5), (0.5, 0.25)):
        assert margin_above(np.array([q, 2.0]), level) == pytest.approx(margin)


def test_trivial_filters_are_what_they_say(patient):
    image = patient.sources[:, 1]
    found = {(family, amount): x for family, amount, x in trivial_images(image)}
    np.testing.assert_array_equal(found["filtered", 0.0], image)
    np.testing.assert_array_equal(found["stretched", 1.0], image)
    blurred = np.stack([ndimage.gaussian_filter(x, 1.0, mode="nearest") for x in image])
    np.testing.assert_allclose(found["filtered", -1.0], blurred, atol=1e-6)
    np.testing.assert_allclose(found["filtered", 1.0], (2 * image - blurred).clip(0, 1), atol=1e-6)
    np.testing.assert_allclose(found["stretched", 1.5], (1.5 * image).clip(0, 1), atol=1e-6)
    amounts = [a for family, a, _ in trivial_images(image) if family == "filtered"]
    assert amounts == sorted(amounts)
    assert all(x.min() >= 0 and x.max() <= 1 for x in found.values())


def test_the_sweep_is_that_of_the_documentation():
    swept = [(family, amount) for family, amount, _ in trivial_images(np.zeros((1, 9, 9)))]
    assert swept == [("filtered", x) for x in (
        -2.5, -2.0, -1.5, -1.2, -1.0, -0.8, -0.6, -0.5, -0.4, 0.0,
        0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)] + [
        ("stretched", x) for x in (1.0, 1.25, 1.5, 2.0, 3.0)]


def test_trivial_rows_measure_as_everywhere_else(patient):
    table = pd.DataFrame(trivial_rows(patient, ("T1w", "T2w"))).set_index(["source", "family", "amount"])
    row = table.loc[("T2w", "filtered", 0.0)]
    assert row["cnr"] == pytest.approx(cnr(patient.sources[:, 1], patient))
    assert row["q_t1w"] == pytest.approx(sobel_against(patient.sources[:, 1], patient, 0))
    assert row["q_t2w"] == pytest.approx(np.tanh(0.5))
    blurs = table.loc[("T2w", "filtered")]["q_t2w"]
    assert blurs.is_monotonic_increasing  # sharper is higher, whatever it shows


def test_a_stretch_that_saturates_the_reference_is_left_out(patient):
    patient.sources[patient.reference[:, None].repeat(2, 1)] = 0.6
    patient.sources[1, :, 26:28, 26:28] = 0.55
    table = pd.DataFrame(trivial_rows(patient, ("T1w", "T2w")))
    assert table.loc[table["amount"] == 3.0, "cnr"].isna().any()
    assert not curves(table)["cnr"].isna().any()


def test_curves_are_medians_where_every_patient_has_a_cnr():
    keys = {"source": "T1w", "family": "filtered"}
    table = pd.DataFrame([{**keys, "amount": amount, "subject": s, "cnr": cnr, "q_t2w": q}
                          for amount, missing in ((0.0, 1.0), (1.0, np.nan))
                          for s, cnr, q in (("a", 1.0, 0.1), ("b", 2 * missing, 0.2), ("c", 9.0, 0.9))])
    pd.testing.assert_frame_equal(curves(table), pd.DataFrame([{**keys, "amount": 0.0, "cnr": 2.0,
                                                                "q_t2w": 0.2}]))


def made_up(shift):
    rng = np.random.default_rng(2)
    base = rng.normal(2, 0.3, 12)
    trivial = [
        {"subject": f"{k:02d}", "source": "T2w", "family": "filtered", "amount": a,
         "cnr": base[k] - 0.2 * a, "q_t2w": 0.46 + 0.1 * a}
        for k in range(12) for a in (-1.0, 0.0, 1.0, 2.0)
    ]
    measures = [{"subject": f"{k:02d}", "method": "pgmif", "cnr": base[k] + shift, "q_t2w": 0.5}
                for k in range(12)]
    return pd.DataFrame(measures), pd.DataFrame(trivial)


@pytest.mark.parametrize(("shift", "verdict"), [
    (0.5, "above"), (-0.5, "below"), (-0.08, "not distinguishable")
])
def test_verdicts(shift, verdict):
    measures, trivial = made_up(shift)
    if verdict == "not distinguishable":
        measures["cnr"] += np.random.default_rng(5).normal(0, 0.5, 12)
        measures["cnr"] += 1.92 - measures["cnr"].median() + trivial["cnr"].median() - 1.9
    row = standing_table(measures, trivial).iloc[0]
    assert row["verdict"] == verdict
    if verdict != "not distinguishable":
        assert row["margin"] == pytest.approx(shift + 0.08, abs=0.03)


@pytest.mark.parametrize(("margin", "above", "below"), [
    (0.012, 1, 0), (0.01, 0, 0), (0.008, 0, 0), (-0.008, 0, 0), (-0.01, 0, 0), (-0.012, 0, 1)])
def test_nearer_than_a_hundredth_is_on_the_curve(margin, above, below):
    trivial = pd.DataFrame([{"subject": s, "source": "T2w", "family": "filtered", "amount": a,
                             "cnr": 0.0, "q_t2w": 0.46 + 0.1 * a} for s in "abcde" for a in (0.0, 1.0)])
    measures = pd.DataFrame([{"subject": s, "method": m, "cnr": c, "q_t2w": 0.5}
                             for s in "abcde"
                             for m, c in (("pwa", margin), ("moi", 1.0), ("pgmif", 0.0))])
    table = standing_table(measures, trivial)
    assert table["method"].tolist() == ["pwa", "moi", "pgmif"]  # in the order given
    assert table[["above_share", "below_share"]].iloc[0].tolist() == [above, below]
    assert table["margin"].tolist() == [margin, 1, 0]


def test_a_row_holds_the_medians_of_the_cohort_itself():
    measures, trivial = made_up(0.5)
    rng = np.random.default_rng(4)
    measures["q_t2w"] = rng.uniform(0.3, 0.7, 12)
    measures["cnr"] += rng.normal(0, 1, 12)
    row = standing_table(measures, trivial).iloc[0]
    medians = measures[["q_t2w", "cnr"]].median().to_numpy()
    assert row[["q", "cnr"]].tolist() == medians.tolist()
    curve = trivial.groupby("amount")[["q_t2w", "cnr"]].median().to_numpy()
    assert row["margin"] == pytest.approx(margin_above(medians, curve))


@pytest.mark.parametrize("patients", [1, 3])
def test_few_patients_get_no_verdict(patients):
    measures, trivial = made_up(0.5)
    few = sorted(measures["subject"].unique())[:patients]
    row = standing_table(*(t[t["subject"].isin(few)] for t in (measures, trivial))).iloc[0]
    assert row["verdict"] == "too few patients"
    assert np.isnan(row["above_share"])
    assert row["margin"] > 0
    with pytest.raises(ValueError, match="same patients"):
        standing_table(measures, trivial[trivial["subject"].isin(few)])


def test_sources_do_not_lie_above_themselves(patient):
    patients = []
    for k in range(6):
        noise = np.random.default_rng(k).normal(0, 0.02, patient.sources.shape).astype(np.float32)
        noisy = (patient.sources + noise).clip(0, 1)
        patients.append(patient._replace(subject=f"p{k}", sources=noisy))
    trivial = pd.DataFrame([row for p in patients for row in trivial_rows(p, ("T1w", "T2w"))])
    own = trivial[(trivial["family"] == "filtered") & (trivial["amount"] == 0)]
    columns = ["subject", "method", "cnr", "q_t1w", "q_t2w"]
    measures = own.assign(method=own["source"].str.lower())[columns]
    table = standing_table(measures, trivial)
    assert (table["margin"] <= 1e-6).all()
    assert not (table["verdict"] == "above").any()
    # what a CSV of six digits leaves of a number must not lift a source above itself
    measures[["cnr", "q_t1w", "q_t2w"]] *= 1 + 1e-6
    assert not (standing_table(measures, trivial)["verdict"] == "above").any()


def test_ellipse_covers_bootstrapped_medians():
    values = np.random.default_rng(0).multivariate_normal([1, 2], [[1, 0.8], [0.8, 2]], 40)
    width, height, angle = median_ellipse(values)
    turned = np.radians(angle)
    axes = np.array([[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]])
    draws = np.random.default_rng(1).integers(40, size=(3000, 40))
    medians = np.median(values[draws], axis=1) - np.median(values, axis=0)
    inside = (((medians @ axes.T) / (np.array([width, height]) / 2)) ** 2).sum(axis=1) <= 1
    assert inside.mean() == pytest.approx(0.95, abs=0.02)
    scaled = median_ellipse(values * 1e-3)  # of any size
    assert scaled == pytest.approx((1e-3 * width, 1e-3 * height, angle))
    assert median_ellipse(values[:4]) is None
    assert median_ellipse(values[:5]) is not None
