"""MI, NMI and FMI beside other implementations."""

import numpy as np
import pytest
from helpers.smooth_images import FUSED, SOURCES
from hypothesis import given, settings
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


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (2, 9), elements=st.sampled_from([0, 0, 1, 2, 3, 5])))
def test_fmi_window_is_a_share(values):
    p = np.where(values.sum(axis=1, keepdims=True) > 0, values, 1.0)
    p /= p.sum(axis=1, keepdims=True)
    h = entr(p).sum(axis=1)
    shared = float(_shared(p[:1].T, h[:1], p[1:].T, h[1:])[0])
    assert 0 <= shared <= 1
    # single precision, whose last bit tells the two apart: of 30,000 26 were off by 1e-5, none by 3e-5
    assert shared == pytest.approx(joint_information(*p), abs=1e-4)
