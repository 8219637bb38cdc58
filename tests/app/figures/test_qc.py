"""Pages of quality control, and the flags of registrations that went wrong."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from pgmif.figures.panels import checkerboard
from pgmif.figures.qc import missing_parts, qc_flags, qc_page, strong_edges, write_qc_table
from pgmif_core.images import registration
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.registration import register


def test_flags_need_more_than_a_corner():
    t2w = np.ones((4, 10, 10))
    tumour = np.zeros(t2w.shape, bool)
    tumour[1:3, 4:6, 4:6] = True
    whole, corner, half = (np.ones(t2w.shape, bool) for _ in range(3))
    corner[:, 0, 0] = False
    half[:, :, :5] = False
    parts = {"T2w": half, "T1w": corner, "CT": whole}
    assert missing_parts(parts, t2w, tumour) == []
    assert missing_parts({"T1w": half}, t2w, tumour) == [
        "T1w does not show 50.0 % of the head and 50.0 % of the tumour"]
    half[0] = False  # a slice that it does not show at all is flagged elsewhere
    assert "50.0 % of the head" in missing_parts({"T1w": half}, t2w, tumour)[0]


def spline(image, values):
    transform = sitk.BSplineTransformInitializer(image, [12, 12, 2], 3)
    count = len(transform.GetParameters())
    transform.SetParameters(np.broadcast_to(values, count).tolist() if np.ndim(values) == 0
                            else np.resize(values, count).tolist())
    return transform


@pytest.mark.parametrize(("values", "note"), [
    (25.0, "moves by"), (24.0 * (-1.0) ** np.arange(15), "folds space"), (-3.0, "did not improve"),
])
def test_a_bad_spline_is_given_up_and_named(deformed, monkeypatch, values, note):
    monkeypatch.setattr(
        registration, "bspline_registration", lambda fixed, *_: spline(fixed, values)
    )
    if note != "did not improve":  # however good its mutual information
        monkeypatch.setattr(registration, "_metric", lambda f, m, t: -float(
            {"Transform": 1, "Euler3DTransform": 2}.get(type(t).__name__, 3)))
        monkeypatch.setattr(registration, "_best_start", lambda f, m: sitk.Euler3DTransform())
    result = register(deformed.T2w, deformed.T1w)
    assert result.stage == "rigid"
    assert note in result.note
    row = {"stage": result.stage, "note": result.note, "rigid_mm": 1.0, "bspline_mm": 0.0}
    assert note in qc_flags(row, ("T1w", "T2w"))


def test_nothing_in_common_is_failed_and_flagged(deformed, monkeypatch):
    monkeypatch.setattr(registration, "_metric", lambda *_: -1.0)
    result = register(deformed.T2w, deformed.T1w)
    assert result.stage == "failed"
    assert result.transform.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
    assert "did not improve" in result.note
    assert qc_flags({"stage": "failed"}, ("T1w", "T2w")) == "T1w not registered"


def test_a_reference_whose_noise_is_steps_between_slices_is_flagged():
    row = {"reference_slices": 4, "reference_between_percent_T1w": 50.0,
           "reference_between_percent_T2w": 92.4}
    assert qc_flags(row, ("T1w", "T2w")) == (
        "92 % of the reference's variance on T2w is between slices")


def test_checkerboard_and_edges():
    board = checkerboard(np.zeros((9, 13)), np.ones((9, 13)), 3)
    assert board.mean() == pytest.approx(0.5, abs=0.15)
    assert board[0, 0] != board[0, -1] or board[0, 0] != board[4, 0]
    step = np.zeros((40, 30))
    step[:, 15:] = 1
    assert set(np.flatnonzero(strong_edges(step).any(axis=0))) <= set(range(13, 17))
    assert not strong_edges(np.zeros((9, 9))).any()


def test_a_page_per_patient_and_a_sortable_table(deformed, tmp_path):
    volume = np.random.default_rng(0).random((3, 3, 48, 40), dtype=np.float32)
    gtv, reference = np.zeros((2, 3, 48, 40), bool)
    gtv[:, 10:14, 10:14], gtv[0, 10:20, 10:20], reference[1:, 30:34, 20:24] = True, True, True
    grid = sitk.Image([40, 48, 3], sitk.sitkFloat32)
    patient = PatientSlices("sub-1", volume, gtv, reference, grid)
    page = qc_page(patient, "a cohort", ("T1w", "T2w", "CT"),
                   {"T1w": None, "T2w": None, "CT": sitk.TranslationTransform(3, (0.0, 3.0, 4.0))})
    axes = [ax for ax in page.axes if ax.get_title()]
    assert [ax.get_title() for ax in axes[3:]] == [
        "CT / T2w, GTV, reference", "CT, edges of T2w", "displacement (mm)", "T2w 0", "T2w 1", "T2w 2"]
    assert axes[5].images[0].get_array().max() == pytest.approx(5)
    assert page.get_suptitle() == "sub-1, slice 1: a cohort"  # the largest with a reference region
    outlines = [len(ax.collections) for ax in axes[6:]]
    assert outlines == [1, 2, 2]
    page.savefig(tmp_path / "sub-1.png")
    table = pd.DataFrame({"subject": ["sub-1", "sub-2"], "rigid_mm": [1.5, np.nan],
                          "flags": ["", "<far>"]})
    text = write_qc_table(table, tmp_path, "cohort <x>").read_text()
    HTMLParser().feed(text)
    assert "cohort &lt;x&gt;" in text
    assert '<a href="sub-1.png">' in text
    assert "&lt;far&gt;" in text
    assert text.count('class="flagged"') == 1
    assert "1 of 2 patients flagged" in text
    assert text.count("<button") == len(table.columns)
