"""The viewer's Python side: what it sends, what it measures, what it writes, what it refuses."""

import base64
import gzip
import json
import re

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pgmif.demonstration import aligned_slices
from pgmif.viewer import FULL, Viewer, view
from pgmif_core.images.displacements import displacement_error, head_points
from pgmif_core.images.volumes import read_image, write_image
from pgmif_core.methods.classical import fused_gradient, gradient_domain, solve_screened_poisson
from pgmif_core.metrics.paper import contrast_to_noise_ratio, generalized_sobel

SHAPE = (3, 11, 14)


@pytest.fixture
def images():
    rng = np.random.default_rng(4)
    return {"T1w": rng.random(SHAPE), "T2w": rng.random(SHAPE), "fused": rng.random(SHAPE)}


@pytest.fixture
def masks():
    gtv, reference = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    gtv[1, 3:7, 4:8] = reference[1, 3:7, 10:13] = True
    gtv[2, 4:5, 4:6] = True  # a slice without reference
    return {"gtv": gtv, "reference": reference}


def sent(viewer, name):
    """What a browser gets that asks for a panel's pixels."""
    messages = []
    viewer.send = lambda content, buffers: messages.append((content, buffers))
    viewer._send_pixels(viewer, {"wanted": [name]}, [])
    (content, (pixels,)), = messages
    return content, pixels


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.7), (-300.0, 900.0), (5.0, 5.0)])
def test_pixels_reach_the_browser_to_a_sixteenth_bit(low, high):
    volume = np.random.default_rng(1).uniform(low, high, SHAPE)
    viewer = view({"x": volume})
    content, pixels = sent(viewer, "x")
    panel = viewer.panels[0]
    assert content == {"pixels": "x", "version": panel["version"], "outline": False}
    unit = (panel["high"] - panel["low"]) / FULL
    values = panel["low"] + np.frombuffer(pixels, "<u2").reshape(SHAPE) * unit
    np.testing.assert_allclose(values, volume, atol=0.51 * unit + 1e-6 * abs(high))


def test_measures_are_those_of_the_metrics(images, masks):
    viewer = view(images, **masks)
    gtv, reference = masks["gtv"], masks["reference"]
    for panel in viewer.panels:
        volume = images[panel["name"]].astype(np.float32)
        assert panel["measures"] == ["CNR", "Q T1w", "Q T2w"]
        sources = [images[m].astype(np.float32) for m in ("T1w", "T2w")]
        expected = [contrast_to_noise_ratio(volume, gtv, reference),
                    *(generalized_sobel(volume, s, gtv) for s in sources)]
        np.testing.assert_allclose(panel["patient"], expected, rtol=1e-6)
        one = [contrast_to_noise_ratio(volume[1], gtv[1], reference[1]),
               *(generalized_sobel(volume[1], s[1], gtv[1]) for s in sources)]
        np.testing.assert_allclose(panel["slices"][1], one, rtol=1e-6)
        assert panel["slices"][0] == [None, None, None]
        assert panel["slices"][2][0] is None, "no reference in that slice, so no CNR"
        assert panel["slices"][2][1] is not None
    assert viewer.slice == 1, "the slice with most tumour is shown first"


def test_a_constant_reference_leaves_the_cnr_open(images, masks):
    flat = np.where(masks["reference"], 0.5, images["fused"])
    assert view({**images, "fused": flat}, **masks).panels[2]["patient"][0] is None


def test_without_contours_nothing_is_measured(images):
    viewer = view(images)
    assert viewer.outlines == []
    assert all(panel["measures"] == [] for panel in viewer.panels)


def test_panels_are_added_replaced_and_removed(images, masks):
    viewer = view(images, **masks)
    before = {p["name"]: p["version"] for p in viewer.panels}
    viewer.show("fused", images["fused"] / 2)
    viewer.show("more", images["fused"] / 3, "one more")
    assert viewer.shown == ["T1w", "T2w", "fused", "more"]
    after = {p["name"]: p["version"] for p in viewer.panels}
    assert after["T1w"] == before["T1w"], "the browser keeps the pixels of panels that stay"
    assert after["fused"] != before["fused"]
    assert viewer.panels[3]["label"] == "one more"
    viewer.hide("T1w")
    assert viewer.shown == ["T2w", "fused", "more"]
    assert viewer.panels[2]["patient"][1] is not None, "Q against a source that is not shown"
    with pytest.raises(ValueError, match="T1w: expected one of the panels"):
        viewer.hide("T1w")


def test_another_patient_keeps_the_slice_only_where_the_shape_stays(images, masks):
    viewer = view(images, **masks)
    viewer.slice = 2
    viewer.load({"T2w": images["T2w"]}, **masks)
    assert viewer.slice == 2
    viewer.load({"T2w": images["T2w"][:1]}, gtv=masks["gtv"][:1])
    assert viewer.slice == 0


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


def test_a_source_of_q_is_not_replaced_behind_the_other_panels(images, masks):
    viewer = view(images, **masks)
    with pytest.raises(ValueError, match="T2w: Q of every panel"):
        viewer.show("T2w", images["fused"])
    view(images).show("T2w", images["fused"])


def test_an_image_that_is_shown_later_is_resampled_as_well(phantom):
    moved = sitk.Image(phantom.T2w)
    moved.SetOrigin(np.add(phantom.T2w.GetOrigin(), (4.8, 0, 0)).tolist())
    at_once, later = view({"T2w": phantom.T2w, "x": moved}), view({"T2w": phantom.T2w})
    later.show("x", moved)
    assert sent(later, "x")[1] == sent(at_once, "x")[1]
    assert sent(later, "x")[1] != sent(later, "T2w")[1]


def test_a_load_that_fails_changes_nothing(images, masks):
    viewer = view(images, **masks)
    before = viewer.panels, viewer.caption, dict(viewer._pixels)
    for sources in (["T3w"], "T2w", {"far": np.zeros((2, 3, 4))}):
        with pytest.raises(ValueError, match=r"T3w|T2w|far"):
            viewer.load(images, **masks, sources=sources, caption="other")
    assert (viewer.panels, viewer.caption, viewer._pixels) == before
    viewer.slice = 99
    assert viewer.slice == SHAPE[0] - 1
    with pytest.raises(Exception, match="window"):
        viewer.window = 0


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


def test_a_saved_page_holds_all_slices_and_nothing_else_is_fetched(images, masks, tmp_path):
    viewer = view(images, **masks, labels={"fused": "</script><b>x"}, caption="sub-x & <i>co</i>")
    viewer.view = "difference"
    path = viewer.save_as_html(str(tmp_path / "patient.html"))
    text = path.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="patient">(.*?)</script>', text, re.DOTALL).group(1))
    assert data["state"]["panels"][2]["label"] == "</script><b>x"
    assert data["state"]["view"] == "difference"
    assert set(data["pixels"]) == {*images, "outline GTV", "outline reference"}
    for name in images:
        values = gzip.decompress(base64.b64decode(data["pixels"][name]["packed"]))
        assert values == sent(viewer, name)[1]
        assert data["pixels"][name]["message"] == sent(viewer, name)[0]
    assert "<h1>sub-x &amp; &lt;i&gt;co&lt;/i&gt;</h1>" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert path.read_bytes() == viewer.save_as_html(tmp_path / "again.html").read_bytes()


def test_a_page_is_refused_before_it_is_written(images, tmp_path):
    with pytest.raises(ValueError, match="expected a patient to be loaded first"):
        Viewer().save_as_html(tmp_path / "x.html")
    with pytest.raises(ValueError, match="expected a folder to write x"):
        view(images).save_as_html(tmp_path / "none" / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_unknown_views_are_refused():
    with pytest.raises(Exception, match="checkerboard"):
        Viewer(view="sideways")


def test_gradient_domain_with_weights_and_epsilon():
    sources = torch.rand(2, 3, 17, 22, generator=torch.Generator().manual_seed(0))
    plain = gradient_domain(sources)
    mean = sources.mean(1, keepdim=True)
    direct = solve_screened_poisson(fused_gradient(sources), mean, 0.05).clamp(0, 1)
    torch.testing.assert_close(plain, direct)
    torch.testing.assert_close(gradient_domain(sources, weights=(2, 2, 2)), plain)
    torch.testing.assert_close(gradient_domain(sources, epsilon=1e6), plain, atol=1e-5, rtol=0)
    one = gradient_domain(sources, weights=(0, 1, 0), screening=1e3)
    torch.testing.assert_close(one, sources[:, 1:2], atol=0.01, rtol=0)
    flat = gradient_domain(sources, epsilon=1e-6)
    assert flat.std() < 0.2 * plain.std(), "edges far above ε flatten to it"
    for bad in ({"weights": (1, 1)}, {"weights": (0, 0, 0)}, {"weights": (1, -1, 1)}, {"epsilon": 0},
                {"gain": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            gradient_domain(sources, **bad)


def test_known_displacement_aligns_the_phantom(phantom):
    patient = aligned_slices(phantom, "p")
    assert patient.sources.shape[1:] == (2, 192, 192)
    assert patient.gtv.any()
    assert patient.reference.any()
    back = sitk.DisplacementFieldTransform(sitk.InvertDisplacementField(phantom.displacement, 50))
    assert np.median(displacement_error(back, phantom.displacement, head_points(phantom.T2w))) < 0.05
