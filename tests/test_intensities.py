"""What counts as an intensity: fills, offsets, hot voxels, and backgrounds that are none."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicoms import image

from pgmif_core.images.checks import background_note, exchanged, image_notes
from pgmif_core.images.modalities import hot_voxels, windowed
from pgmif_core.images.volumes import air_level, fill_note, read_image, write_image


def like(voxels, grid, kind=np.float32):
    result = sitk.GetImageFromArray(np.asarray(voxels).astype(kind))
    result.CopyInformation(grid)
    return result


def array(picture):
    return sitk.GetArrayFromImage(picture)


@pytest.mark.parametrize("fill", [-1024.0, -32768.0, 65535.0])
def test_a_fill_value_is_no_intensity(phantom, tmp_path, fill):
    voxels = array(phantom.T2w)
    low = voxels[:, :, 8:].min()
    voxels[:, :, :8] = fill
    read = array(read_image(write_image(like(voxels, phantom.T2w), tmp_path / "a.nii.gz")))
    np.testing.assert_allclose(read[:, :, 8:], voxels[:, :, 8:])
    np.testing.assert_allclose(read[:, :, :8], low)
    kept = read_image(tmp_path / "a.nii.gz")
    assert f"{fill:g}, far from all other values" in fill_note(windowed(kept, "T2w"))
    assert image_notes("T2w", kept) == [f"T2w: {fill_note(kept)}"]


@pytest.mark.parametrize("change", [
    lambda v: np.where(v < 50, 0, v + 700), lambda v: (v > 200) * 1.0, lambda v: np.clip(v, 0, 300),
    lambda v: np.where(v < 50, 0, (v - 300) / 100),
])
def test_backgrounds_masks_and_clipped_images_are_left_alone(phantom, tmp_path, change):
    voxels = change(array(phantom.T2w)).astype(np.float32)
    read = read_image(write_image(like(voxels, phantom.T2w), tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(array(read), voxels)
    assert fill_note(read) == ""


@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_some_hot_voxels_are_cut_and_named(phantom, count):
    voxels = array(phantom.T2w)
    corner = [(r, c) for r in range(2, 5) for c in range(2, 6)][:count]
    for row, column in corner:
        voxels[5, row, column] = 50 * voxels.max()
        voxels[5] = np.minimum(voxels[5], 50_000)
    assert hot_voxels(like(voxels, phantom.T2w)) == [5]
    assert hot_voxels(phantom.T2w) == []


@pytest.mark.parametrize(("low", "level"), [(34.0, 33.0), (101.9, 100.0), (1025.0, 1024.0), (8.0, 0.0)])
def test_an_offset_is_a_round_number_close_below(low, level):
    voxels = np.random.default_rng(0).random((4, 9, 9)) * 1000 + low
    voxels[0, 0, 0] = low
    assert air_level(image(voxels)) == pytest.approx(level, abs=1.01 if low == 34.0 else 0)


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
