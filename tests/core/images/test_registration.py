"""Registration finds motions that are known, and leaves alone what lies in place."""

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif_core.images import registration
from pgmif_core.images.displacements import displacement_error, head_points
from pgmif_core.images.modalities import CT_WINDOW_HU
from pgmif_core.images.registration import register
from pgmif_core.images.windows import windowed
from pgmif_core.phantom import PhantomSize, make_phantom


def test_registration_recovers_the_phantoms_motion(deformed):
    phantom = deformed
    points = head_points(phantom.T2w, 600)
    result = register(phantom.T2w, phantom.T1w)
    before = np.median(displacement_error(sitk.Transform(), phantom.displacement, points))
    after = np.median(displacement_error(result.transform, phantom.displacement, points))
    assert result.stage == "bspline"
    assert result.metric_after < result.metric_before
    # tiny voxels of 2.4 × 2.4 × 7 mm; the bar of 1 mm holds at quick size (01_preprocessing)
    assert after < 1.6
    assert after < before / 2


def test_ct_is_registered_in_its_window():
    phantom = make_phantom(20240071, PhantomSize(8, 7.0, 2.4), further=("CT",))
    points = head_points(phantom.T2w, 600)
    result = register(phantom.T2w, windowed(phantom.CT, "CT"))
    before, after = (
        np.median(displacement_error(t, phantom.CT_displacement, points))
        for t in (sitk.Transform(), result.transform)
    )
    assert after < 1.6  # tiny voxels, as above
    assert after < before / 2
    low, high = sitk.MinimumMaximum(windowed(phantom.CT, "CT"))
    assert (low, high) == CT_WINDOW_HU
    assert windowed(phantom.T1w, "T1w") is phantom.T1w


def test_registration_is_repeatable(phantom):
    first, second = (register(phantom.T2w, phantom.T1w, use_bspline=False) for _ in range(2))
    point = (10.0, -30.0, 8.0)
    moved = [r.transform.TransformPoint(point) for r in (first, second)]
    np.testing.assert_allclose(*moved, atol=1e-9)
    assert first.stage == "rigid"


def test_aligned_volumes_are_left_alone(phantom):
    image = sitk.GetArrayFromImage(phantom.T2w)
    other = sitk.GetImageFromArray(np.sqrt(image))
    other.CopyInformation(phantom.T2w)
    result = register(phantom.T2w, other)
    assert result.stage == "aligned"
    assert result.transform.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 40.0), (100.0, 0.0, 0.0), (180.0, 0.0, 0.0)])
def test_another_couch_position_is_found(phantom, shift):
    points = head_points(phantom.T2w, 300)
    moved = sitk.Image(phantom.T1w)
    moved.SetOrigin([o + s for o, s in zip(phantom.T1w.GetOrigin(), shift, strict=True)])
    result = register(phantom.T2w, moved, use_bspline=False)
    back = sitk.TranslationTransform(3, [-s for s in shift])
    error = displacement_error(
        sitk.CompositeTransform([back, result.transform]), phantom.displacement, points
    )
    assert result.stage == "rigid"
    assert np.median(error) < 2.0


def test_a_worse_bspline_is_not_kept(deformed, monkeypatch):
    def awful(fixed, moving, rigid, seed):
        spline = sitk.BSplineTransformInitializer(fixed, [2, 2, 2], 3)
        spline.SetParameters([25.0] * len(spline.GetParameters()))
        return spline

    monkeypatch.setattr(registration, "bspline_registration", awful)
    assert register(deformed.T2w, deformed.T1w).stage == "rigid"


def test_shrinking_does_not_shift(phantom):
    """A half-voxel shift in the pyramid once biased every registration by more than a millimetre."""
    for factor in (2, 3, 4):
        small = registration._shrink(phantom.T2w, factor)
        both = [i.TransformContinuousIndexToPhysicalPoint([-0.5] * 3) for i in (phantom.T2w, small)]
        assert np.allclose(*both, atol=1e-6)


def test_constant_volumes_are_refused(phantom):
    flat = sitk.Image(phantom.T2w.GetSize(), sitk.sitkFloat32)
    with pytest.raises(ValueError, match="constant"):
        register(phantom.T2w, flat)


@pytest.mark.slow
def test_registration_reaches_its_bar_at_quick_size():
    from pgmif_core.images.displacements import displacement_error, head_points
    from pgmif_core.images.registration import register

    for seed in (20240071, 20240075):
        phantom = make_phantom(seed, PhantomSize(20, 4.4, 1.2))
        points = head_points(phantom.T2w, 1500)
        result = register(phantom.T2w, phantom.T1w)
        before, after = (
            np.median(displacement_error(t, phantom.displacement, points))
            for t in (sitk.Transform(), result.transform)
        )
        assert after <= 1.0
        assert after <= before / 3


def test_an_affine_stage_finds_a_scale(deformed):
    scaled = sitk.Image(deformed.T1w)
    scaled.SetSpacing([s * 1.03 for s in deformed.T1w.GetSpacing()])
    without, affine = (
        register(deformed.T2w, scaled, use_bspline=False, use_affine=a) for a in (False, True)
    )
    assert (without.stage, affine.stage) == ("rigid", "affine")
    assert affine.metric_after < without.metric_after
