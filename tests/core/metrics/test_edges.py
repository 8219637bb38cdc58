"""QABF and NABF: the two faults of the code in circulation."""

import math

import pytest
from helpers.smooth_images import SOURCES

from pgmif_core.metrics.edges import ORIENTATION, STRENGTH
from pgmif_core.metrics.standard import FUSION_METRICS


def test_equal_edges_are_fully_preserved_and_inverse_edges_are_aligned():
    """The two faults of the code in circulation: both would lower these."""
    top = STRENGTH[0] / (1 + math.exp(STRENGTH[1] * 0.5)) * ORIENTATION[0] / (
        1 + math.exp(ORIENTATION[1] * 0.2))
    one = SOURCES[:1].repeat(2, 0)
    assert FUSION_METRICS["QABF"](one[0], one) == pytest.approx(top)
    assert FUSION_METRICS["QABF"](1 - one[0], one) == pytest.approx(top)
    faint = 0.5 + (one - 0.5) / 50  # the scale of the gradients does not matter
    assert FUSION_METRICS["QABF"](faint[0], faint) == pytest.approx(top)
