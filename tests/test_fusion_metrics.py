import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from literal_fusion_metrics import LITERAL, joint_information
from scipy import ndimage
from scipy.special import entr
from skimage.metrics import normalized_mutual_information, structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
    visual_information_fidelity,
)

from pgmif_core.metrics.edges import ORIENTATION, STRENGTH
from pgmif_core.metrics.information import _shared
from pgmif_core.metrics.remembered import KEPT, forget, remembered
from pgmif_core.metrics.standard import FUSION_METRICS, measure_fusion

SMALL = [n for n, m in FUSION_METRICS.items() if m.smallest_px <= 11]


def smooth_images(count, shape=(30, 41), seed=0, sigma=1.5):
    noise = np.random.default_rng(seed).random((count, *shape))
    noise = ndimage.gaussian_filter(noise, (0, sigma, sigma))
    low, high = (f(noise, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    return 0.1 + 0.8 * (noise - low) / (high - low)


FUSED, *SOURCES = smooth_images(3)
SOURCES = np.array(SOURCES)


# single precision in some, rounding at the edges of windows in FMI
TOLERANCE = {"QABF": 1e-6, "NABF": 1e-6, "SSIM": 1e-4, "MS-SSIM": 1e-4, "VIF": 2e-3, "VIFF": 1e-3,
             "FMI": 2e-4}


@pytest.mark.parametrize("name", FUSION_METRICS)
def test_by_the_literal_version_of_its_publication(name):
    side = max(FUSION_METRICS[name].smallest_px, 13)
    fused, *sources = smooth_images(3, (side + 4, side + 15), seed=7, sigma=side / 40 + 0.7)
    sources = np.array(sources)
    fused = (fused + sources.sum(axis=0)) / 3  # something of each, so that every metric is well above 0
    expected = LITERAL[name](fused, sources)
    assert abs(expected) > 1e-3
    assert FUSION_METRICS[name](fused, sources) == pytest.approx(expected, abs=TOLERANCE.get(name, 1e-9))


@pytest.mark.parametrize("name", ["MI", "NMI", "CC", "QABF", "NABF", "FMI", "VIFF"])
def test_three_sources_by_the_literal_version(name):
    side = max(FUSION_METRICS[name].smallest_px, 13)
    fused, *sources = smooth_images(4, (side + 5, side), seed=3, sigma=side / 40 + 0.7)
    sources = np.array(sources)
    expected = LITERAL[name](fused, sources)
    assert FUSION_METRICS[name](fused, sources) == pytest.approx(expected, abs=TOLERANCE.get(name, 1e-9))


def test_nmi_by_skimage():
    """Its form is (H_f + H_s) / H_fs = 2 / (2 − NMI)."""
    grey = [np.rint(x * 255).astype(int) for x in (FUSED, SOURCES[0])]
    theirs = normalized_mutual_information(*grey, bins=256)
    one = FUSION_METRICS["NMI"](FUSED, SOURCES[:1].repeat(2, 0)) / 2
    assert 2 / (2 - one) == pytest.approx(theirs, rel=0.02)  # its bins are not the levels


def test_scd_of_a_copied_source_is_a_number():
    a, b = SOURCES
    expected = np.corrcoef((a - b).ravel(), a.ravel())[0, 1]
    assert FUSION_METRICS["SCD"](a, SOURCES) == pytest.approx(expected)  # its own term counts 0
    assert FUSION_METRICS["SCD"](a.astype(np.float32), SOURCES.astype(np.float32)) == pytest.approx(
        expected, abs=1e-5
    )


def test_equal_edges_are_fully_preserved_and_inverse_edges_are_aligned():
    """The two faults of the code in circulation: both would lower these."""
    top = STRENGTH[0] / (1 + math.exp(STRENGTH[1] * 0.5)) * ORIENTATION[0] / (
        1 + math.exp(ORIENTATION[1] * 0.2))
    one = SOURCES[:1].repeat(2, 0)
    assert FUSION_METRICS["QABF"](one[0], one) == pytest.approx(top)
    assert FUSION_METRICS["QABF"](1 - one[0], one) == pytest.approx(top)
    faint = 0.5 + (one - 0.5) / 50  # the scale of the gradients does not matter
    assert FUSION_METRICS["QABF"](faint[0], faint) == pytest.approx(top)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (2, 9), elements=st.sampled_from([0, 0, 1, 2, 3, 5])))
def test_fmi_window_is_a_share(values):
    p = np.where(values.sum(axis=1, keepdims=True) > 0, values, 1.0)
    p /= p.sum(axis=1, keepdims=True)
    h = entr(p).sum(axis=1)
    shared = float(_shared(p[:1].T, h[:1], p[1:].T, h[1:])[0])
    assert 0 <= shared <= 1
    assert shared == pytest.approx(joint_information(*p), abs=1e-5)


def test_ssim_by_skimage_and_torchmetrics():
    """The latter mirrors its borders, and mixes that with cropping in MS-SSIM."""
    fused, *sources = smooth_images(3, (190, 201), seed=2, sigma=2)
    fused, sources = (fused + 2 * sources[0]) / 3, np.array(sources)
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5}
    theirs = [structural_similarity(fused, s, use_sample_covariance=False, **options) for s in sources]
    assert FUSION_METRICS["SSIM"](fused, sources) == pytest.approx(np.mean(theirs), abs=1e-5)
    pairs = torch.tensor(fused)[None, None].expand(2, 1, 190, 201), torch.tensor(sources)[:, None]
    one = float(structural_similarity_index_measure(*pairs, data_range=1.0))
    assert FUSION_METRICS["SSIM"](fused, sources) == pytest.approx(one, abs=0.02)
    many = multiscale_structural_similarity_index_measure(*pairs, data_range=1.0, normalize="relu")
    assert FUSION_METRICS["MS-SSIM"](fused, sources) == pytest.approx(float(many), abs=0.03)


@pytest.mark.parametrize("grey", [0.0, 0.3, 0.7, 0.9, 1.0])
def test_visual_information_of_a_flat_source_does_not_depend_on_its_grey(grey):
    fused = smooth_images(1, (60, 64), sigma=2)[0]
    flat = np.full((2, 60, 64), grey)
    assert FUSION_METRICS["VIF"](fused, flat) == 0
    assert FUSION_METRICS["VIFF"](fused, flat) == pytest.approx(1)


def test_vif_is_measured_on_0_to_255():
    fused, *sources = smooth_images(3, (61, 74), seed=7, sigma=2)
    x, y = (torch.tensor(i, dtype=torch.float64)[None, None] for i in (fused, sources[0]))
    twice = np.array(sources[:1] * 2)
    right, wrong = (float(visual_information_fidelity(k * x, k * y)) for k in (255, 1))
    assert FUSION_METRICS["VIF"](fused, twice) == pytest.approx(right, rel=1e-3)
    assert abs(right - wrong) > 0.1 * right


LIMITS = {"MI": None, "NMI": 2, "CC": 1, "SCD": 0, "SSIM": 1, "MS-SSIM": 1, "VIF": 1, "VIFF": 1,
          "NABF": 0, "FMI": 1}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_where_the_fused_image_is_both_sources(name):
    source = smooth_images(1, (176, 177), sigma=2)
    value = FUSION_METRICS[name](source[0], source.repeat(2, 0))
    limit = LIMITS[name] if name != "MI" else 2 * FUSION_METRICS["EN"](source[0], source.repeat(2, 0))
    assert value == pytest.approx(limit, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(3, 4), st.integers(11, 20), st.integers(11, 20)),
              elements=st.floats(0, 1, width=16)), st.sampled_from(SMALL))
def test_range_and_type(images, name):
    metric = FUSION_METRICS[name]
    fused, sources = images[0], images[1:]
    if name in ("QABF", "NABF") and np.ptp(sources, axis=(1, 2)).max() == 0:
        with pytest.raises(ValueError, match="no edge"):
            metric(fused, sources)
        return
    value = metric(fused, sources)
    assert type(value) is float
    share = len(sources) / 2 if metric.sums else 1
    assert share * metric.low - 1e-4 <= value <= share * metric.high + 1e-4


def test_none_stretches_its_input():
    """A faint image measures as a faint image: stretching before measuring would undo this."""
    faint = 0.5 + (FUSED - 0.5) / 10
    for name in ("EN", "SD", "SF", "AG"):
        assert FUSION_METRICS[name](faint, SOURCES) < 0.7 * FUSION_METRICS[name](FUSED, SOURCES)


@pytest.mark.parametrize(("fused", "sources", "message"), [
    (FUSED[None], SOURCES, "expected fused"),
    (FUSED[:, :-1], SOURCES, "expected fused"),
    (FUSED, SOURCES[:1], "m ≥ 2"),
    (FUSED * 255, SOURCES, "found 25"),
    (FUSED, SOURCES - 0.5, "expected sources in"),
    (np.where(FUSED > 0.5, np.nan, FUSED), SOURCES, "found nan"),
])
def test_bad_images_are_refused(fused, sources, message):
    with pytest.raises(ValueError, match=message):
        FUSION_METRICS["SF"](fused, sources)


def test_small_images_get_the_metrics_that_they_are_large_enough_for():
    assert set(FUSION_METRICS) - set(measure_fusion(FUSED, SOURCES)) == {"MS-SSIM", "VIF", "VIFF"}
    with pytest.raises(ValueError, match="at least 176 pixels"):
        FUSION_METRICS["MS-SSIM"](FUSED, SOURCES)


def test_every_metric_says_what_it_is():
    for name, metric in FUSION_METRICS.items():
        assert name == metric.name
        assert metric.description.startswith(metric.name.replace("ABF", "^AB/F")), name
        assert re.search(r"(19|20)\d\d", metric.function.__doc__), f"{name} names no publication"


def test_what_is_remembered_is_what_would_be_computed():
    calls = []

    @remembered
    def total(image, weight):
        calls.append(weight)
        return float(weight * image.sum())

    images = [np.full((2, 3), value) for value in range(KEPT + 1)]
    assert [total(image, 2) for image in images] == [12.0 * k for k in range(KEPT + 1)]
    assert total(images[-1].copy(), 2) == 12.0 * KEPT
    assert len(calls) == KEPT + 1
    assert total(images[-1].reshape(3, 2), 2) == 12.0 * KEPT
    assert len(calls) == KEPT + 2
    assert total(images[-1], 3) == 18.0 * KEPT
    assert len(calls) == KEPT + 3
    assert total(images[0], 2) == 0
    assert len(calls) == KEPT + 4
    forget()
    assert total(images[0], 2) == 0
    assert len(calls) == KEPT + 5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_metrics_do_not_depend_on_what_was_measured_before(seed):
    rng = np.random.default_rng(seed)
    images = rng.random((4, 48, 52), np.float32)
    forget()
    expected = measure_fusion(images[0], images[1:3])
    others = ((images[3], images[1:3]), (images[0], images[2:]), (images[1], images[:3]))
    for fused, sources in others:
        measure_fusion(fused, sources)
    assert measure_fusion(images[0], images[1:3]) == expected
