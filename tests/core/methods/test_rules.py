"""Rules and controls by their equations."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from pgmif_core.methods.registry import METHODS

RULES = [n for n, m in METHODS.items() if m.kind not in ("learned", "fitted", "classical")]


def as_sources(array):
    return torch.from_numpy(array[None])


images = arrays(np.float64, st.tuples(st.integers(2, 3), st.integers(10, 13), st.integers(9, 12)),
                elements=st.floats(0, 1, width=16))


@settings(max_examples=40, deadline=None)
@given(images)
def test_rules_by_their_equations(array):
    x = as_sources(array)
    moi, pwa, mean = (METHODS[n](x)[0, 0].numpy() for n in ("moi", "pwa", "average"))
    assert (moi >= array - 1e-12).all()
    np.testing.assert_allclose(moi, array.max(axis=0))
    assert (pwa <= array.max(axis=0) + 1e-9).all()
    assert (pwa >= array.min(axis=0) - 1e-9).all()
    np.testing.assert_allclose(mean, array.mean(axis=0))
    total = array.sum(axis=0)
    literal = np.divide((array * array).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    np.testing.assert_allclose(pwa, literal, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(images, st.sampled_from(RULES), st.sampled_from([2, 3]))
def test_rules_commute_with_flips(array, name, axis):
    x = as_sources(array)
    torch.testing.assert_close(METHODS[name](x.flip(axis)).flip(axis), METHODS[name](x))


def test_controls_against_scipy():
    x = as_sources(np.random.default_rng(0).random((2, 21, 17)))
    expected = ndimage.gaussian_filter(x[0, 1].numpy(), 1.0, mode="nearest")
    blurred = METHODS["t2w_blurred"](x)[0, 0].numpy()
    np.testing.assert_allclose(blurred, expected, atol=1e-12)
    sharp = np.clip(2 * x[0, 1].numpy() - blurred, 0, 1)
    np.testing.assert_allclose(METHODS["t2w_sharpened"](x)[0, 0].numpy(), sharp, atol=1e-12)
