"""SSIM, MS-SSIM, VIF and VIFF beside other implementations."""

import numpy as np
import pytest
import torch
from helpers.smooth_images import smooth_images
from references.literal_fusion_metrics import LITERAL
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
    visual_information_fidelity,
)

from pgmif_core.metrics.standard import FUSION_METRICS


def test_ssim_by_skimage_and_torchmetrics():
    """The latter mirrors its borders, and mixes that with cropping in MS-SSIM."""
    fused, *sources = smooth_images(3, (190, 201), seed=2, sigma=2)
    fused, sources = (fused + 2 * sources[0]) / 3, np.array(sources)
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5}
    theirs = [structural_similarity(fused, s, use_sample_covariance=False, **options) for s in sources]
    assert FUSION_METRICS["SSIM"](fused, sources) == pytest.approx(np.mean(theirs), abs=1e-5)
    pairs = torch.tensor(fused)[None, None].expand(2, 1, 190, 201), torch.tensor(sources)[:, None]
    one = float(structural_similarity_index_measure(*pairs, data_range=1.0))
    assert FUSION_METRICS["SSIM"](fused, sources) == pytest.approx(one, abs=0.02)
    many = multiscale_structural_similarity_index_measure(*pairs, data_range=1.0, normalize="relu")
    assert FUSION_METRICS["MS-SSIM"](fused, sources) == pytest.approx(float(many), abs=0.03)


def test_ssim_of_dark_images_by_skimage_and_of_greys_by_hand():
    """There the constants of the publication, which keep 0/0 away, decide the value."""
    fused, *sources = 0.02 * np.stack(smooth_images(3, (40, 45), seed=2, sigma=2))
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5}
    theirs = [structural_similarity(fused, s, use_sample_covariance=False, **options) for s in sources]
    assert FUSION_METRICS["SSIM"](fused, np.array(sources)) == pytest.approx(np.mean(theirs), abs=1e-5)
    dark, darker = np.full((16, 17), 0.03), np.full((2, 16, 17), 0.01)
    by_hand = (2 * 0.03 * 0.01 + 1e-4) / (0.03**2 + 0.01**2 + 1e-4)
    assert FUSION_METRICS["SSIM"](dark, darker) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("grey", [0.0, 0.3, 0.7, 0.9, 1.0])
def test_visual_information_of_a_flat_source_does_not_depend_on_its_grey(grey):
    fused = smooth_images(1, (60, 64), sigma=2)[0]
    flat = np.full((2, 60, 64), grey)
    assert FUSION_METRICS["VIF"](fused, flat) == 0
    assert FUSION_METRICS["VIFF"](fused, flat) == pytest.approx(1)


def test_vif_is_measured_on_0_to_255():
    fused, *sources = smooth_images(3, (61, 74), seed=7, sigma=2)
    x, y = (torch.tensor(i, dtype=torch.float64)[None, None] for i in (fused, sources[0]))
    twice = np.array(sources[:1] * 2)
    right, wrong = (float(visual_information_fidelity(k * x, k * y)) for k in (255, 1))
    assert FUSION_METRICS["VIF"](fused, twice) == pytest.approx(right, rel=1e-3)
    assert abs(right - wrong) > 0.1 * right


def test_faint_structure_is_information_and_a_flat_image_has_none():
    """A faint dot has less than one unit of information in all, and a copy of it all of that."""
    faint, textured = np.zeros((41, 44)), smooth_images(1, (41, 44), sigma=2)[0]
    faint[20, 21] = 0.002
    assert FUSION_METRICS["VIF"](faint, np.array([faint, faint])) == pytest.approx(1, abs=1e-3)
    for flat in (np.zeros((41, 44)), np.full((41, 44), 0.3)):
        for name in ("VIF", "VIFF"):
            assert FUSION_METRICS[name](flat, np.array([textured] * 2)) == pytest.approx(0, abs=1e-6)
    assert FUSION_METRICS["VIF"](textured, np.array([faint, textured])) == pytest.approx(
        (1 + FUSION_METRICS["VIF"](textured, np.array([faint, faint]))) / 2, abs=1e-3)


def test_where_a_source_is_flat_it_has_the_least_gain_and_counts():
    """By Han et al.'s rule nothing is lost there, though of the other source half the contrast is."""
    textured = smooth_images(1, (48, 50), sigma=2)[0]
    for sources in ([textured, np.full((48, 50), 0.4)], [np.full((48, 50), 0.4), textured]):
        assert FUSION_METRICS["VIFF"](textured / 2, np.array(sources)) == pytest.approx(1)


def test_of_equal_gains_the_last_source_counts():
    """The fused image is flat at the left: there no source gains, and the order of them decides."""
    fused, strong, weak = smooth_images(3, (64, 96), seed=4, sigma=2)
    strong[:, 48:] = weak[:, 48:] = fused[:, 48:]
    weak[:, :48] = 0.5 + 0.2 * (weak[:, :48] - 0.5)
    fused[:, :48] = 0.5
    either = [np.array(s) for s in ([strong, weak], [weak, strong])]
    found = [FUSION_METRICS["VIFF"](fused, sources) for sources in either]
    assert found[0] > 1.1 * found[1]
    assert found == pytest.approx([LITERAL["VIFF"](fused, sources) for sources in either], abs=1e-9)


@pytest.mark.parametrize("contrast", [1e-6, 1e-5, 1e-4, 1e-3])
def test_what_is_nearly_flat_by_the_literal_version(contrast):
    """There the small numbers of the authors' code, which keep 0/0 away, decide the value."""
    fused, *sources = 0.5 + contrast * (smooth_images(3, (48, 51), sigma=2) - 0.5)
    fused, sources = 0.2 * fused + 0.4 * sum(sources), np.array(sources)
    expected = LITERAL["VIFF"](fused, sources)
    assert FUSION_METRICS["VIFF"](fused, sources) == pytest.approx(expected, rel=1e-6)
