"""Windows of intensities: hot voxels are cut and named, an offset is taken off, CT is clamped."""

import numpy as np
import pytest
from helpers.images import array, like

from pgmif_core.images.windows import hot_voxels, windowed


@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_some_hot_voxels_are_cut_and_named(phantom, count):
    voxels = array(phantom.T2w)
    corner = [(r, c) for r in range(2, 5) for c in range(2, 6)][:count]
    for row, column in corner:
        voxels[5, row, column] = 50 * voxels.max()
        voxels[5] = np.minimum(voxels[5], 50_000)
    assert hot_voxels(like(voxels, phantom.T2w)) == [5]
    assert hot_voxels(phantom.T2w) == []


def three_slices(special=(), brightest=10, shape=(24, 24)):
    """Slices that hold every whole number from -10 to 10, the first one up to `brightest`; in the second
    some of its middling voxels, away from every third row, are `special`."""
    import SimpleITK as sitk

    rng = np.random.default_rng(0)
    usual = np.resize(np.arange(-10.0, 11), shape[0] * shape[1])
    volume = np.stack([rng.permutation(usual).reshape(shape) for _ in range(3)])
    volume[0][volume[0] == 10] = brightest
    rows, columns = np.nonzero((np.abs(volume[1]) < 5) & (np.arange(shape[0]) % 3 > 0)[:, None])
    volume[1, rows[: len(special)], columns[: len(special)]] = special
    return sitk.GetImageFromArray(volume.astype(np.float32)), volume


# what lies within 20 of all but the four lowest and highest (-10 to 10) stays; of up to 16 voxels what
# lies within three times the range of the rest, and within twice what the volume has
@pytest.mark.parametrize(("special", "brightest", "low", "high"), [
    ([31], 10, -10, 10), ([31] * 4, 10, -10, 10), ([-31], 10, -10, 10), ([-31] * 4, 10, -10, 10),
    ([-30, 31], 10, -30, 10), ([-31, 30], 10, -10, 30),
    ([71] * 5, 10, -10, 10), ([71] * 16, 10, -10, 10), ([71] * 5 + [70], 10, -10, 70),
    ([-151] + [71] * 5, 10, -10, 71), ([100, 35, 35, 35], 10, -10, 10),
    ([90] + [40] * 10, 10, -10, 40), ([-95] + [75] * 10, 10, -95, 10),
    ([81] * 5 + [75], 40, -10, 75),
])
def test_what_lies_beyond_the_rest_takes_its_range(special, brightest, low, high):
    image, volume = three_slices(special, brightest)
    assert hot_voxels(image) == [1]
    expected = volume.copy()
    expected[1] = np.clip(volume[1], low, high)
    np.testing.assert_array_equal(array(windowed(image, "T1w")), expected)


@pytest.mark.parametrize(("special", "brightest"), [
    ([], 10), ([30], 10), ([-30], 10), ([31] * 5, 10), ([-31] * 5, 10), ([70] * 5, 10), ([71] * 17, 10),
    ([35] * 4 + [25], 10), ([-35] * 4 + [-25], 10), ([75] * 5, 40), ([80] * 5, 40),
])
def test_what_lies_not_so_far_is_left_alone(special, brightest):
    image, _ = three_slices(special, brightest)
    assert hot_voxels(image) == []
    assert windowed(image, "T1w") is image


def test_a_slice_of_sixteen_voxels_has_no_rest():
    for shape, found in (((4, 4), []), ((4, 5), [1])):
        image, _ = three_slices([1000], shape=shape)
        assert hot_voxels(image) == found


def test_an_offset_is_taken_off_and_hot_voxels_with_it():
    for special, high in (([], 10), ([31], 10)):
        image, volume = three_slices(special)
        expected = np.clip(volume, -10, high) + 10
        np.testing.assert_array_equal(array(windowed(image + 110, "T1w")), expected)
        assert array(windowed(image + 10, "T1w")).min() == 0


def test_ct_is_clamped_and_nothing_else():
    image, volume = three_slices([31])
    for factor in (1, 100):
        clamped = array(windowed(image * factor, "CT"))
        np.testing.assert_array_equal(clamped, np.clip(factor * volume, -160, 240))
