"""Anatomy of the phantom's head."""

import numpy as np
import pytest

from pgmif_core.phantom.anatomy import ellipsoid, label_grid, paint_head, smooth_noise
from pgmif_core.phantom.tissues import tissue_labels


def test_anatomy_is_complete_and_varies():
    grid = label_grid(60)
    first, _ = paint_head(np.random.default_rng(0), grid)
    second, _ = paint_head(np.random.default_rng(1), grid)
    present = set(np.unique(first))
    names = {n for n, k in tissue_labels().items() if k in present}
    assert set(tissue_labels()) - names <= {"tumour", "necrosis"}
    assert 0.02 < (first != second).mean() < 0.6


def test_smooth_noise_has_unit_spread_and_is_smooth():
    noise = smooth_noise(np.random.default_rng(0), (60, 50, 40), 6)
    assert noise.std() == pytest.approx(1, abs=0.35)
    assert np.abs(np.diff(noise, axis=0)).mean() < 0.3


def test_only_three_shapes_of_ellipsoid():
    zyx = [np.zeros(1)] * 3
    with pytest.raises(ValueError, match="power must be"):
        ellipsoid(zyx, np.zeros(3), np.ones(3), 4)
