"""gCNR and the limit of linear mixes, against definitions and searches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmif_core.metrics.contrast import generalized_cnr, linear_limit
from pgmif_core.metrics.paper import contrast_to_noise_ratio


def scene(seed, modalities=2, related=0.6):
    """Sources whose tumour is brighter by 1 and more, with related noise; tumour and reference."""
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(modalities, 3, 12, 15))
    sources[1:] += related * sources[:1]
    tumour, reference = np.zeros((2, 3, 12, 15), bool)
    tumour[:, 2:6, 2:7], reference[:, 7:11, 8:14] = True, True
    sources[:, tumour] += rng.uniform(-2, 2, (modalities, 1))
    return sources, tumour, reference


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 3))
def test_no_linear_mix_is_beyond_the_limit(seed, modalities):
    sources, tumour, reference = scene(seed, modalities)
    limit = linear_limit(sources, tumour, reference)
    best = np.tensordot(limit.weights, sources, 1)
    assert contrast_to_noise_ratio(best, tumour, reference) == pytest.approx(limit.cnr)
    assert np.abs(limit.weights).sum() == pytest.approx(1)
    rng = np.random.default_rng(seed)
    for weights in (*np.eye(modalities), *rng.normal(size=(200, modalities))):
        mixed = np.tensordot(weights, sources, 1)
        assert abs(contrast_to_noise_ratio(mixed, tumour, reference)) <= limit.cnr + 1e-9


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_within_slices_steps_between_them_are_no_noise(seed):
    sources, tumour, reference = scene(seed)
    within = linear_limit(sources, tumour, reference, pooled=False)
    best = np.tensordot(within.weights, sources, 1)
    assert contrast_to_noise_ratio(best, tumour, reference, pooled=False) == pytest.approx(within.cnr)
    stepped = sources + np.arange(3.0).reshape(1, 3, 1, 1) * [[[[5.0]]], [[[-3.0]]]]
    assert linear_limit(stepped, tumour, reference, pooled=False).cnr == pytest.approx(within.cnr)
    assert linear_limit(stepped, tumour, reference).cnr != pytest.approx(within.cnr)


def test_the_limit_is_found_by_a_sweep_of_two_weights():
    sources, tumour, reference = scene(3)
    angles = np.linspace(0, np.pi, 20_001)
    swept = max(abs(contrast_to_noise_ratio(np.cos(a) * sources[0] + np.sin(a) * sources[1], tumour,
                                            reference)) for a in angles[::20])
    assert linear_limit(sources, tumour, reference).cnr == pytest.approx(swept, rel=1e-4)


def test_scales_and_copies_of_sources_change_no_limit():
    sources, tumour, reference = scene(5)
    limit = linear_limit(sources, tumour, reference).cnr
    scaled = sources * np.reshape((1e-3, 1e4), (2, 1, 1, 1)) + 7
    assert linear_limit(scaled, tumour, reference).cnr == pytest.approx(limit)
    twice = np.concatenate((sources, sources[:1]))
    assert linear_limit(twice, tumour, reference).cnr == pytest.approx(limit)
    alone = linear_limit(np.stack((sources[0], sources[0])), tumour, reference)
    assert alone.cnr == pytest.approx(abs(contrast_to_noise_ratio(sources[0], tumour, reference)))


def test_no_rising_change_of_intensity_moves_gcnr():
    sources, tumour, reference = scene(8)
    image = sources[0]
    value = generalized_cnr(image, tumour, reference)
    assert 0 < value < 1
    for change in (np.exp, np.arctan, lambda x: x**3, lambda x: 5 * x - 2):
        assert generalized_cnr(change(image), tumour, reference) == value


def test_gcnr_is_one_minus_the_overlap():
    rng = np.random.default_rng(0)
    tumour = np.arange(40_000) < 20_000
    image = np.where(tumour, rng.uniform(0.25, 1.25, 40_000), rng.uniform(0, 1, 40_000))
    assert generalized_cnr(image, tumour, ~tumour) == pytest.approx(0.25, abs=0.04)
    assert generalized_cnr(np.ones(9), np.arange(9) < 4, np.arange(9) >= 4) == 0
    apart = np.where(tumour, image + 2, image)
    for sign in (1, -1):  # one threshold tells them apart, brighter or darker
        assert generalized_cnr(sign * apart, tumour, ~tumour) == 1
        assert generalized_cnr(sign * apart, ~tumour, tumour) == 1
    with pytest.raises(ValueError, match="reference: expected a mask"):
        generalized_cnr(image, tumour, tumour & ~tumour)


@pytest.mark.parametrize("count", [2, 3, 8, 20, 64, 1000])
def test_levels_by_rice(count):
    rng = np.random.default_rng(count)
    image, tumour = rng.normal(size=3 * count), np.arange(3 * count) >= count
    image[tumour] += 0.5
    levels = {2: 3, 3: 3, 8: 4, 20: 5, 64: 8, 1000: 20}[count]
    assert generalized_cnr(image, tumour, ~tumour) == generalized_cnr(image, tumour, ~tumour, levels)
    # by hand: equally many pixels of the reference in each level, those beyond all others apart
    known = np.sort(image[~tumour])
    level = [-1 if x < known[0] else levels if x > known[-1]
             else int((known < x).sum() * levels // count) for x in image]
    overlap = sum(min(np.mean([b == k for b, t in zip(level, tumour, strict=True) if t]),
                      np.mean([b == k for b, t in zip(level, tumour, strict=True) if not t]))
                  for k in range(-1, levels + 1))
    assert generalized_cnr(image, tumour, ~tumour) == pytest.approx(1 - overlap)
