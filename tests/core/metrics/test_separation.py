"""Separability of a tumour from its surroundings, by all pairs and all thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmif_core.metrics.separation import separation, surroundings

grey = st.lists(st.integers(0, 6), min_size=1, max_size=9)


def literal(inside, outside):
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    best = 0
    for sign in (1, -1):
        for t in {sign * v for v in inside + outside}:
            hit = sum(sign * v >= t for v in inside)
            false = sum(sign * v >= t for v in outside)
            best = max(best, 2 * hit / (hit + false + len(inside)))
    return sum(pairs) / len(pairs), best


@settings(max_examples=80, deadline=None)
@given(grey, grey)
def test_separation_by_all_pairs_and_all_thresholds(inside, outside):
    image = np.array(inside + outside, float)
    tumour = np.arange(image.size) < len(inside)
    result = separation(image, tumour, ~tumour)
    auc, dice = literal(inside, outside)
    assert result.auc == pytest.approx(auc)
    assert result.separability == pytest.approx(max(auc, 1 - auc))
    assert result.dice == pytest.approx(dice)
    inverted = separation(6 - image, tumour, ~tumour)
    assert inverted.auc == pytest.approx(1 - auc)
    assert inverted.dice == pytest.approx(dice)


def test_limits():
    tumour = np.arange(20) < 8
    assert separation(tumour.astype(float), tumour, ~tumour) == (1.0, 1.0, 1.0)
    constant = separation(np.ones(20), tumour, ~tumour)
    assert constant == (0.5, 0.5, pytest.approx(16 / 28))
    with pytest.raises(ValueError, match="both hold voxels"):
        separation(np.ones(20), tumour, np.zeros(20, bool))


def test_monotone_grey_values_change_nothing():
    rng = np.random.default_rng(0)
    image, tumour = rng.random((3, 10, 11)), rng.random((3, 10, 11)) < 0.3
    stretched = np.clip(1.5 * image, 0, 1.5) ** 3
    assert separation(image, tumour, ~tumour) == pytest.approx(separation(stretched, tumour, ~tumour))


def test_surroundings_in_three_dimensions():
    gtv = np.zeros((9, 31, 29), bool)
    gtv[4, 15, 14] = True
    spacing = (4.0, 1.5, 1.5)
    shell = surroundings(gtv, np.ones_like(gtv), spacing)
    grid = np.moveaxis(np.indices(gtv.shape), 0, -1) - np.array([4, 15, 14])
    distance = np.linalg.norm(grid * spacing, axis=-1)
    np.testing.assert_array_equal(shell, (distance >= 3) & (distance <= 15))
    assert shell[1].any()  # 12 mm below: the next slices count too
    head = np.zeros_like(gtv)
    head[:, :, :14] = True
    assert not surroundings(gtv, head, spacing)[:, :, 14:].any()
    with pytest.raises(ValueError, match="no tissue lies"):
        surroundings(gtv, np.zeros_like(gtv), spacing)
    with pytest.raises(ValueError, match="empty"):
        surroundings(np.zeros_like(gtv), head, spacing)
