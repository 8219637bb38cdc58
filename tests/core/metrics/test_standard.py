"""The standard fusion metrics: literal versions, limits, ranges, refusals."""

import re

import numpy as np
import pytest
from helpers.smooth_images import FUSED, SOURCES, smooth_images
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from references.literal_fusion_metrics import LITERAL

from pgmif_core.metrics.standard import FUSION_METRICS, measure_fusion

SMALL = [n for n, m in FUSION_METRICS.items() if m.smallest_px <= 11]

# single precision in some, rounding at the edges of windows in FMI
TOLERANCE = {"QABF": 1e-6, "NABF": 1e-6, "SSIM": 1e-4, "MS-SSIM": 1e-4, "FMI": 2e-4}


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


@pytest.mark.parametrize(("fused", "sources", "accepted"), [
    (-0.9e-6, 0.5, True), (-1.4e-6, 0.5, False), (0.5, -0.9e-6, True), (0.5, -1.4e-6, False),
    (1 + 0.9e-6, 0.5, True), (1 + 1.4e-6, 0.5, False), (0.5, 1 + 0.9e-6, True), (0.5, 1 + 1.4e-6, False),
])
def test_rounding_outside_the_range_is_cut_off_and_no_more(fused, sources, accepted):
    """One pixel lies outside."""
    images = np.random.default_rng(0).random((3, 5, 4))
    images[0, 2, 1], images[2, 1, 3] = fused, sources
    if accepted:
        cut = np.clip(images, 0, 1)
        for name in ("SD", "CC"):
            assert FUSION_METRICS[name](images[0], images[1:]) == FUSION_METRICS[name](cut[0], cut[1:])
    else:
        with pytest.raises(ValueError, match=r"expected (fused|sources) in \[0, 1\]"):
            FUSION_METRICS["SD"](images[0], images[1:])


@pytest.mark.parametrize(("fused", "sources"), [
    ((5, 4), (4,)), ((5, 4), ()), ((5, 4), (5, 4)), ((5, 4), (2, 4, 5)), ((5, 4), (2, 5, 5)),
    ((5, 4), (2, 4, 4)), ((5, 4), (1, 5, 4)), ((5, 4), (2, 2, 5, 4)), ((2, 5, 4), (2, 2, 5, 4)),
    ((2, 5, 4), (2, 5, 4)), ((4,), (2, 4)), ((5, 4), (0, 5, 4)),
])
def test_shapes_that_do_not_fit_are_refused(fused, sources):
    with pytest.raises(ValueError, match=r"expected fused \(h, w\) and sources \(m ≥ 2, h, w\), found"):
        FUSION_METRICS["SD"](np.zeros(fused), np.zeros(sources))


# of two sources; (lowest, highest, higher is better, adds over sources, least side): the publications'
TABLE = {
    "EN": (0, 8, True, False, 3), "SD": (0, 0.5, True, False, 3), "SF": (0, 2**0.5, True, False, 3),
    "AG": (0, 1, True, False, 3), "MI": (0, 16, True, True, 3), "NMI": (0, 2, True, True, 3),
    "CC": (-1, 1, True, False, 3), "SCD": (-2, 2, True, True, 3), "SSIM": (-1, 1, True, False, 11),
    "MS-SSIM": (0, 1, True, False, 176), "VIF": (0, np.inf, True, False, 41),
    "VIFF": (0, np.inf, True, False, 41), "QABF": (0, 1, True, False, 3),
    "NABF": (0, 1, False, False, 3), "FMI": (0, 1, True, False, 3),
}


@pytest.mark.parametrize("name", FUSION_METRICS)
def test_direction_range_and_least_size(name):
    """And images one pixel smaller are refused, whichever side it is."""
    metric, side = FUSION_METRICS[name], TABLE[name][-1]
    assert TABLE[name] == (
        metric.low, metric.high, metric.higher_is_better, metric.sums, metric.smallest_px)
    fused, *sources = np.random.default_rng(0).random((3, side, side))
    assert metric.low <= metric(fused, sources) <= metric.high
    for own in ((slice(side - 1), slice(side)), (slice(side), slice(side - 1))):
        with pytest.raises(ValueError, match=f"{name}: expected at least {side} pixels a side"):
            metric(fused[own], np.array(sources)[:, *own])


SQUARES = np.kron(np.eye(2), np.ones((6, 6)))  # black and white
CHEQUERED = np.indices((301, 301)).sum(axis=0) % 2
GREYS = np.arange(256).reshape(16, 16) / 255  # every one once


@pytest.mark.parametrize(("name", "fused", "source", "value"), [
    ("EN", GREYS, GREYS, 8), ("MI", GREYS, GREYS, 16), ("NMI", SQUARES, SQUARES, 2),
    ("SD", SQUARES, SQUARES, 0.5), ("SF", CHEQUERED, CHEQUERED, 2**0.5), ("AG", CHEQUERED, CHEQUERED, 1),
    ("CC", SQUARES, SQUARES, 1), ("CC", SQUARES, 1 - SQUARES, -1), ("FMI", SQUARES, SQUARES, 1),
    ("SSIM", SQUARES, SQUARES, 1), ("SSIM", CHEQUERED, 1 - CHEQUERED, -1),
])
def test_bounds_are_reached(name, fused, source, value):
    assert FUSION_METRICS[name](fused, np.array([source, source])) == pytest.approx(value, rel=4e-3)


def test_small_images_get_the_metrics_that_they_are_large_enough_for():
    assert set(FUSION_METRICS) - set(measure_fusion(FUSED, SOURCES)) == {"MS-SSIM", "VIF", "VIFF"}
    with pytest.raises(ValueError, match="at least 176 pixels"):
        FUSION_METRICS["MS-SSIM"](FUSED, SOURCES)
    assert "SSIM" in measure_fusion(FUSED[:11], SOURCES[:, :11])
    assert "SSIM" not in measure_fusion(FUSED[:10], SOURCES[:, :10])


def test_every_metric_says_what_it_is():
    for name, metric in FUSION_METRICS.items():
        assert name == metric.name
        assert metric.description.startswith(metric.name.replace("ABF", "^AB/F")), name
        assert re.search(r"(19|20)\d\d", metric.function.__doc__), f"{name} names no publication"
