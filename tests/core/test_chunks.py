"""Volumes walked in chunks give what they give whole."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from pgmif_core.chunks import in_chunks
from pgmif_core.methods.pgmif_plus import PlusSettings, fuse_plus
from pgmif_core.methods.registry import METHODS

RULES = [name for name, method in METHODS.items() if method.rule is not None]


@pytest.fixture(scope="module")
def volume():
    """Nineteen slices, odd and not square, one of them empty."""
    sources = torch.rand(19, 2, 45, 38, generator=torch.Generator().manual_seed(0))
    sources[7] = 0
    return sources


@pytest.mark.parametrize("name", RULES)
def test_a_rule_gives_the_same_bits_in_chunks(volume, name):
    method = METHODS[name]
    assert torch.equal(method(volume), method.rule(volume))


def test_pgmif_plus_gives_the_same_bits_in_chunks(volume):
    settings = PlusSettings((0.3, 0.7))
    assert torch.equal(METHODS["pgmif_plus"](volume, settings), fuse_plus(volume, settings))


@pytest.mark.parametrize("size", [1, 3, 8, 19, 100])
def test_any_size_of_chunk_gives_the_same_array(size):
    image = np.random.default_rng(0).random((19, 12, 9))

    def blur(part):
        return ndimage.gaussian_filter(part, (0, 1.5, 1.5))

    np.testing.assert_array_equal(in_chunks(blur, image, size), blur(image))


def test_work_sees_a_few_slices_at_a_time():
    seen = []
    in_chunks(lambda part: seen.append(len(part)) or part, np.zeros((19, 2)), 8)
    assert seen == [8, 8, 3]
    with pytest.raises(ValueError, match="expected at least 1 slice"):
        in_chunks(np.copy, np.zeros(3), 0)
