"""The reference region and the head."""

import numpy as np
import pytest
from scipy import ndimage

from pgmif_core.images.regions import head_mask, reference_region


def test_the_calmest_window_is_not_looked_for_where_nothing_was_imaged():
    rng = np.random.default_rng(0)
    sources = rng.random((2, 1, 60, 60)) * 0.3 + 0.5
    sources[0, :, :, 40:] = 0
    tumour = np.zeros((1, 60, 60), bool)
    tumour[0, 25:35, 30:38] = True
    imaged = np.ones((1, 60, 60), bool)
    imaged[:, :, 40:] = False
    region = reference_region(sources, tumour, (1.0, 1.0), imaged=imaged)
    assert region.any()
    assert not (region & ~imaged).any()
    assert (reference_region(sources, tumour, (1.0, 1.0)) & ~imaged).any()


def head_scene():
    """A bright head with an air hole, a tumour, a noisy half and one calm square."""
    rng = np.random.default_rng(0)
    sources = np.zeros((2, 2, 80, 90))
    sources[:, :, 5:75, 5:85] = 0.5 + rng.normal(0, 0.08, (2, 2, 70, 80))
    calm = (slice(40, 56), slice(45, 61))
    sources[(slice(None), slice(None), *calm)] = 0.6
    sources[:, :, 20:30, 60:70] = 0.0
    tumour = np.zeros((2, 80, 90), bool)
    tumour[0, 30:36, 30:40] = True
    return sources, tumour, calm


def test_reference_is_the_calm_window_near_the_tumour():
    sources, tumour, calm = head_scene()
    reference = reference_region(sources, tumour, (1.0, 1.0))
    assert not reference[1].any()
    rows, columns = np.nonzero(reference[0])
    assert reference.sum() == 100
    assert rows.min() >= calm[0].start
    assert rows.max() < calm[0].stop
    assert columns.min() >= calm[1].start
    assert columns.max() < calm[1].stop


def test_reference_against_a_slow_search():
    sources, tumour, _ = head_scene()
    sources += np.random.default_rng(1).normal(0, 0.01, sources.shape)
    reference = reference_region(sources, tumour, (2.0, 1.5), 11.0, 3.0, 25.0)
    head = head_mask(sources)[0]
    distance = ndimage.distance_transform_edt(~tumour[0], sampling=(2.0, 1.5))
    height, width = round(11 / 2.0), round(11 / 1.5)
    best, place = np.inf, None
    for top in range(80 - height + 1):
        for left in range(90 - width + 1):
            box = (slice(top, top + height), slice(left, left + width))
            centre = distance[top + height // 2, left + width // 2]
            if not head[box].all() or distance[box].min() < 3 or centre > 25:
                continue
            variance = sum(sources[m, 0][box].var() for m in range(2))
            if variance < best:
                best, place = variance, box
    expected = np.zeros_like(tumour[0])
    expected[place] = True
    assert np.array_equal(reference[0], expected)


def test_reference_never_sees_the_fused_image_and_refuses_the_impossible():
    sources, tumour, _ = head_scene()
    with pytest.raises(ValueError, match="tumour mask is empty"):
        reference_region(sources, np.zeros_like(tumour), (1, 1))
    with pytest.raises(ValueError, match="expected a 60 mm window inside the head"):
        reference_region(sources, tumour, (1, 1), window_mm=60)


def test_head_mask_leaves_air_out_unless_filled():
    sources, _, _ = head_scene()
    assert not head_mask(sources)[0, 25, 65]
    assert head_mask(sources, fill=True)[0, 25, 65]
    assert not head_mask(sources, fill=True)[0, 1, 1]
    assert not head_mask(np.zeros((2, 1, 5, 5))).any()
