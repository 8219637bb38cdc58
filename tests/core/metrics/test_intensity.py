"""Metrics of intensities: SCD of a copy, and nothing is stretched."""

import numpy as np
import pytest
from helpers.smooth_images import FUSED, SOURCES

from pgmif_core.metrics.intensity import correlation, entropy_of_counts
from pgmif_core.metrics.standard import FUSION_METRICS


def test_scd_of_a_copied_source_is_a_number():
    a, b = SOURCES
    expected = np.corrcoef((a - b).ravel(), a.ravel())[0, 1]
    assert FUSION_METRICS["SCD"](a, SOURCES) == pytest.approx(expected)  # its own term counts 0
    assert FUSION_METRICS["SCD"](a.astype(np.float32), SOURCES.astype(np.float32)) == pytest.approx(
        expected, abs=1e-5
    )


def test_rounding_has_no_correlation_and_one_grey_no_entropy():
    noise, picture = np.random.default_rng(0).random((2, 100, 90))
    assert correlation(1e-17 * noise, picture) == 0
    assert correlation(1e-6 * picture, picture) == pytest.approx(1)
    assert str(entropy_of_counts(np.array([0, 9, 0]))) == "0.0"


def test_none_stretches_its_input():
    """A faint image measures as a faint image: stretching before measuring would undo this."""
    faint = 0.5 + (FUSED - 0.5) / 10
    for name in ("EN", "SD", "SF", "AG"):
        assert FUSION_METRICS[name](faint, SOURCES) < 0.7 * FUSION_METRICS[name](FUSED, SOURCES)
