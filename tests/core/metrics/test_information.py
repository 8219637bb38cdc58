"""MI, NMI and FMI beside other implementations."""

import numpy as np
import pytest
from helpers.smooth_images import FUSED, SOURCES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from references.literal_fusion_metrics import joint_information
from scipy.special import entr
from skimage.metrics import normalized_mutual_information

from pgmif_core.metrics.information import _shared
from pgmif_core.metrics.standard import FUSION_METRICS


def test_nmi_by_skimage():
    """Its form is (H_f + H_s) / H_fs = 2 / (2 − NMI)."""
    grey = [np.rint(x * 255).astype(int) for x in (FUSED, SOURCES[0])]
    theirs = normalized_mutual_information(*grey, bins=256)
    one = FUSION_METRICS["NMI"](FUSED, SOURCES[:1].repeat(2, 0)) / 2
    assert 2 / (2 - one) == pytest.approx(theirs, rel=0.02)  # its bins are not the levels


def test_nmi_of_images_that_show_little_or_nothing():
    spot = np.zeros((2, 8, 8))
    spot[:, 0, 0] = 1.0  # 0.12 bit
    assert FUSION_METRICS["NMI"](spot[0], spot) == pytest.approx(2)
    assert FUSION_METRICS["NMI"](0 * spot[0], 0 * spot) == 2  # all constant: they share all there is
    assert FUSION_METRICS["NMI"](0 * spot[0], spot) == 0


def test_fmi_of_a_slope_is_that_of_a_constant_image():
    """All pixels of its windows count alike, as where nothing changes at all."""
    slope = np.tile(np.arange(16) / 16, (12, 1))
    pictures = np.random.default_rng(0).random((2, 12, 16))
    of_slope, of_constant = (FUSION_METRICS["FMI"](x, pictures) for x in (slope, 0 * slope))
    assert of_slope == pytest.approx(of_constant, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (2, 9), elements=st.sampled_from([0, 0, 1, 2, 3, 5])))
@example(np.array([[1, 0, 0, 0, 0, 1, 5, 0, 0], [5, 0, 0, 0, 0, 0, 1, 0, 0.0]]))  # a share cut at 1
@example(np.array([[0, 0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 5, 5, 0, 0, 0, 0.0]]))  # of little spread
def test_fmi_window_is_a_share(values):
    p = np.where(values.sum(axis=1, keepdims=True) > 0, values, 1.0)
    p /= p.sum(axis=1, keepdims=True)
    h = entr(p).sum(axis=1)
    shared = float(_shared(p[:1].T, h[:1], p[1:].T, h[1:])[0])
    assert 0 <= shared <= 1
    # single precision, whose last bit tells the two apart: of 30,000 26 were off by 1e-5, none by 3e-5
    assert shared == pytest.approx(joint_information(*p), abs=1e-4)
