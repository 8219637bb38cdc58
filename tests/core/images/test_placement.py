"""A tumour contour that cannot be where it claims to be is refused, not measured."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.dicoms import into_air

from pgmif_core.images.placement import fraction_in_head, fraction_inside, misplaced


def moved(mask, *shift):
    copy = sitk.Image(mask)
    copy.SetOrigin([o + s for o, s in zip(mask.GetOrigin(), shift, strict=True)])
    return copy


def test_a_contour_in_place_is_accepted(phantom):
    assert fraction_inside(phantom.gtv, phantom.T2w) == 1
    assert fraction_in_head(phantom.gtv, phantom.T2w) > 0.9
    assert misplaced(phantom.gtv, phantom.T2w, "T2w") == ""
    finer = sitk.Resample(phantom.gtv, [2 * n for n in phantom.gtv.GetSize()], sitk.Transform(),
                          sitk.sitkNearestNeighbor, phantom.gtv.GetOrigin(),
                          [s / 2 for s in phantom.gtv.GetSpacing()], phantom.gtv.GetDirection())
    assert misplaced(finer * 4, phantom.T2w, "T2w") == ""  # any grid, any label


def mostly_cut(mask):
    """Moved up until less than half of it is in view."""
    copy, shift = mask, 0.0
    while fraction_inside(copy, mask) > 0.45:
        shift += 2.0
        copy = moved(mask, 0, 0, shift)
    return copy


@pytest.mark.parametrize(("move", "reason"), [
    (into_air, "in the air around the head"),
    (mostly_cut, "of it outside the T2w volume"),
    (lambda mask: moved(mask, 900, 0, 0), "found it outside the T2w volume"),
])
def test_a_contour_elsewhere_is_refused(phantom, move, reason):
    said = misplaced(move(phantom.gtv), phantom.T2w, "T2w")
    assert reason in said
    assert "gtv_space" in said


def test_the_part_inside_is_counted():
    image = sitk.Image([20, 20, 10], sitk.sitkFloat32)
    voxels = np.zeros((10, 20, 20), np.uint8)
    voxels[2:6, 5:15, 5:15] = 1
    mask = sitk.GetImageFromArray(voxels)
    assert fraction_inside(mask, image) == 1
    assert fraction_inside(moved(mask, 0, 0, 5), image) == pytest.approx(0.75)
    assert fraction_inside(moved(mask, 10, 0, -4), image) == pytest.approx(0.25)
    assert fraction_inside(mask * 0, image) == 0
