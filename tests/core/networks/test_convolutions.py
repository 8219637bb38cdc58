"""Convolutions made faster give what plain ones give."""

import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmif_core.networks.convolutions import ImageConvolution, JoiningConvolution, enlarging_kernel


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_the_enlarging_kernel_enlarges_and_convolves(inputs, outputs, height, width):
    maps = torch.rand(2, inputs, height, width, dtype=torch.float64)
    weight = torch.randn(outputs, inputs, 3, 3, dtype=torch.float64)
    enlarged = functional.interpolate(maps, scale_factor=2, mode="nearest")
    expected = functional.conv2d(enlarged, weight, padding=1)
    found = functional.conv_transpose2d(maps, enlarging_kernel(weight), stride=2, padding=1)
    torch.testing.assert_close(found, expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 13), st.integers(1, 13))
def test_an_image_computed_in_tiles_is_that_of_the_convolution(batch, inputs, height, width):
    layer = ImageConvolution(inputs).double()
    maps = torch.rand(batch, inputs, height, width, dtype=torch.float64, requires_grad=True)
    expected, found = functional.conv2d(maps, layer.weight, layer.bias, padding=1), layer(maps)
    torch.testing.assert_close(found, expected)
    given_back = torch.rand_like(expected)
    arguments = (maps, *layer.parameters())
    gradients = (torch.autograd.grad(image, arguments, given_back) for image in (found, expected))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("sizes", [(4, 2, 3), (1, 1, 1)])
def test_joining_is_enlarging_concatenating_and_convolving(sizes):
    layer = JoiningConvolution(*sizes).double()
    coarse, fine = (torch.rand(2, sizes[k], *shape, dtype=torch.float64, requires_grad=True)
                    for k, shape in ((0, (5, 3)), (1, (10, 6))))
    enlarged = functional.interpolate(coarse, scale_factor=2, mode="nearest")
    expected = functional.conv2d(torch.cat([enlarged, fine], 1), layer.weight, padding=1)
    found = layer(coarse, fine)
    torch.testing.assert_close(found, expected)
    weights = torch.rand_like(expected)
    inputs = (coarse, fine, layer.weight)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
    )
