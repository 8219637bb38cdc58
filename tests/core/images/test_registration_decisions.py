"""Which stage of a registration is kept: stages and mutual information are given, none searched."""

from unittest.mock import MagicMock

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif_core.images import registration
from pgmif_core.images.displacements import smallest_jacobian
from pgmif_core.images.registration import register

FIVE_MM = sitk.TranslationTransform(3, (3.0, 4.0, 0.0))


def shift(*mm):
    return sitk.TranslationTransform(3, mm)


def scale(*factors):
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(np.diag(factors).ravel().tolist())
    return affine


@pytest.fixture
def decide(phantom, monkeypatch):
    """register(…) of the phantom where every stage returns what is given, with the metric after it."""
    def run(rigid=FIVE_MM, after_rigid=-0.2, affine=None, after_affine=-0.3, spline=None,
            after_spline=-0.4, jacobian=0.8, moving=None, before=-0.1):
        def stage(result):
            def made(*_):
                if isinstance(result, Exception):
                    raise result
                return result
            return made

        def metric(fixed, moving, transform):
            if isinstance(transform, sitk.CompositeTransform):
                return after_spline
            if affine is not None and transform is affine:
                return after_affine
            return after_rigid if transform is rigid else before

        monkeypatch.setattr(registration, "_metric", metric)
        monkeypatch.setattr(registration, "smallest_jacobian", lambda *_: jacobian)
        for name, result in (("rigid", rigid), ("affine", affine), ("bspline", spline)):
            monkeypatch.setattr(registration, f"{name}_registration", stage(result))
        return register(phantom.T2w, phantom.T2w if moving is None else moving,
                        use_bspline=spline is not None, use_affine=affine is not None)
    return run


@pytest.fixture
def elsewhere(phantom):
    """The same volume on a grid of its own."""
    image = sitk.Image(phantom.T2w)
    image.SetOrigin([o + 0.5 for o in image.GetOrigin()])
    return image


@pytest.mark.parametrize(("mm", "stage"), [(0.5, "aligned"), (0.999, "aligned"), (1.0, "rigid"),
                                           (1.5, "rigid")])
def test_less_than_a_millimetre_on_one_grid_is_aligned(decide, elsewhere, mm, stage):
    found = decide(rigid=shift(0.0, mm, 0.0), spline=shift(0.0, 0.0, 2.0))
    assert found.stage == (stage if stage == "aligned" else "bspline")
    assert found.rigid_mm == pytest.approx(mm)
    if stage == "aligned":
        assert found.moves is None
        assert found.metric_after == found.metric_before == -0.1
    assert decide(rigid=shift(0.0, mm, 0.0), moving=elsewhere).stage == "rigid"


@pytest.mark.parametrize(("after", "stage"), [(-0.11, "rigid"), (-0.1, "failed"), (-0.05, "failed")])
def test_a_rigid_stage_has_to_improve(decide, after, stage):
    found = decide(after_rigid=after)
    assert found.stage == stage
    assert found.metric_after == (after if stage == "rigid" else -0.1)
    if stage == "failed":
        assert found.note == "rigid stage did not improve mutual information"
        assert found.moves.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
        both = decide(after_rigid=after, affine=scale(1, 1, 1), spline=shift(1.0, 0.0, 0.0))
        assert both.stage == "failed"  # no later stage begins there


@pytest.mark.parametrize(("factors", "after", "kept"), [
    ((1.14, 1, 1), -0.3, True), ((0.86, 1, 1), -0.3, True), ((1.16, 1, 1), -0.3, False),
    ((0.84, 1, 1), -0.3, False), ((1.5, 1 / 1.5, 1), -0.3, True), ((1, 1, 1), -0.2, False)])
def test_an_affine_stage_has_to_improve_and_to_keep_the_volume(decide, factors, after, kept):
    found = decide(affine=scale(*factors), after_affine=after)
    assert found.stage == ("affine" if kept else "rigid")
    assert found.metric_after == (after if kept else -0.2)
    assert found.note == ("" if kept else
                          f"affine stage given up (volume change {abs(np.prod(factors) - 1):.0%})")


@pytest.mark.parametrize(("mm", "jacobian", "after", "note"), [
    (15.0, 0.01, -0.4, ""), (15.1, 0.5, -0.4, "B-spline moves by 15 mm"),
    (2.0, 0.0, -0.4, "B-spline folds space (Jacobian 0.00)"),
    (2.0, -0.5, -0.1, "B-spline folds space (Jacobian -0.50)"),
    (2.0, 0.5, -0.2, "B-spline did not improve mutual information"),
    (2.0, 0.5, -0.1, "B-spline did not improve mutual information")])
def test_a_spline_may_neither_fold_nor_run_away_nor_be_worse(decide, mm, jacobian, after, note):
    found = decide(spline=shift(mm, 0.0, 0.0), jacobian=jacobian, after_spline=after)
    assert found.note == note
    assert found.stage == ("rigid" if note else "bspline")
    if note:
        assert (found.metric_after, found.bspline_mm, found.smallest_jacobian) == (-0.2, 0, 1)
    else:
        assert (found.metric_after, found.smallest_jacobian) == (after, jacobian)
        assert found.bspline_mm == pytest.approx(mm)
        assert found.moves.TransformPoint((0.0, 0.0, 0.0)) == (3 + mm, 4, 0)


def test_the_largest_movement_counts_not_the_mean(decide):
    assert decide(spline=scale(1.5, 1, 1)).note.startswith("B-spline moves by")


def test_stages_that_end_in_an_error_say_so(decide):
    error = RuntimeError("itk.cxx:12:\nITK ERROR: Metric(0x5): All samples are outside")
    found = decide(rigid=error)
    assert (found.stage, found.note) == ("failed", "rigid stage ended: All samples are outside")
    assert (found.rigid_mm, found.bspline_mm) == (0, 0)
    assert found.metric_after == found.metric_before == -0.1
    found = decide(spline=error)
    assert (found.stage, found.note) == ("rigid", "B-spline ended: All samples are outside")
    both = decide(affine=scale(2, 1, 1), spline=error)
    assert both.note == ("affine stage given up (volume change 100%); "
                         "B-spline ended: All samples are outside")
    assert both.seconds > 0


def test_an_affine_stage_begins_where_the_rigid_one_ended(phantom, monkeypatch):
    monkeypatch.setattr(registration, "_method", MagicMock())  # nothing is searched
    rigid = sitk.Euler3DTransform((10.0, -20.0, 30.0), 0.1, -0.2, 0.3, (4.0, 5.0, -6.0))
    affine = registration.affine_registration(phantom.T2w, phantom.T1w, rigid, 0)
    for point in ((0.0, 0.0, 0.0), (50.0, -40.0, 30.0)):
        assert affine.TransformPoint(point) == pytest.approx(rigid.TransformPoint(point))
    assert affine.GetCenter() == rigid.GetCenter()


def test_nothing_shared_is_no_mutual_information(phantom):
    assert registration._metric(phantom.T2w, phantom.T1w, shift(1e4, 0.0, 0.0)) == 0
    own = registration._metric(phantom.T2w, phantom.T2w, sitk.Transform(3, sitk.sitkIdentity))
    assert own < registration._metric(phantom.T2w, phantom.T2w, shift(8.0, 0.0, 0.0)) < 0


def test_levels_stay_nearly_cubic_and_thick_enough():
    image = sitk.Image([96, 60, 20], sitk.sitkFloat32)
    image.SetSpacing((1.0, 1.0, 3.0))
    assert registration._shrink(image, 2).GetSize() == (48, 30, 20)
    assert registration._shrink(image, 4).GetSize() == (24, 15, 20)  # 4 / 3 rounds to 1
    assert registration._shrink(image, 6).GetSize() == (16, 10, 10)
    few = sitk.Image([96, 12, 7], sitk.sitkFloat32)
    assert registration._shrink(few, 4).GetSize() == (24, 4, 7)  # at least four along every axis


def test_folds_outside_the_head_do_not_count(phantom):
    size, grid = phantom.T2w.GetSize(), phantom.T2w
    field = np.zeros((*size[::-1], 3))
    field[:, :6, :6, 0] = -40.0 * np.arange(6)  # the corner, which is air, runs backwards
    image = sitk.GetImageFromArray(field, isVector=True)
    image.CopyInformation(grid)
    assert smallest_jacobian(sitk.DisplacementFieldTransform(image), grid) == pytest.approx(1)
    middle = size[0] // 2
    field[:, :, middle : middle + 6, 0] = -40.0 * np.arange(6)
    image = sitk.GetImageFromArray(field, isVector=True)
    image.CopyInformation(grid)
    assert smallest_jacobian(sitk.DisplacementFieldTransform(image), grid) < 0
