"""The folded generator is the trained one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmif_core.methods.registry import METHODS
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
