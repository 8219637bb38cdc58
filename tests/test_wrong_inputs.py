"""The core in somebody's own training loop: wrong things are refused, right ones go through."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from wrong_inputs import tries

from pgmif_core.gradients import gradient_norm, image_gradient, normalized_gradient
from pgmif_core.losses import (
    gradient_alignment,
    maximum_gradient_loss,
    pixelwise_gradient_loss,
    weighted_gradient_loss,
)
from pgmif_core.networks.generator import Generator


@pytest.fixture(scope="module")
def outcomes():
    done = subprocess.run([sys.executable, Path(__file__).with_name("wrong_inputs.py")],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", list(tries()))
def test_wrong_arguments_are_refused_with_expected_and_found(outcomes, name):
    assert outcomes[name] == ""


def literal_gradient(volume):
    """Eq. 1 in three dimensions, voxel by voxel."""
    gradient = np.zeros((3, *volume.shape))
    for place in itertools.product(*map(range, volume.shape)):
        for axis in range(3):
            after = list(place)
            after[axis] += 1
            if after[axis] < volume.shape[axis]:
                gradient[(axis, *place)] = volume[tuple(after)] - volume[place]
    return gradient


def literal_loss(fused, source, epsilon):
    """Eq. 2 in three dimensions."""
    total, count = 0.0, 0
    gradients = [literal_gradient(x) for x in (fused, source)]
    for place in itertools.product(*map(range, fused.shape)):
        units = [g[(slice(None), *place)] for g in gradients]
        normal = [u / (np.sqrt((u**2).sum()) + epsilon) for u in units]
        total += float(normal[0] @ normal[1]) ** 2
        count += 1
    return -total / count


@pytest.fixture
def volumes():
    torch.manual_seed(0)
    return torch.rand(2, 1, 3, 5, 4, dtype=torch.float64), torch.rand(2, 2, 3, 5, 4, dtype=torch.float64)


def test_gradients_of_volumes_are_those_of_a_literal_loop(volumes):
    volume = volumes[0][0, 0]
    expected = literal_gradient(volume.numpy())
    np.testing.assert_allclose(image_gradient(volume, 3), expected)
    np.testing.assert_allclose(gradient_norm(image_gradient(volume, 3), 3),
                               np.sqrt((expected**2).sum(axis=0)))
    length = np.linalg.norm(normalized_gradient(volume, 0.03, 3), axis=0)
    assert (length < 1).all()


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


def test_what_worked_still_works():
    torch.manual_seed(0)
    fused, source = torch.rand(3, 1, 8, 9, requires_grad=True), torch.rand(3, 1, 8, 9)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        assert torch.isfinite(pixelwise_gradient_loss(fused.to(kind), source.to(kind), 0.03))
    (first,) = torch.autograd.grad(pixelwise_gradient_loss(fused, source, 0.03), fused,
    create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), fused)
    assert torch.isfinite(second).all()
    each = torch.vmap(lambda a, b: pixelwise_gradient_loss(a[None], b[None], 0.03))(fused, source)
    torch.testing.assert_close(each.mean(), pixelwise_gradient_loss(fused, source, 0.03))
    generator = Generator(2, 4).eval()
    pairs = torch.rand(3, 2, 8, 9)
    expected = generator(pairs)
    mapped = torch.vmap(lambda x: generator(x[None])[0])(pairs)
    torch.testing.assert_close(mapped, expected)
    exported = torch.export.export(generator, (pairs,)).module()
    torch.testing.assert_close(exported(pairs), expected)
