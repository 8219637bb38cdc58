"""The core in somebody's own training loop: wrong things are refused, right ones go through."""

import json
import subprocess
import sys

import pytest
import torch
from helpers import wrong_inputs

from pgmif_core.losses import pixelwise_gradient_loss
from pgmif_core.networks.generator import Generator


@pytest.fixture(scope="module")
def outcomes():
    done = subprocess.run([sys.executable, wrong_inputs.__file__],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", list(wrong_inputs.tries()))
def test_wrong_arguments_are_refused_with_expected_and_found(outcomes, name):
    assert outcomes[name] == ""


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
