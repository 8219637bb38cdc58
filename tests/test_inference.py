"""The folded generator is the trained one."""


import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.convolutions import ImageConvolution, JoiningConvolution, enlarging_kernel
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.networks.generator import Generator


def used_generator(modalities=2, channels=4, start="mean", seed=0):
    """A generator whose batch normalisations have seen something: no mean 0, no variance 1."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = Generator(modalities, channels, start)
        for parameter in generator.parameters():
            torch.nn.init.normal_(parameter, 0.1, 0.3)
        for _ in range(3):
            generator(torch.rand(4, modalities, 24, 20))
    return generator.eval()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([2, 3]), st.sampled_from(["mean", "none"]), st.integers(1, 6),
       st.integers(2, 40), st.integers(2, 40), st.integers(1, 3), st.integers(0, 100))
def test_folding_keeps_the_image(modalities, start, channels, height, width, batch, seed):
    generator = used_generator(modalities, channels, start, seed)
    sources = torch.rand(batch, modalities, height, width)
    with torch.inference_mode():
        expected = generator(sources)
        torch.testing.assert_close(FoldedGenerator(generator)(sources), expected, rtol=1e-5, atol=2e-6)


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


def test_training_on_changes_nothing_that_was_folded():
    generator = used_generator()
    folded = FoldedGenerator(generator)
    sources = torch.rand(1, 2, 16, 16)
    before = folded(sources)
    with torch.no_grad():
        for tensor in [*generator.parameters(), *generator.buffers()]:
            tensor.mul_(2)
    torch.testing.assert_close(folded(sources), before, rtol=0, atol=0)
    assert not list(folded.parameters())
    with pytest.raises(ValueError, match="fuses 2 modalities, found 3"):
        folded(torch.rand(1, 3, 16, 16))


def test_methods_fuse_with_either_and_slice_by_slice():
    generator = used_generator()
    sources = torch.rand(5, 2, 33, 26)
    with torch.inference_mode():
        expected = generator(sources)
    for weights in (generator, FoldedGenerator(generator)):
        torch.testing.assert_close(METHODS["pgmif"](sources, weights), expected, rtol=1e-5, atol=2e-6)
