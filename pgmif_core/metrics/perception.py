"""Fusion metrics of perceived structure: SSIM, MS-SSIM, VIF and VIFF, on one set of local moments."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from pgmif_core.metrics.remembered import remembered

SSIM_WIDTH, SSIM_SIGMA = 11, 1.5  # Wang et al. 2004
C1, C2 = 0.01**2, 0.03**2  # ibid., data range 1
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first
GREY_LEVELS = 255.0  # VIF and VIFF state their noise for images in 0-255
VIF_NOISE = 2.0  # variance: Sheikh & Bovik 2006, the authors' own code
VIFF_NOISE = 0.005 * GREY_LEVELS**2  # Han et al. 2013, the authors' own code
VIFF_WEIGHTS = np.array([1, 0, 0.15, 1]) / 2.15  # ibid., finest scale first
TINY = 1e-10
FLOOR = 1e-7  # ibid.: keeps constant images from 0/0


def _pairs(fused: NDArray, sources: NDArray, kind: type = np.float32) -> tuple[Tensor, Tensor]:
    """The fused image and every source as (m, 1, h, w)."""
    target = torch.from_numpy(np.asarray(sources, kind))[:, None]
    image = torch.from_numpy(np.asarray(fused, kind))[None, None]
    return image.expand_as(target), target


@cache
def _band(size: int, width: int, sigma: float, kind: torch.dtype) -> Tensor:
    """A Gaussian of `width` pixels as a matrix over `size` pixels, rows only where it fits."""
    x = torch.arange(width, dtype=kind) - (width - 1) / 2
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    shift = torch.arange(size) - torch.arange(size - width + 1)[:, None]
    inside = (shift >= 0) & (shift < width)
    return torch.where(inside, (kernel / kernel.sum())[shift.clamp(0, width - 1)], 0)


def _smooth(images: Tensor, width: int, sigma: float) -> Tensor:
    """Gaussian over (n, 1, h, w); two products are several times faster than convolutions."""
    rows, columns = (_band(size, width, sigma, images.dtype) for size in images.shape[-2:])
    return rows @ images @ columns.T


def _moments(fused: Tensor, source: Tensor, width: int, sigma: float) -> tuple[Tensor, ...]:
    """Local means, variances and covariance of every source and the fused image (1 or n of each)."""
    count, fused = len(source), fused[:1]
    stack = torch.cat((source, fused, source**2, fused**2, source * fused))
    mean_s, mean_f, ss, ff, sf = _smooth(stack, width, sigma).split((count, 1, count, 1, count))
    variance_s, variance_f = (ss - mean_s**2).clamp(min=0), (ff - mean_f**2).clamp(min=0)
    return mean_s, mean_f, variance_s, variance_f, sf - mean_s * mean_f


@remembered
def _similarity(fused: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM of every source, and its contrast-structure part alone; mean over windows that fit."""
    mean_s, mean_f, vs, vf, covariance = _moments(fused, source, SSIM_WIDTH, SSIM_SIGMA)
    part = (2 * covariance + C2) / (vs + vf + C2)
    whole = part * (2 * mean_s * mean_f + C1) / (mean_s**2 + mean_f**2 + C1)
    return whole.mean(dim=(1, 2, 3)), part.mean(dim=(1, 2, 3))


def structural_similarity(fused: NDArray, sources: NDArray) -> float:
    """SSIM: structural similarity to each source (Wang et al. 2004), mean over sources, in [−1, 1].

    11×11 Gaussian window, σ = 1.5, only where it fits, as there; data range 1. (scikit-image and
    torchmetrics have it, slower; the tests compare.)

    >>> x = np.random.default_rng(0).random((16, 16))
    >>> round(structural_similarity(x, x[None]), 3), structural_similarity(1 - x, x[None]) < 0
    (1.0, True)
    """
    return float(_similarity(*_pairs(fused, sources))[0].mean())


def multiscale_similarity(fused: NDArray, sources: NDArray) -> float:
    """MS-SSIM: SSIM over five scales (Wang et al. 2003), mean over sources, in [0, 1].

    Windows only where they fit, 2×2 means between scales. Negative terms count 0. Needs 176 pixels a
    side. (torchmetrics has it, slower and with other borders; the tests compare.)

    >>> x = np.random.default_rng(0).random((176, 176))
    >>> [round(multiscale_similarity(y, x[None]), 3) for y in (x, 1 - x)]
    [1.0, 0.0]
    """
    image, target = _pairs(fused, sources)  # the finest scale is that of SSIM, remembered
    product = torch.ones(len(target))
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            image, target = functional.avg_pool2d(image, 2), functional.avg_pool2d(target, 2)
        whole, part = _similarity(image, target)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product = product * (whole if last else part).clamp(min=0) ** weight
    return float(product.mean())


@remembered
def _gains(fused: NDArray, sources: NDArray) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Per scale and window: variance of the sources, gain to the fused image, and what is left of it.

    Four scales, every next one smoothed and halved.
    """
    # in single precision what is flat has a variance, of rounding, and a gain
    image, target = (GREY_LEVELS * x for x in _pairs(fused, sources, np.float64))
    scales = []
    for scale in range(4):
        width = 2 ** (4 - scale) + 1
        if scale:
            image, target = (_smooth(x, width, width / 5)[..., ::2, ::2] for x in (image, target))
        scales.append(_gain(image, target, width))
    return scales


def _gain(fused: Tensor, source: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    _, _, variance, variance_f, covariance = _moments(fused, source, width, width / 5)
    # no gain where the source is flat, the fused image is, or the contrast is inverted
    gain = torch.where(variance > TINY, covariance / (variance + TINY), 0).clamp(min=0)
    gain = torch.where(variance_f > TINY, gain, 0)
    return variance, gain, (variance_f - gain * covariance).clamp(min=TINY)


def _scales(fused: NDArray, sources: NDArray, noise: float) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Per scale and window: information of the source seen in the fused image, in itself; the gain."""
    for variance, gain, rest in _gains(fused, sources):
        seen = torch.log10(1 + gain**2 * variance / (rest + noise))
        yield seen, torch.log10(1 + variance / noise), gain


def visual_fidelity(fused: NDArray, sources: NDArray) -> float:
    """VIF: visual information fidelity to each source (Sheikh & Bovik 2006), mean over sources.

    Pixel domain, noise variance 2 on 0-255. 1 for a copy, above 1 where contrast is raised; 0 for a
    constant source, which has no information. On [0, 1] images the same noise would drown every
    structure, and values mean nothing. (torchmetrics has it, slower; the tests compare.)

    >>> x = np.random.default_rng(0).random((48, 48))
    >>> weaker, same, stronger = (visual_fidelity(y, x[None] / 2) for y in (x / 4, x / 2, x))
    >>> weaker < round(same, 3) == 1 < stronger
    True
    """
    seen, whole = (
        torch.stack([x.sum(dim=(1, 2, 3)) for x in maps])
        for maps in zip(*((s, w) for s, w, _ in _scales(fused, sources, VIF_NOISE)), strict=True)
    )
    seen, whole = seen.sum(dim=0), whole.sum(dim=0)
    return float(torch.where(whole > 0, seen / torch.where(whole > 0, whole, 1), 0).mean())


def fusion_fidelity(fused: NDArray, sources: NDArray) -> float:
    """VIFF: visual information fidelity for fusion (Han et al. 2013). 1 for equal images.

    Four scales; in every window the source with the smallest gain counts (the authors' code), and
    the scales are weighted 1 : 0 : 0.15 : 1. Computed on 0-255. Above 1 where contrast is raised.

    >>> x = np.random.default_rng(0).random((48, 48))
    >>> round(fusion_fidelity(x, np.stack((x, x))), 3)
    1.0
    """
    values = []
    for seen, whole, gain in _scales(fused, sources, VIFF_NOISE):
        least = gain[:1]
        for m in range(1, len(gain)):  # of equal gains the last source counts, as there
            later = gain[m : m + 1] <= least
            seen[:1], whole[:1] = (torch.where(later, x[m : m + 1], x[:1]) for x in (seen, whole))
            least = torch.minimum(least, gain[m : m + 1])
        parts = [(x[:1] + FLOOR).sum() for x in (seen, whole)]
        values.append(float(parts[0] / parts[1]))
    return float(VIFF_WEIGHTS @ values)
