"""Images of any kind on the viewer's grid; what cannot be drawn is refused by name."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from helpers.viewers import SHAPE, sent

from pgmif.viewer import view
from pgmif_core.images.volumes import read_image, write_image


def test_files_and_images_are_placed_on_the_grid_of_t2w(tmp_path, phantom):
    path = write_image(phantom.T1w, tmp_path / "t1.nii.gz")
    viewer = view({"T1w": path, "T2w": phantom.T2w}, gtv=phantom.gtv)
    width, height, slices = phantom.T2w.GetSize()
    assert viewer.shape == [slices, height, width]
    _, pixels = sent(viewer, "outline GTV")
    expected = sitk.GetArrayFromImage(phantom.gtv) > 0
    np.testing.assert_array_equal(np.frombuffer(pixels, np.uint8).reshape(expected.shape), expected)


def test_an_array_beside_a_file_is_turned_with_it(tmp_path, phantom):
    flipped = sitk.Flip(phantom.T2w, [True, True, False])  # stored as many scanners store: not upright
    path = write_image(flipped, tmp_path / "t2.nii.gz")
    array, gtv = (sitk.GetArrayFromImage(read_image(p)) for p in (
        path, write_image(sitk.Flip(phantom.gtv, [True, True, False]), tmp_path / "gtv.nii.gz")
    ))
    for images in ({"T2w": path, "copy": array}, {"copy": array, "other": path}):
        viewer = view(images, gtv=gtv)
        pixels = {name: sent(viewer, name)[1] for name in images}
        assert len(set(pixels.values())) == 1
        mask = np.frombuffer(sent(viewer, "outline GTV")[1], np.uint8)
        np.testing.assert_array_equal(
            mask.reshape(viewer.shape), sitk.GetArrayFromImage(phantom.gtv) > 0)


def test_a_mask_with_a_place_serves_an_array_and_images_beside_arrays_keep_their_order(phantom):
    array = sitk.GetArrayFromImage(phantom.T2w)
    viewer = view({"a": array}, gtv=phantom.gtv)
    mask = np.frombuffer(sent(viewer, "outline GTV")[1], np.uint8)
    np.testing.assert_array_equal(
        mask.reshape(viewer.shape), sitk.GetArrayFromImage(phantom.gtv) > 0)
    turned = sitk.GetImageFromArray(array)
    turned.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    alone = view({"a": array}, gtv=sitk.GetArrayFromImage(phantom.gtv), sources={"x": turned})
    alone.show("b", turned)
    assert sent(alone, "b")[1] == sent(alone, "a")[1]
    assert alone.panels[0]["patient"][1] == pytest.approx(np.tanh(0.5), abs=1e-6)


def test_an_image_that_is_shown_later_is_resampled_as_well(phantom):
    moved = sitk.Image(phantom.T2w)
    moved.SetOrigin(np.add(phantom.T2w.GetOrigin(), (4.8, 0, 0)).tolist())
    at_once, later = view({"T2w": phantom.T2w, "x": moved}), view({"T2w": phantom.T2w})
    later.show("x", moved)
    assert sent(later, "x")[1] == sent(at_once, "x")[1]
    assert sent(later, "x")[1] != sent(later, "T2w")[1]


@pytest.mark.parametrize(("image", "message"), [
    (sitk.Image([4, 4], sitk.sitkFloat32), "x: expected a grey image of three dimensions"),
    (sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 3), "x: expected a grey image"),
])
def test_images_of_another_kind_are_refused_by_name(image, message):
    with pytest.raises(ValueError, match=message):
        view({"x": image})
    with pytest.raises(ValueError, match="expected images by name"):
        view(np.zeros((2, 3, 4)))


def test_what_cannot_be_drawn_is_refused_by_name(phantom):
    moved = sitk.Image(phantom.T2w)
    moved.SetOrigin(np.add(phantom.T2w.GetOrigin(), (1000, 0, 0)).tolist())
    with pytest.raises(ValueError, match="T1w: expected an image that overlaps T2w in space"):
        view({"T2w": phantom.T2w, "T1w": moved})
    with pytest.raises(ValueError, match="GTV: expected an image that overlaps T2w"):
        view({"T2w": phantom.T2w}, gtv=moved)
    huge = sitk.GetImageFromArray(np.full((2, 3, 4), 1e39))
    with pytest.raises(ValueError, match="x: expected finite"):
        view({"x": huge})
    with pytest.raises(ValueError, match="expected images by name"):
        view([np.zeros(SHAPE)])
    assert len(sent(view({"x": np.full(SHAPE, 1e17)}), "x")[1]) == 2 * np.prod(SHAPE)
    viewer = view({"x": np.zeros(SHAPE)})
    with pytest.raises(Exception, match="level: expected a number"):
        viewer.level = float("nan")


def test_an_outlier_does_not_make_ranges_differ():
    first = np.random.default_rng(0).random((3, 40, 50)) * 1000
    second = first.copy()
    second[0, 0, 0] = 6000
    panels = view({"a": first, "b": second}).panels
    assert panels[0]["typical"] == pytest.approx(panels[1]["typical"], rel=0.02)
    assert panels[1]["high"] == 6000


def test_small_values_are_not_taken_for_an_image_in_0_to_1():
    adc = np.random.default_rng(0).uniform(0, 0.003, SHAPE)
    assert view({"ADC": adc}).panels[0]["high"] == pytest.approx(adc.max())


def test_tensors_and_single_slices():
    grown = torch.rand(1, 5, 7, requires_grad=True)
    assert view({"a": torch.rand(5, 7), "b": grown, "c": grown.bfloat16()}).shape == [1, 5, 7]


@pytest.mark.parametrize(("change", "message"), [
    (lambda i: {}, "at least one image"),
    (lambda i: {**i, "fused": i["fused"][:, :5]}, r"fused: expected the shape of T2w, \(3, 11, 14\)"),
    (lambda i: {**i, "fused": np.full(SHAPE, np.nan)}, "fused: expected finite values"),
    (lambda i: {**i, "fused": np.zeros((2, 3, 4, 5))}, r"fused: expected an image \(slices, height"),
    (lambda i: {**i, "fused": np.zeros((0, 3, 4))}, "fused: expected an image"),
])
def test_images_that_do_not_fit_are_refused_by_name(images, change, message):
    with pytest.raises(ValueError, match=message):
        view(change(images))


def test_a_mask_of_another_shape_is_refused(images, masks):
    with pytest.raises(ValueError, match="GTV: expected the shape of T2w"):
        view(images, gtv=masks["gtv"][:2])
    viewer = view(images)
    with pytest.raises(ValueError, match="late: expected the shape"):
        viewer.show("late", np.zeros((3, 4, 5)))
