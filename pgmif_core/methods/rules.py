"""Fusion by a formula of the paper, sources untouched, and controls that any filter could give."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from pgmif_core.images.modalities import T1W, T2W
from pgmif_core.methods.pgmif_plus import standardised

CONTROL_SIGMA_PX = 1.0
Sources = Float[Tensor, "b m h w"]
Fused = Float[Tensor, "b 1 h w"]


def average(sources: Sources) -> Fused:
    """Direct average of the sources (the "direct average" of the paper's Figure 3).

    >>> average(torch.tensor([[[[0.25]], [[0.75]]]])).item()
    0.5
    """
    return sources.mean(dim=1, keepdim=True)


def pixelwise_weighted_average(sources: Sources) -> Fused:
    """PWA: each source weighted by its own intensity, Σx² / Σx (Eq. 6); 0 where all are 0.

    >>> pixelwise_weighted_average(torch.tensor([[[[0.25]], [[0.75]]]])).item()  # (1 + 9) / 16
    0.625
    """
    total = sources.sum(dim=1, keepdim=True)
    weighted = sources.square().sum(dim=1, keepdim=True)
    return torch.where(total > 0, weighted / torch.where(total > 0, total, 1), 0)


def maximum_of_images(sources: Sources) -> Fused:
    """MoI: the brightest source at each pixel (Eq. 7).

    >>> maximum_of_images(torch.tensor([[[[0.25]], [[0.75]]]])).item()
    0.75
    """
    return sources.amax(dim=1, keepdim=True)


def _blur(image: Fused, sigma_px: float) -> Fused:
    reach = int(4 * sigma_px + 0.5)
    x = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (x / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(image, (reach,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1))


def t1w(sources: Sources) -> Fused:
    """T1w untouched: the row that every fused image must beat.

    >>> t1w(torch.tensor([[[[0.25]], [[0.75]]]])).item()
    0.25
    """
    return sources[:, T1W : T1W + 1]


def t2w(sources: Sources) -> Fused:
    """T2w untouched: the row that every fused image must beat.

    >>> t2w(torch.tensor([[[[0.25]], [[0.75]]]])).item()
    0.75
    """
    return sources[:, T2W : T2W + 1]


def t2w_blurred(sources: Sources) -> Fused:
    """Control: T2w after a Gaussian of 1 px. Raises CNR without knowing anything about tumours.

    >>> noise = torch.rand(1, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> bool(noise[:, 1:].std() > 3 * t2w_blurred(noise).std())  # the σ by which CNR is divided
    True
    """
    return _blur(t2w(sources), CONTROL_SIGMA_PX)


def t2w_sharpened(sources: Sources) -> Fused:
    """Control: unsharp mask of T2w, 2·x − blur(x), cut to [0, 1]. Raises Q for the same reason.

    >>> edge = torch.tensor([0.4, 0.4, 0.4, 0.6, 0.6, 0.6]).expand(1, 2, 6, 6)
    >>> bool(t2w_sharpened(edge).diff().max() > 1.5 * edge.diff().max())
    True
    """
    image = t2w(sources)
    return (2 * image - _blur(image, CONTROL_SIGMA_PX)).clamp(0, 1)


def t2w_standardised(sources: Sources) -> Fused:
    """Control: T2w with the quartiles of every slice's tissue brought to one place, nothing fused.

    PGMIF+ does this first: what it gains by this alone is not due to fusion.

    >>> slope = torch.linspace(0.1, 0.9, 101).expand(1, 2, 1, 101)
    >>> t2w_standardised(slope).quantile(torch.tensor([0.25, 0.75]))
    tensor([0.3000, 0.6000])
    """
    return standardised(t2w(sources))
