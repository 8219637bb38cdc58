"""The viewer's Python side: what it sends, what it measures, and which panels it shows."""

import numpy as np
import pytest
from helpers.viewers import SHAPE, sent

from pgmif.viewer import FULL, Viewer, view
from pgmif_core.metrics.paper import contrast_to_noise_ratio, generalized_sobel


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


def test_a_source_of_q_is_not_replaced_behind_the_other_panels(images, masks):
    viewer = view(images, **masks)
    with pytest.raises(ValueError, match="T2w: Q of every panel"):
        viewer.show("T2w", images["fused"])
    view(images).show("T2w", images["fused"])


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


def test_unknown_views_are_refused():
    with pytest.raises(Exception, match="checkerboard"):
        Viewer(view="sideways")
