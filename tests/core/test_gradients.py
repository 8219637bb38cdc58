"""Gradients by their equations, in two and three dimensions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references.literal_volumes import literal_gradient
from scipy import ndimage

from pgmif_core.gradients import gradient_norm, image_gradient, normalized_gradient, sobel_magnitude

SHAPES = [(5, 7), (8, 8), (3, 11), (17, 2)]


def ramp(height, width, slope=1.0, along="columns"):
    line = torch.arange(width if along == "columns" else height, dtype=torch.float64) * slope
    return line.expand(height, width) if along == "columns" else line[:, None].expand(height, width)


@pytest.mark.parametrize("shape", SHAPES)
def test_image_gradient_is_the_literal_equation(shape):
    image = torch.rand(shape, dtype=torch.float64)
    expected = torch.zeros(2, *shape, dtype=torch.float64)
    for i in range(shape[0]):
        for j in range(shape[1]):
            if i + 1 < shape[0]:
                expected[0, i, j] = image[i + 1, j] - image[i, j]
            if j + 1 < shape[1]:
                expected[1, i, j] = image[i, j + 1] - image[i, j]
    assert torch.equal(image_gradient(image), expected)


def test_unit_ramp_has_unit_gradient_except_at_the_end():
    gradient = image_gradient(ramp(4, 6))
    assert torch.equal(gradient[1, :, :-1], torch.ones(4, 5, dtype=torch.float64))
    assert gradient[1, :, -1].abs().max() == 0
    assert gradient[0].abs().max() == 0


def test_normalized_gradient_of_a_ramp_is_slope_over_slope_plus_epsilon():
    n = normalized_gradient(ramp(4, 6, slope=0.03), 0.01)
    assert torch.allclose(n[1, :, :-1], torch.tensor(0.75, dtype=torch.float64))


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_batch_dimensions_are_kept(batch):
    image = torch.rand(*batch, 5, 7)
    assert image_gradient(image).shape == (*batch, 2, 5, 7)
    assert normalized_gradient(image, 0.1).shape == (*batch, 2, 5, 7)
    assert sobel_magnitude(image).shape == (*batch, 5, 7)


def test_autograd_is_finite_on_a_constant_image():
    image = torch.full((1, 6, 5), 0.4, requires_grad=True)
    normalized_gradient(image, 1e-2).sum().backward()
    assert torch.isfinite(image.grad).all()


def test_gradcheck():
    image = torch.rand(1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: normalized_gradient(x, 0.05), image)
    assert torch.autograd.gradcheck(lambda x: gradient_norm(image_gradient(x)), image)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("inf"), float("nan")])
def test_epsilon_must_be_positive(epsilon):
    with pytest.raises(ValueError, match="epsilon must be positive"):
        normalized_gradient(torch.rand(4, 4), epsilon)


def test_the_least_epsilon_is_the_least_number_of_the_type():
    least = torch.finfo(torch.float32).smallest_normal
    assert normalized_gradient(torch.eye(3), least).square().sum() > 0
    with pytest.raises(ValueError, match=r"the least number of torch\.float32"):
        normalized_gradient(torch.eye(3), 0.9 * least)


@pytest.mark.parametrize("shape", [(9, 7), (16, 16), (5, 12)])
def test_sobel_agrees_with_scipy(shape):
    image = np.random.default_rng(0).random(shape)
    expected = np.hypot(*(ndimage.sobel(image, axis=k, mode="nearest") for k in (0, 1)))
    np.testing.assert_allclose(sobel_magnitude(torch.from_numpy(image)).numpy(), expected)


def test_sobel_of_a_unit_ramp_is_eight():
    assert torch.allclose(sobel_magnitude(ramp(5, 6))[:, 1:-1], torch.tensor(8.0).double())
    assert sobel_magnitude(torch.full((5, 6), 0.3)).abs().max() < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6))
def test_sobel_commutes_with_flips(height, width, seed):
    image = torch.from_numpy(np.random.default_rng(seed).random((height, width)))
    for axis in (0, 1):
        flipped = sobel_magnitude(image.flip(axis)).flip(axis)
        torch.testing.assert_close(flipped, sobel_magnitude(image))


def test_the_sobel_operator_has_a_derivative_where_it_is_flat():
    picture = torch.zeros(1, 1, 12, 12)
    picture[..., 4:8, 4:8] = torch.rand(4, 4)
    picture.requires_grad_()
    (slope,) = torch.autograd.grad(sobel_magnitude(picture).mean(), picture)
    assert torch.isfinite(slope).all()


def test_gradients_of_volumes_are_those_of_a_literal_loop(volumes):
    volume = volumes[0][0, 0]
    expected = literal_gradient(volume.numpy())
    np.testing.assert_allclose(image_gradient(volume, 3), expected)
    np.testing.assert_allclose(gradient_norm(image_gradient(volume, 3), 3),
                               np.sqrt((expected**2).sum(axis=0)))
    length = np.linalg.norm(normalized_gradient(volume, 0.03, 3), axis=0)
    assert (length < 1).all()
