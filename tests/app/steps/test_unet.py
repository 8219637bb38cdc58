"""The U-Net that draws tumours, and the measures of how well."""

import numpy as np
import pytest
from scipy import ndimage

from pgmif.steps.unet import Drawn, UNetSettings, agreement, build_unet, draw, train_unet, tumour_batch

SHORT = UNetSettings(iterations=150, batch_size=4, crop=32)


def patient(seed, shape=(3, 45, 40), channels=1, contrast=0.5):
    """A bright square tumour somewhere in noise."""
    rng = np.random.default_rng(seed)
    gtv = np.zeros(shape, bool)
    top, left = rng.integers(4, np.array(shape[1:]) - 16)
    gtv[1:, top : top + 12, left : left + 12] = True
    noise = rng.uniform(0, 0.3, (shape[0], channels, *shape[1:]))
    return Drawn((noise + contrast * gtv[:, None]).astype(np.float32), gtv)


@pytest.fixture(scope="module")
def trained():
    return train_unet([patient(s) for s in range(4)], SHORT)


def test_it_draws_a_tumour_that_can_be_seen(trained):
    unknown = patient(11)
    drawn = draw(trained, unknown.images)
    assert drawn.shape == unknown.gtv.shape
    assert agreement(drawn, unknown.gtv, (3, 1, 1)).dice > 0.8


def test_it_cannot_draw_what_is_not_in_the_image():
    blind = train_unet([patient(s, contrast=0) for s in range(4)], SHORT)
    unknown = patient(11, contrast=0)
    assert agreement(draw(blind, unknown.images), unknown.gtv, (3, 1, 1)).dice < 0.5


def test_only_the_largest_body_is_kept(trained):
    unknown = patient(11)
    images = unknown.images.copy()
    images[0, :, 0:3, 0:3] = 0.9
    drawn = draw(trained, images)
    assert ndimage.label(drawn)[1] == 1
    assert not drawn[0, :3, :3].any()


def test_the_same_seed_gives_the_same_network(trained):
    image = patient(5).images
    again = train_unet([patient(s) for s in range(4)], SHORT)
    np.testing.assert_array_equal(draw(again, image), draw(trained, image))
    other = build_unet(1).eval()
    assert not np.array_equal(draw(other, image), draw(trained, image))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 32, 32), (1, 33, 47), (9, 40, 56)])
def test_any_size_any_number_of_channels(channels, shape):
    images = np.random.default_rng(0).random((shape[0], channels, *shape[1:]), dtype=np.float32)
    assert draw(build_unet(channels).eval(), images).shape == shape


def test_crops_stay_inside_and_fit_their_tumour():
    one = patient(3, channels=2)
    marked = Drawn(one.gtv[:, None].repeat(2, axis=1).astype(np.float32), one.gtv)
    images, masks = tumour_batch([marked], 40, 32, np.random.default_rng(0))
    assert images.shape == (40, 2, 32, 32)
    assert masks.shape == (40, 1, 32, 32)
    np.testing.assert_array_equal(images[:, :1], masks)
    assert 0.5 <= masks.any(axis=(1, 2, 3)).mean() <= 1


@pytest.mark.parametrize(("settings", "message"), [
    (UNetSettings(1, 1, 30), "multiple of 8"), (UNetSettings(1, 1, 48), "up to 40"),
])
def test_impossible_crops_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        train_unet([patient(0)], settings)


def test_nothing_to_learn_from_is_refused():
    empty = Drawn(np.zeros((1, 1, 40, 40), np.float32), np.zeros((1, 40, 40), bool))
    for patients in ([], [empty]):
        with pytest.raises(ValueError, match="has a tumour"):
            train_unet(patients, SHORT)


def literal_distance(first, second, spacing):
    """95th percentile of the distances of each surface to the other, the larger of both ways."""
    surfaces = [m & ~ndimage.binary_erosion(m) for m in (first, second)]
    worst = []
    for mine, other in (surfaces, surfaces[::-1]):
        here, there = (np.argwhere(s) * np.asarray(spacing) for s in (mine, other))
        nearest = np.sqrt(((here[:, None] - there[None]) ** 2).sum(-1)).min(axis=1)
        worst.append(np.percentile(nearest, 95))
    return max(worst)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.4, 1.2, 0.9)])
def test_agreement_beside_a_literal_one(spacing):
    rng = np.random.default_rng(1)
    first, second = (
        ndimage.gaussian_filter(rng.standard_normal((9, 21, 17)), 2) > 0.05 for _ in range(2)
    )
    found = agreement(first, second, spacing)
    assert found.dice == pytest.approx(2 * (first & second).sum() / (first.sum() + second.sum()))
    assert found.hd95_mm == pytest.approx(literal_distance(first, second, spacing), rel=1e-5)


def test_agreement_at_its_limits():
    truth = patient(0).gtv
    assert agreement(truth, truth, (3, 1, 1)) == (1, 0)
    nothing = agreement(np.zeros_like(truth), truth, (3, 1, 1))
    assert nothing.dice == 0
    assert nothing.hd95_mm == pytest.approx(np.linalg.norm((9, 45, 40)))
    with pytest.raises(ValueError, match="empty"):
        agreement(truth, np.zeros_like(truth), (3, 1, 1))
