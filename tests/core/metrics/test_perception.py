"""SSIM, MS-SSIM, VIF and VIFF beside other implementations."""

import numpy as np
import pytest
import torch
from helpers.smooth_images import smooth_images
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
