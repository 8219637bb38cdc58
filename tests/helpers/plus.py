"""PGMIF+ for tests: plain settings, and smooth noise to fuse."""

import numpy as np
import torch
from scipy import ndimage

from pgmif_core.methods.pgmif_plus import PlusSettings

HALF = PlusSettings((0.5, 0.5))


def random_sources(shape, seed=0):
    """Smooth noise (batch, modality, height, width) in [0, 1]."""
    noise = np.random.default_rng(seed).random(shape)
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1, 1))
    return torch.from_numpy((smooth - smooth.min()) / np.ptp(smooth)).float()
