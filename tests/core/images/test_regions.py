"""The reference region and the head."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.literal_regions import literal_head, literal_region
from scipy import ndimage

from pgmif_core.images import regions
from pgmif_core.images.regions import head_mask, reference_region


def test_the_calmest_window_is_not_looked_for_where_nothing_was_imaged():
    rng = np.random.default_rng(0)
    sources = rng.random((2, 1, 60, 60)) * 0.3 + 0.5
    sources[0, :, :, 40:] = 0
    tumour = np.zeros((1, 60, 60), bool)
    tumour[0, 25:35, 30:38] = True
    imaged = np.ones((1, 60, 60), bool)
    imaged[:, :, 40:] = False
    region = reference_region(sources, tumour, (3.0, 1.0, 1.0), imaged=imaged)
    assert region.any()
    assert not (region & ~imaged).any()
    assert (reference_region(sources, tumour, (3.0, 1.0, 1.0)) & ~imaged).any()


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
    reference = reference_region(sources, tumour, (3.0, 1.0, 1.0))
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
    reference = reference_region(sources, tumour, (3.0, 2.0, 1.5), 11.0, 3.0, 25.0, choice="slice")
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


@pytest.mark.parametrize("choice", ["tissue", "slice"])
@pytest.mark.parametrize(("left", "reached"), [(33, True), (32, False), (50, True), (51, False)])
def test_how_near_and_how_far_by_default(left, reached, choice):
    """One window is calm: its nearest pixel 3 mm or 2 from the tumour, its centre 25 mm or 26."""
    sources = np.random.default_rng(0).uniform(0.3, 1, (2, 1, 30, 90))
    sources[..., :2, :] = 0
    tumour = np.zeros((1, 30, 90), bool)
    tumour[0, 10, 30] = True
    calm = (0, slice(5, 15), slice(left, left + 10))
    sources[:, *calm] = 0.6
    region = reference_region(sources, tumour, (3.0, 1.0, 1.0), choice=choice)
    assert region.sum() == 100
    assert bool(region[calm].all()) is reached


def tissue_scene():
    """Five slices with a tumour beside a calm tissue that is always there and three calmer mosaics.

    The tissue (0.6) fills a square in every slice but the last; elsewhere noise, and in each slice one
    flatter square of another level.
    """
    rng = np.random.default_rng(3)
    sources = 0.4 + rng.normal(0, 0.06, (2, 5, 70, 70))
    for k in range(5):
        for m in range(2):
            if k < 4:
                sources[m, k, 40:54, 40:54] = 0.6 + rng.normal(0, 0.01, (14, 14))
            sources[m, k, 12:26, 12:26] = 0.2 + 0.15 * k + rng.normal(0, 0.002, (14, 14))
    sources[:, :, :3] = sources[:, :, -3:] = 0
    tumour = np.zeros((5, 70, 70), bool)
    tumour[:, 30:36, 30:36] = True
    return sources, tumour


def test_one_tissue_is_followed_through_the_slices():
    sources, tumour = tissue_scene()
    region = reference_region(sources, tumour, (4.0, 1.0, 1.0))
    assert region[:4].any(axis=(1, 2)).all()
    assert not region[4].any()  # the tissue is not there
    inside = np.zeros_like(region)
    inside[:, 40:54, 40:54] = True
    assert not (region & ~inside).any()
    mosaic = reference_region(sources, tumour, (4.0, 1.0, 1.0), choice="slice")
    squares = np.zeros_like(region)
    squares[:, 12:26, 12:26] = True
    assert mosaic[4].any()
    assert not (mosaic & ~squares).any()  # the calmest windows, each of another level
    assert sources[0][mosaic].std() > 10 * sources[0][region].std()


def test_slices_are_brought_to_one_scale_for_the_choice():
    sources, tumour = tissue_scene()
    expected = reference_region(sources, tumour, (4.0, 1.0, 1.0))
    rng = np.random.default_rng(5)
    low, high = rng.uniform(-1, -0.2, (5, 2)), rng.uniform(1, 3, (5, 2))
    ranges = np.stack((low, high), axis=-1)
    flickering = (sources - low.T[..., None, None]) / (high - low).T[..., None, None]
    found = reference_region(flickering, tumour, (4.0, 1.0, 1.0), ranges=ranges)
    assert np.array_equal(found, expected)
    assert not np.array_equal(reference_region(flickering, tumour, (4.0, 1.0, 1.0)), expected)


@pytest.mark.parametrize(("outliers", "calm"), [(48, "left"), (16, "right")])
def test_a_source_is_weighed_by_its_spread_but_for_the_last_hundredths(monkeypatch, outliers, calm):
    """The first source is calmer at the right. Outliers in 1.5 % of the head make its spread so wide
    that the second decides, which is calmer at the left; in .5 % they do not."""
    chequered, left = np.indices((40, 80)).sum(axis=0) % 2, np.arange(80) < 40
    sources = np.stack([chequered * np.where(left, 2, 0.1), chequered * np.where(left, 0.2, 0.22)])
    sources[0].flat[:outliers] = -1e4
    tumour = np.zeros((1, 40, 80), bool)
    tumour[0, 18:22, 36:44] = True
    monkeypatch.setattr(regions, "head_mask", lambda _: np.ones(tumour.shape, bool))
    region = reference_region(sources[:, None], tumour, (3.0, 1.0, 1.0))[0]
    assert {"left": region[:, left].any(), "right": region[:, ~left].any()} == {
        "left": calm == "left", "right": calm == "right"}


def test_no_other_tissue_has_less_pooled_variance():
    """Against a slow search: any tissue (a grid of levels), its nearest window in every slice."""
    rng = np.random.default_rng(7)
    sources = ndimage.gaussian_filter(rng.normal(0.5, 1.0, (2, 3, 36, 40)), (0, 0, 3, 3)) + 0.5
    tumour = np.zeros((3, 36, 40), bool)
    tumour[:, 16:20, 18:22] = True
    spacing = (5.0, 2.0, 2.0)
    region = reference_region(sources, tumour, spacing)
    head, distance = head_mask(sources), ndimage.distance_transform_edt(~tumour, sampling=spacing)
    spread = [np.ptp(np.percentile(s[head], (1, 99))) for s in sources]
    scaled = sources / np.reshape(spread, (2, 1, 1, 1))
    windows = []
    for k in range(3):
        windows.append([
            scaled[:, k, top : top + 5, left : left + 5].reshape(2, -1)
            for top in range(32) for left in range(36)
            if head[k, top : top + 5, left : left + 5].all()
            and distance[k, top : top + 5, left : left + 5].min() >= 3
            and distance[k, top + 2, left + 2] <= 25
        ])
    best = np.inf
    for a in np.linspace(scaled[0].min(), scaled[0].max(), 25):
        for b in np.linspace(scaled[1].min(), scaled[1].max(), 25):
            level = np.array([[a], [b]])
            parts = [min(w, key=lambda x: ((x - level) ** 2).sum()) for w in windows]
            best = min(best, np.concatenate(parts, axis=1).var(axis=1).sum())
    found = scaled[:, region].var(axis=1).sum()
    assert found <= 1.05 * best


def test_a_tissue_without_any_noise_is_one(monkeypatch):
    sources = np.ones((1, 2, 20, 40))
    sources[..., 20:] = -1  # numbers that nothing rounds
    tumour = np.zeros((2, 20, 40), bool)
    tumour[:, 8:12, 14:17] = True
    monkeypatch.setattr(regions, "head_mask", lambda _: np.ones((2, 20, 40), bool))
    region = reference_region(sources, tumour, (3.0, 1.0, 1.0), window_mm=5.0)
    assert region.sum() == 50
    assert np.ptp(sources[0][region]) == 0


def test_distances_of_a_tissue_are_three_dimensional():
    sources, tumour = tissue_scene()
    tumour[:2] = tumour[3:] = False
    tumour[3, 40:54, 40:54] = True  # above the tissue of slice 2, which alone has a tumour of its own
    for spacing, above in ((4.0, True), (1.0, False)):
        region = reference_region(sources, tumour, (spacing, 1.0, 1.0))
        assert region[2, 40:54, 40:54].any() == above


def test_reference_never_sees_the_fused_image_and_refuses_the_impossible():
    sources, tumour, _ = head_scene()
    with pytest.raises(ValueError, match="tumour mask is empty"):
        reference_region(sources, np.zeros_like(tumour), (3, 1, 1))
    with pytest.raises(ValueError, match="expected a 60 mm window inside the head"):
        reference_region(sources, tumour, (3, 1, 1), window_mm=60)


def test_head_mask_leaves_air_out_unless_filled():
    sources, _, _ = head_scene()
    assert not head_mask(sources)[0, 25, 65]
    assert head_mask(sources, fill=True)[0, 25, 65]
    assert not head_mask(sources, fill=True)[0, 1, 1]
    assert not head_mask(np.zeros((2, 1, 5, 5))).any()


def test_an_unknown_choice_of_region_is_refused():
    sources, tumour, _ = head_scene()
    with pytest.raises((ValueError, TypeError), match=r"tissue.*slice"):
        reference_region(sources, tumour, (3, 1, 1), choice="calm")


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_head_is_that_of_loops_over_pixels(seed, fill):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(1 + seed % 3, 3, 25, 28)), (0, 0, 1, 1))
    sources = np.maximum(smooth, 0) + rng.normal(0, 0.03, smooth.shape)  # half of it is air
    sources[0, 0, :2, :3] = -0.4  # ringing
    if seed == 5:
        sources[1] = 0.7  # a source without signal
    head = head_mask(sources, fill)
    assert np.array_equal(head, literal_head(sources, fill))
    assert 0.05 < head.mean() < 0.95


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["tissue", "slice"]), st.booleans(), st.booleans())
def test_the_region_is_that_of_loops_over_pixels(seed, choice, partly, ranged):
    rng = np.random.default_rng(seed)
    slices, modalities = rng.integers(1, 6), rng.integers(1, 4)
    sources = ndimage.gaussian_filter(rng.normal(size=(modalities, slices, 17, 19)), (0, 0, 1.5, 1.5))
    sources += rng.normal(0, 0.1, sources.shape)
    spacing = tuple(rng.choice([1.0, 1.5, 2.0], 3))
    head = rng.random((slices, 17, 19)) > 0.003
    tumour = np.zeros(head.shape, bool)
    tumour[: max(1, slices - 1), 7:9, 6:9] = True
    if seed % 2 and slices > 2:
        head[0] = False  # the first slice with tumour has no window
    asked = {"window": 5.0, "nearest": 2.0, "farthest": 9.0, "choice": choice,
             "imaged": rng.random(head.shape) > 0.003 if partly else None,
             "ranges": np.sort(rng.normal(size=(slices, modalities, 2))) if ranged else None}
    expected = literal_region(sources, tumour, spacing, head=head, **asked)
    own = {f"{k}_mm" if k in ("window", "nearest", "farthest") else k: v for k, v in asked.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "head_mask", lambda _: head)
        if expected is None:
            with pytest.raises(ValueError, match="expected a 5 mm window"):
                reference_region(sources, tumour, spacing, **own)
        else:
            assert np.array_equal(reference_region(sources, tumour, spacing, **own), expected)
