"""Fusion by a formula of the paper, sources untouched, and controls that any filter could give."""

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pgmif_core.images.modalities import T1W, T2W
from pgmif_core.methods.pgmif_plus import standardised

CONTROL_SIGMA_PX = 1.0
Sources = Float[Tensor, "b m h w"]
Fused = Float[Tensor, "b 1 h w"]


def average(sources: Sources) -> Fused:
    """Direct average of the sources (the "direct average" of the paper's Figure 3)."""
    return sources.mean(dim=1, keepdim=True)


def pixelwise_weighted_average(sources: Sources) -> Fused:
    """PWA: each source weighted by its own intensity, Σx² / Σx (Eq. 6); 0 where all are 0."""
    total = sources.sum(dim=1, keepdim=True)
    weighted = sources.square().sum(dim=1, keepdim=True)
    return torch.where(total > 0, weighted / torch.where(total > 0, total, 1), 0)


def maximum_of_images(sources: Sources) -> Fused:
    """MoI: the brightest source at each pixel (Eq. 7)."""
    return sources.amax(dim=1, keepdim=True)


def blurred(image: NDArray, sigma_px: float) -> NDArray:
    """A Gaussian over the last two axes (…, h, w), edge pixels replicated: the blur of every control.

    >>> float(blurred(torch.ones(1, 5, 5).numpy(), 2.0).mean())
    1.0
    """
    sigmas = (0.0,) * (image.ndim - 2) + (sigma_px, sigma_px)
    return ndimage.gaussian_filter(image, sigmas, mode="nearest")


def _blur(image: Fused, sigma_px: float) -> Fused:
    return torch.from_numpy(blurred(image.detach().cpu().numpy(), sigma_px)).to(image)


def t1w(sources: Sources) -> Fused:
    """T1w untouched: the row that every fused image must beat."""
    return sources[:, T1W : T1W + 1]


def t2w(sources: Sources) -> Fused:
    """T2w untouched: the row that every fused image must beat."""
    return sources[:, T2W : T2W + 1]


def t2w_blurred(sources: Sources) -> Fused:
    """Control: T2w after a Gaussian of 1 px. Raises CNR without knowing anything about tumours."""
    return _blur(t2w(sources), CONTROL_SIGMA_PX)


def t2w_sharpened(sources: Sources) -> Fused:
    """Control: unsharp mask of T2w, 2·x − blur(x), cut to [0, 1]. Raises Q for the same reason."""
    image = t2w(sources)
    return (2 * image - _blur(image, CONTROL_SIGMA_PX)).clamp(0, 1)


def t2w_standardised(sources: Sources) -> Fused:
    """Control: T2w with the quartiles of every slice's tissue brought to one place, nothing fused.

    PGMIF+ does this first: what it gains by this alone is not due to fusion.
    """
    return standardised(t2w(sources))
