"""The paper's metrics: CNR, inter-patient CV, generalized Sobel."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from pgmif_core.metrics.paper import (
    NO_CHANGE,
    Reading,
    between_slices_share,
    contrast_correlation,
    contrast_to_noise_ratio,
    generalized_sobel,
    inter_patient_cv,
    petrovic_xydeas,
)


@pytest.fixture
def two_regions():
    tumour = np.zeros((3, 40, 50), bool)
    tumour[1, 5:20, 5:20] = True
    reference = np.zeros_like(tumour)
    reference[0:2, 25:38, 25:48] = True
    return tumour, reference


def test_cnr_of_two_flat_regions_with_known_noise(two_regions):
    tumour, reference = two_regions
    image = np.zeros(tumour.shape)
    image[tumour] = 0.9
    # alternating ±0.1 around 0.4: population σ is exactly 0.1
    signs = np.where(np.arange(reference.sum()) % 2, 1.0, -1.0)
    image[reference] = 0.4 + 0.1 * signs
    assert contrast_to_noise_ratio(image, tumour, reference) == pytest.approx(5.0)
    assert contrast_to_noise_ratio(1 - image, tumour, reference) == pytest.approx(-5.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.floats(-10, 10), st.integers(0, 10**6))
def test_cnr_is_invariant_to_positive_affine_changes_and_flips(scale, offset, seed):
    rng = np.random.default_rng(seed)
    image = rng.random((2, 9, 7))
    tumour, reference = rng.random((2, 9, 7)) < 0.4, rng.random((2, 9, 7)) < 0.5
    tumour[0, 0, 0] = reference[0, 0, 1:3] = True
    tumour &= ~reference
    value = contrast_to_noise_ratio(image, tumour, reference)
    changed = contrast_to_noise_ratio(scale * image + offset, tumour, reference)
    assert changed == pytest.approx(value, rel=1e-6, abs=1e-8)
    flipped = [x[..., ::-1] for x in (image, tumour, reference)]
    assert contrast_to_noise_ratio(*flipped) == pytest.approx(value)


def test_cnr_refuses_bad_regions(two_regions):
    tumour, reference = two_regions
    image = np.random.default_rng(0).random(tumour.shape)
    with pytest.raises(ValueError, match="tumour: the mask is empty"):
        contrast_to_noise_ratio(image, np.zeros_like(tumour), reference)
    with pytest.raises(ValueError, match="boolean mask"):
        contrast_to_noise_ratio(image, tumour.astype(int), reference)
    with pytest.raises(ValueError, match="boolean mask"):
        contrast_to_noise_ratio(image, tumour, reference[:2])
    with pytest.raises(ValueError, match="σ = 0"):
        contrast_to_noise_ratio(np.ones_like(image), tumour, reference)


def test_inter_patient_cv_is_scipy_variation_with_sample_sigma():
    values = [1.2, 0.8, 1.5, 1.1]
    assert inter_patient_cv(values) == pytest.approx(100 * stats.variation(values, ddof=1))
    for bad in ([1.0], [[1.0, 2.0]], [-1.0, 1.0]):
        with pytest.raises(ValueError):
            inter_patient_cv(bad)


def test_an_image_against_itself_gives_the_no_change_value():
    image = np.random.default_rng(0).random((2, 12, 9))
    mask = np.ones(image.shape, bool)
    assert generalized_sobel(image, image, mask) == pytest.approx(math.tanh(0.5))
    assert pytest.approx(0.4621, abs=1e-4) == NO_CHANGE
    assert petrovic_xydeas(image, image, mask) == 1


def test_generalized_sobel_against_scipy_and_the_printed_equation():
    rng = np.random.default_rng(3)
    fused, source = rng.random((11, 13)), rng.random((11, 13))
    mask = rng.random((11, 13)) < 0.5
    strengths = [
        np.hypot(ndimage.sobel(x, 0, mode="nearest"), ndimage.sobel(x, 1, mode="nearest"))
        for x in (fused, source)
    ]
    delta = strengths[0][mask] / strengths[1][mask]
    expected = np.mean((1 - np.exp(-delta)) / (1 + np.exp(-delta)))
    assert generalized_sobel(fused, source, mask) == pytest.approx(expected)
    original = np.where(delta > 1, 1 / delta, delta).mean()
    assert petrovic_xydeas(fused, source, mask) == pytest.approx(original)


@pytest.mark.parametrize("reading", ["crop", "crop_mean", "contour", "slice"])
def test_every_reading_of_crop_then_filter_against_a_slow_loop(reading):
    rng = np.random.default_rng(5)
    fused, source = rng.random((2, 3, 14, 11))
    mask = np.zeros((3, 14, 11), bool)
    mask[0, 2:9, 3:8], mask[2, 0:5, 6:11] = True, True
    mask[0, 4, 5], mask[2, 4, 6] = False, False
    found = []
    for k in (0, 2):
        rows, columns = (np.flatnonzero(mask[k].any(axis=a)) for a in (1, 0))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        pair, counted = [fused[k], source[k]], mask[k]
        if reading == "contour":
            pair = [x * mask[k] for x in pair]
        if reading.startswith("crop"):
            pair, counted = [x[box] for x in pair], mask[k][box]
        strengths = [np.hypot(ndimage.sobel(x, 0, mode="nearest"), ndimage.sobel(x, 1, mode="nearest"))
                     for x in pair]
        if reading == "crop_mean":
            counted = np.ones_like(counted)
        delta = strengths[0][counted] / strengths[1][counted]
        found += ((1 - np.exp(-delta)) / (1 + np.exp(-delta))).tolist()
    expected = sum(found) / len(found)
    assert generalized_sobel(fused, source, mask, reading) == pytest.approx(expected)
    others = {generalized_sobel(fused, source, mask, r) for r in get_args(Reading)}
    assert len(others) == 4  # the readings are not one


def test_an_unknown_reading_is_refused():
    image = np.random.default_rng(0).random((4, 4))
    with pytest.raises((ValueError, TypeError), match="crop_mean"):
        generalized_sobel(image, image, image > 0.5, "cropped")


def test_share_between_slices():
    rng = np.random.default_rng(2)
    image = rng.normal(0, 2.0, (6, 30, 30)) + np.arange(6.0)[:, None, None] * 3
    everywhere = np.ones(image.shape, bool)
    levels = np.arange(6.0).var() * 9
    assert between_slices_share(image, everywhere) == pytest.approx(levels / (levels + 4), abs=0.02)
    assert between_slices_share(np.ones((2, 3, 3)), np.ones((2, 3, 3), bool)) == 0
    with pytest.raises(ValueError, match="mask is empty"):
        between_slices_share(image, ~everywhere)


def test_generalized_sobel_limits():
    flat, edge = np.zeros((5, 6)), np.tile(np.arange(6.0), (5, 1))
    mask = np.ones((5, 6), bool)
    assert generalized_sobel(flat, flat, mask) == pytest.approx(NO_CHANGE)
    assert generalized_sobel(edge, flat, mask) == generalized_sobel(1e-3 * edge, flat, mask) == 1
    assert generalized_sobel(flat, edge, mask) == 0
    assert generalized_sobel(2 * edge, edge, mask) == pytest.approx(math.tanh(1))
    with pytest.raises(ValueError, match="differ in shape"):
        generalized_sobel(flat, edge[:, :3], mask)


def test_edge_preservation_limits():
    flat, edge = np.zeros((5, 6)), np.tile(np.arange(6.0), (5, 1))
    mask = np.ones((5, 6), bool)
    assert petrovic_xydeas(flat, flat, mask) == petrovic_xydeas(edge, edge, mask) == 1
    assert petrovic_xydeas(flat, edge, mask) == petrovic_xydeas(edge, flat, mask) == 0
    assert petrovic_xydeas(4 * edge, edge, mask) == pytest.approx(0.25)


def test_blur_lowers_and_sharpening_raises_q_and_blur_raises_cnr(phantom):
    import SimpleITK as sitk

    image = sitk.GetArrayFromImage(phantom.T2w).astype(float)
    tumour = sitk.GetArrayFromImage(phantom.gtv) > 0
    blurred = ndimage.gaussian_filter(image, (0, 1, 1))
    q_blurred, q_sharp = (generalized_sobel(x, image, tumour) for x in (blurred, 2 * image - blurred))
    assert q_blurred < NO_CHANGE < q_sharp
    # white noise in a flat reference: a blur lowers σ and leaves the means
    rng = np.random.default_rng(0)
    scene = np.where(np.arange(60) < 30, 0.6, 0.3) + rng.normal(0, 0.1, (1, 40, 60))
    left, right = np.zeros(scene.shape, bool), np.zeros(scene.shape, bool)
    left[0, 10:30, 5:22], right[0, 10:30, 38:55] = True, True
    before, after = (
        contrast_to_noise_ratio(x, left, right)
        for x in (scene, ndimage.gaussian_filter(scene, (0, 1, 1)))
    )
    assert after > 2 * before


def test_contrast_correlation_sees_inversion():
    rng = np.random.default_rng(0)
    sources = rng.random((2, 3, 8, 9))
    head = np.ones((3, 8, 9), bool)
    mean = sources.mean(axis=0)
    assert contrast_correlation(mean, sources, head) == pytest.approx(1)
    assert contrast_correlation(1 - mean, sources, head) == pytest.approx(-1)
    assert contrast_correlation(1e-4 * mean, 1e-4 * sources, head) == pytest.approx(1)
    assert contrast_correlation(np.ones_like(mean), sources, head) == 0


def test_noise_within_slices_ignores_steps_between_them():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (4, 12, 13))
    tumour, reference = np.zeros((2, 4, 12, 13), bool)
    tumour[:, 2:5, 2:6], reference[:3, 7:11, 7:12] = True, True
    stepped = image + 5.0 * np.arange(4)[:, None, None]
    deviations = [image[k][reference[k]] - image[k][reference[k]].mean() for k in range(3)]
    sigma = np.sqrt(np.mean(np.square(deviations)))
    for volume in (image, stepped):
        expected = (volume[tumour].mean() - volume[reference].mean()) / sigma
        found = contrast_to_noise_ratio(volume, tumour, reference, pooled=False)
        assert found == pytest.approx(expected)
    one = [x[:1] for x in (image, tumour, reference)]
    pooled = contrast_to_noise_ratio(*one)
    assert contrast_to_noise_ratio(*one, pooled=False) == pytest.approx(pooled)


def test_rounding_is_no_noise_and_no_mean():
    picture, tumour, reference = np.full((20, 20), 0.1), *np.zeros((2, 20, 20), bool)
    tumour[:2], reference[5:9] = True, True
    picture[tumour] = 0.5
    with pytest.raises(ValueError, match="constant"):
        contrast_to_noise_ratio(picture, tumour, reference)
    with pytest.raises(ValueError, match="mean"):
        inter_patient_cv([0.1, 0.2, -0.3])
    steps = np.stack([np.zeros((20, 20)), picture])  # each slice is one grey value, up to rounding
    steps[1][reference] *= 1 + 1e-15 * (np.arange(reference.sum()) % 2)
    both = np.stack([reference, reference])
    with pytest.raises(ValueError, match="constant"):
        contrast_to_noise_ratio(steps, np.stack([tumour, tumour]), both, pooled=False)


def test_one_slice_is_one_slice():
    rng = np.random.default_rng(0)
    picture, tumour, reference = rng.random((16, 16)), *np.zeros((2, 16, 16), bool)
    tumour[2:5, 2:5], reference[8:14, 8:14] = True, True
    both = [contrast_to_noise_ratio(picture, tumour, reference, pooled) for pooled in (True, False)]
    assert both[0] == pytest.approx(both[1])
    with pytest.raises(TypeError, match="masked"):
        contrast_to_noise_ratio(np.ma.masked_array(picture), tumour, reference)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_share_between_slices_by_hand(scale):
    image = scale * np.array([[[0.0, 4.0]], [[3.0, 7.0]], [[9.0, 9.0]]])  # means 2, 5; the third is none
    reference = np.array([[[True, True]], [[True, True]], [[False, False]]])
    assert between_slices_share(image, reference) == pytest.approx(2.25 / (2.25 + 4))
    assert between_slices_share(image[:, None], reference[:, None]) == pytest.approx(0.36)
    assert between_slices_share(np.full_like(image, scale), reference) == 0
    assert between_slices_share(image * [[[1.0]], [[1.0]], [[5.0]]], reference) == pytest.approx(0.36)


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_rounding_is_no_noise_whatever_the_scale(two_regions, level):
    tumour, reference = two_regions
    jitter = np.random.default_rng(0).uniform(-1, 1, tumour.shape)
    image = level * (1 + 1e-14 * jitter)
    image[tumour] = 2 * level
    with pytest.raises(ValueError, match="σ = 0"):
        contrast_to_noise_ratio(image, tumour, reference)
    image[reference] = level * (1 + 1e-10 * jitter[reference])
    assert contrast_to_noise_ratio(image, tumour, reference) > 1e9


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_a_mean_is_none_only_by_rounding_whatever_the_scale(level):
    for rounding in (0.0, 1e-13):
        with pytest.raises(ValueError, match="mean"):
            inter_patient_cv([level, -level * (1 - rounding), 0.0])
    found = inter_patient_cv([level, -level * (1 - 1e-10)])
    assert found == pytest.approx(100 * math.sqrt(2) / 0.5e-10, rel=1e-4)
    assert inter_patient_cv([level, 3 * level]) == pytest.approx(100 / math.sqrt(2))  # two are enough
    with pytest.raises(ValueError, match="one value per patient"):
        inter_patient_cv([level])
    with pytest.raises(ValueError, match="mean"):
        inter_patient_cv([0.0, 0.0])
