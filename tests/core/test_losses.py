"""Losses by their equations, in two and three dimensions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references.literal_volumes import literal_loss

from pgmif_core.losses import (
    discriminator_loss,
    generator_adversarial_loss,
    gradient_alignment,
    gradient_penalty,
    intensity_weighted_mse,
    maximum_gradient_loss,
    pixelwise_gradient_loss,
    relative_alignment,
    weighted_gradient_loss,
)


def random_images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def literal_gradient(x, i, j):
    height, width = x.shape
    return (
        float(x[i + 1, j] - x[i, j]) if i + 1 < height else 0.0,
        float(x[i, j + 1] - x[i, j]) if j + 1 < width else 0.0,
    )


def literal_normalized(x, i, j, epsilon):
    a, b = literal_gradient(x, i, j)
    norm = math.hypot(a, b)
    return a / (norm + epsilon), b / (norm + epsilon)


def literal_equation_2(fused, source, epsilon):
    total = 0.0
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            n, m = literal_normalized(source, i, j, epsilon), literal_normalized(fused, i, j, epsilon)
            total -= (n[0] * m[0] + n[1] * m[1]) ** 2
    return total


def literal_equation_4(fused, sources, epsilon):
    total = 0.0
    height, width = fused.shape
    for i in range(height):
        for j in range(width):
            norms = [math.hypot(*literal_gradient(s, i, j)) for s in sources]
            k = int(np.argmax(norms))
            n = literal_normalized(sources[k], i, j, epsilon)
            m = literal_normalized(fused, i, j, epsilon)
            total -= norms[k] * (n[0] * m[0] + n[1] * m[1])
    return total / (height * width)


@pytest.mark.parametrize("shape", [(6, 9), (7, 7), (5, 3)])
def test_equation_2_against_a_literal_loop(shape):
    fused, source = random_images(2, 1, *shape), random_images(2, 1, *shape, seed=1)
    expected = sum(literal_equation_2(f[0], s[0], 0.02) for f, s in zip(fused, source, strict=True))
    assert float(pixelwise_gradient_loss(fused, source, 0.02, "sum")) == pytest.approx(expected)
    mean = float(pixelwise_gradient_loss(fused, source, 0.02))
    assert mean == pytest.approx(expected / fused.numel())
    assert -1 <= mean <= 0


@pytest.mark.parametrize("modalities", [2, 3])
def test_equation_4_against_a_literal_loop(modalities):
    fused, sources = random_images(1, 1, 5, 8), random_images(1, modalities, 5, 8, seed=2)
    expected = literal_equation_4(fused[0, 0], sources[0], 0.03)
    assert float(maximum_gradient_loss(fused, sources, 0.03)) == pytest.approx(expected)


@pytest.mark.parametrize("modalities", [2, 3])
def test_equation_5_against_a_literal_loop(modalities):
    fused, sources = random_images(2, 1, 4, 7), random_images(2, modalities, 4, 7, seed=3)
    total = 0.0
    for b in range(2):
        for i in range(4):
            for j in range(7):
                for m in range(modalities):
                    x = float(sources[b, m, i, j])
                    total += x * (float(fused[b, 0, i, j]) - x) ** 2
    assert float(intensity_weighted_mse(fused, sources)) == pytest.approx(total / (2 * 4 * 7))


def test_signs_equation_2_is_blind_equation_4_is_not():
    source = random_images(1, 1, 8, 8)
    upright, inverted = (pixelwise_gradient_loss(x, source, 0.01) for x in (source, 1 - source))
    torch.testing.assert_close(upright, inverted)
    sources = source.repeat(1, 2, 1, 1)
    assert maximum_gradient_loss(source, sources, 0.01) < 0
    assert maximum_gradient_loss(1 - source, sources, 0.01) > 0


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 10), st.floats(-2, 2), st.booleans(), st.integers(0, 10**6))
def test_equation_2_is_invariant_to_affine_intensity_as_epsilon_vanishes(scale, offset, invert, seed):
    fused, source = random_images(1, 1, 6, 5, seed=seed), random_images(1, 1, 6, 5, seed=seed + 1)
    changed = (-scale if invert else scale) * fused + offset
    before, after = (pixelwise_gradient_loss(x, source, 1e-10) for x in (fused, changed))
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-6)


def test_weighted_loss_is_the_weighted_sum_and_needs_one_weight_each():
    fused, sources = random_images(2, 1, 6, 7), random_images(2, 3, 6, 7, seed=5)
    parts = [pixelwise_gradient_loss(fused, sources[:, m : m + 1], 0.01) for m in range(3)]
    expected = parts[0] + 8 * parts[1] + 2 * parts[2]
    torch.testing.assert_close(weighted_gradient_loss(fused, sources, [1, 8, 2], 0.01), expected)
    with pytest.raises(ValueError, match="one gradient weight per source, 3 finite numbers"):
        weighted_gradient_loss(fused, sources, [1, 8], 0.01)


def test_gradcheck_of_all_content_terms():
    fused = random_images(1, 1, 4, 4).requires_grad_()
    sources = random_images(1, 2, 4, 4, seed=1)
    assert torch.autograd.gradcheck(lambda f: weighted_gradient_loss(f, sources, [1, 8], 0.1), fused)
    assert torch.autograd.gradcheck(lambda f: maximum_gradient_loss(f, sources, 0.1), fused)
    assert torch.autograd.gradcheck(lambda f: intensity_weighted_mse(f, sources), fused)


@pytest.mark.parametrize("loss", [
    lambda f, s: weighted_gradient_loss(f, s, [1, 8], 0.01),
    lambda f, s: maximum_gradient_loss(f, s, 0.01),
    intensity_weighted_mse,
])
def test_gradients_are_finite_on_constant_images(loss):
    fused = torch.full((1, 1, 6, 6), 0.5, requires_grad=True)
    loss(fused, torch.full((1, 2, 6, 6), 0.5)).backward()
    assert torch.isfinite(fused.grad).all()


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction"):
        pixelwise_gradient_loss(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4), 0.01, "max")


def test_adversarial_terms_against_the_printed_logarithms():
    real, fused = torch.tensor([0.3, -1.2]), torch.tensor([0.7, 2.0])
    d = torch.sigmoid
    expected = -torch.log(d(real)).mean() - torch.log(1 - d(fused)).mean()
    torch.testing.assert_close(discriminator_loss(real, fused), expected)
    torch.testing.assert_close(generator_adversarial_loss(fused), -torch.log(d(fused)).mean())


def test_the_gradient_penalty_of_a_linear_judge_is_its_squared_norm_per_patch():
    images = random_images(3, 1, 8, 8).requires_grad_()
    judge = torch.nn.Conv2d(1, 1, 4, stride=4, bias=False, dtype=images.dtype)
    found = gradient_penalty(judge(images), images)  # patches do not overlap: each has all its pixels
    torch.testing.assert_close(found, judge.weight.square().sum())
    (slope,) = torch.autograd.grad(found, judge.weight)
    torch.testing.assert_close(slope, 2 * judge.weight)


def test_the_gradient_penalty_by_finite_differences():
    torch.manual_seed(0)
    judge = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3, dtype=torch.float64), torch.nn.Tanh(),
                                torch.nn.Conv2d(3, 1, 3, dtype=torch.float64))
    image = torch.rand(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    patches, step, total = judge(image).numel(), 1e-5, 0.0
    for k in range(image.numel()):
        moved = [image.detach().clone() for _ in range(2)]
        for one, sign in zip(moved, (1, -1), strict=True):
            one.view(-1)[k] += sign * step
        up, down = (judge(one).sum().item() for one in moved)
        total += ((up - down) / (2 * step)) ** 2
    found = gradient_penalty(judge(image), image).item()
    assert found == pytest.approx(total / patches, rel=1e-5)


def test_relative_alignment_is_one_for_a_copy_and_refuses_a_constant_source():
    image = random_images(1, 1, 8, 8)
    assert relative_alignment(image, image, 0.01) == pytest.approx(1)
    with pytest.raises(ValueError, match="constant"):
        relative_alignment(image, torch.zeros(1, 1, 8, 8, dtype=torch.float64), 0.01)


def test_self_alignment_depends_on_epsilon_so_it_must_be_stated():
    image = random_images(1, 1, 16, 16) * 0.05
    values = [float(gradient_alignment(image, image, e).mean()) for e in (1e-5, 1e-2, 1.0)]
    assert values[0] > 0.95 > values[1] > 0.2 > values[2]


def test_shapes_are_checked_while_tests_run():
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError):
        intensity_weighted_mse(torch.rand(2, 3, 8, 8), torch.rand(2, 2, 8, 8))


@pytest.mark.parametrize("count", [2, 3])
def test_of_equally_strong_edges_the_first_source_counts(count):
    across = torch.arange(6.0, dtype=torch.float64).expand(1, 1, 6, 6)
    sources = torch.cat([across, across.mT, across.mT][:count], dim=1)
    assert float(maximum_gradient_loss(across, sources, 1e-9)) == pytest.approx(-30 / 36)
    # both are equally strong but in the last column and row, where one of them ends
    assert float(maximum_gradient_loss(across.mT, sources, 1e-9)) == pytest.approx(-5 / 36)


def test_weights_can_be_learned_and_have_to_be_numbers():
    fused, sources = torch.rand(2, 1, 9, 9), torch.rand(2, 2, 9, 9)
    weights = torch.tensor([1.0, 8.0], requires_grad=True)
    loss = weighted_gradient_loss(fused, sources, weights, 0.03)
    assert loss.item() == pytest.approx(weighted_gradient_loss(fused, sources, (1, 8), 0.03).item())
    assert torch.autograd.grad(loss, weights)[0].abs().min() > 0
    for wrong in ((1.0, float("nan")), (1.0,), (1.0, 2.0, 3.0)):
        with pytest.raises(ValueError, match="one gradient weight per source"):
            weighted_gradient_loss(fused, sources, wrong, 0.03)


def test_half_precision_stays_in_its_range():
    edges = torch.zeros(1, 1, 16, 16)
    edges[..., ::2] = 2.2e-4
    half = edges.half()
    assert -1 <= float(pixelwise_gradient_loss(half, half, 1e-4)) <= 0
    with pytest.raises(ValueError, match="epsilon: expected at least"):
        pixelwise_gradient_loss(half, half, 1e-8)
    noise = torch.rand(1, 1, 300, 300).half()
    assert np.isfinite(float(pixelwise_gradient_loss(noise, noise, 1e-3, "sum")))


def test_relative_alignment_takes_volumes():
    volume = torch.rand(1, 1, 4, 9, 8)
    assert relative_alignment(volume, volume, 0.03, dims=3) == pytest.approx(1)


def test_losses_of_volumes_are_those_of_a_literal_loop(volumes):
    fused, sources = volumes
    each = [[literal_loss(fused[b, 0].numpy(), sources[b, m].numpy(), 0.1) for m in (0,
        1)] for b in (0, 1)]
    found = pixelwise_gradient_loss(fused, sources[:, :1], 0.1, dims=3)
    assert float(found) == pytest.approx(np.mean([row[0] for row in each]))
    weighted = weighted_gradient_loss(fused, sources, (1.0, 8.0), 0.1, dims=3)
    assert float(weighted) == pytest.approx(np.mean([row[0] + 8 * row[1] for row in each]))
    assert gradient_alignment(fused, sources, 0.1, 3).shape == sources.shape


def test_two_dimensional_gradients_of_a_volume_are_those_of_its_slices(volumes):
    fused, sources = volumes
    slices = [pixelwise_gradient_loss(fused[:, :, k], sources[:, :1, k], 0.1) for k in range(3)]
    volume = pixelwise_gradient_loss(fused, sources[:, :1], 0.1, dims=2)
    assert float(volume) == pytest.approx(float(torch.stack(slices).mean()))
    slices = [maximum_gradient_loss(fused[:, :, k], sources[:, :, k], 0.1) for k in range(3)]
    volume = maximum_gradient_loss(fused, sources, 0.1, dims=2)
    assert float(volume) == pytest.approx(float(torch.stack(slices).mean()))
