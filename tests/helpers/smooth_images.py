"""Smooth random images in [0, 1], to measure fusion on."""

import numpy as np
from scipy import ndimage


def smooth_images(count, shape=(30, 41), seed=0, sigma=1.5):
    """Images (count, height, width) of noise, smoothed by a Gaussian of `sigma` pixels."""
    noise = np.random.default_rng(seed).random((count, *shape))
    noise = ndimage.gaussian_filter(noise, (0, sigma, sigma))
    low, high = (f(noise, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    return 0.1 + 0.8 * (noise - low) / (high - low)


FUSED, *SOURCES = smooth_images(3)
SOURCES = np.array(SOURCES)
