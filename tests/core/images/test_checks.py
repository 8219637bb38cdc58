"""Images and masks of one patient that cannot belong together, or be what they are called."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.images import array, like
from scipy.ndimage import binary_dilation

from pgmif_core.images.checks import (
    background_note,
    exchanged,
    image_problems,
    mask_problems,
    pair_problems,
    region_problems,
)


@pytest.mark.parametrize("change", [lambda v: v * 0.5, lambda v: v + 1, lambda v: 2000 - v])
def test_one_image_in_another_unit_is_the_same(phantom, change):
    other = like(change(array(phantom.T2w)), phantom.T2w)
    (problem,) = pair_problems({"T1w": other, "T2w": phantom.T2w})
    assert "hold the same image" in problem
    (problem,) = pair_problems({"T1w": other[1:, :, :], "T2w": phantom.T2w})
    assert "hold the same image" in problem


def test_a_mask_is_no_image(phantom):
    for voxels in (array(phantom.gtv) > 0, array(phantom.T2w) > 100):
        (problem,) = image_problems("T2w", like(voxels, phantom.T2w))
        assert "expected intensities, found 2 different values" in problem


def test_a_tumour_between_two_slices_is_named(phantom):
    fine = sitk.Image([160, 190, 50], sitk.sitkUInt8)
    fine.SetSpacing([1.2, 1.2, 1.0])
    fine.SetOrigin(phantom.T2w.GetOrigin())
    voxels = array(fine)
    voxels[10:12, 80:92, 70:82] = 1
    (problem,) = mask_problems(like(voxels, fine, np.uint8), phantom.T2w, "T2w")
    assert "found it between two of them" in problem


@pytest.mark.parametrize("voxels", [1, 4, 8, 9])
def test_a_reference_region_has_some_voxels(phantom, voxels):
    drawn = np.zeros(array(phantom.gtv).shape)
    drawn[4, 20, 20 : 20 + voxels] = 1
    problems = region_problems(like(drawn, phantom.gtv, np.uint8), phantom.gtv)
    assert bool(problems) is (voxels < 9)


def test_sequences_of_one_head_are_not_the_same_image(phantom):
    """Registered, exactly on one grid, and after one was made of the other by a curve."""
    t1w = sitk.Resample(phantom.T1w, phantom.T2w)
    assert pair_problems({"T1w": t1w, "T2w": phantom.T2w}) == []
    voxels = array(phantom.T2w)
    noisy = voxels + np.random.default_rng(0).normal(0, 0.05 * voxels.std(), voxels.shape)
    assert pair_problems({"T1w": like(noisy, phantom.T2w), "T2w": phantom.T2w}) == []


def test_a_background_among_tissue_is_named_and_no_reason_to_exchange(phantom):
    def scored(picture):
        voxels = array(picture)
        inside = voxels > 60
        scores = (voxels - voxels[inside].mean()) / voxels[inside].std()
        return like(np.where(inside, scores, 0), picture)

    t1w = sitk.Resample(phantom.T1w, phantom.T2w)
    assert "brighter than some tissue" in background_note(scored(phantom.T2w))
    assert background_note(phantom.T2w) == ""
    assert not exchanged(scored(t1w), scored(phantom.T2w))
    assert not exchanged(scored(phantom.T2w), scored(t1w))


def test_a_reference_region_lies_beside_the_tumour(phantom, tumour):
    beside = like(np.roll(tumour, 20, axis=2) & ~tumour, phantom.gtv, np.uint8)
    inside = like(binary_dilation(tumour), phantom.gtv, np.uint8)
    assert region_problems(beside, phantom.gtv) == []
    assert "voxels of it inside" in region_problems(inside, phantom.gtv)[0]
    assert "empty mask" in mask_problems(phantom.gtv * 0, phantom.T2w, "T2w")[0]
