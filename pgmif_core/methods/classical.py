"""Classical fusion of registered images: what a user would otherwise pick. Nothing is trained.

All take `sources` (b, m, h, w) in [0, 1], any number of sources and any size, and return
(b, 1, h, w) in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
import pywt
import torch
import torch.nn.functional as functional
from jaxtyping import Float
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter
from torch import Tensor

from pgmif_core.gradients import gradient_norm, image_gradient

Sources = Float[Tensor, "b m h w"]
Fused = Float[Tensor, "b 1 h w"]

PYRAMID_LEVELS = 4
WAVELET, WAVELET_LEVELS = "sym4", 4
SCREENING = 0.05  # pull of the Poisson solution towards the mean of the sources


def _strongest(coefficients: Tensor) -> Tensor:
    """Per pixel, over dimension 1, the coefficient with the largest magnitude."""
    return coefficients.gather(1, coefficients.abs().argmax(dim=1, keepdim=True))


def _binomial(images: Tensor, gain: float = 1.0) -> Tensor:
    kernel = images.new_tensor([1, 4, 6, 4, 1]) / 16 * gain
    b, m, h, w = images.shape
    padded = functional.pad(images.reshape(b * m, 1, h, w), (2, 2, 2, 2), mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1)).view(b, m, h, w)


def _enlarge(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Twice as large: the binomial filter on samples that stay where `_binomial(…)[::2]` took them."""
    for axis, length in ((-2, size[0]), (-1, size[1])):
        x = images.movedim(axis, -1)
        before, after = (torch.cat(parts, -1) for parts in (
            (x[..., :1], x[..., :-1]), (x[..., 1:], x[..., -1:])
        ))
        even, odd = (before + 6 * x + after) / 8, (x + after) / 2
        images = torch.stack((even, odd), -1).flatten(-2)[..., :length].movedim(-1, axis)
    return images


def laplacian_pyramid(sources: Sources) -> Fused:
    """Laplacian pyramid (Burt & Adelson 1983): strongest detail of each level, mean of the base.

    Binomial 5-tap filter, four levels, fewer where the image is smaller than 2^5 pixels.

    >>> stripes = 0.5 + 0.1 * (-1.0) ** torch.arange(128).expand(1, 1, 128, 128)
    >>> sources = torch.cat((stripes, torch.full_like(stripes, 0.5)), dim=1)
    >>> laplacian_pyramid(sources)[0, 0, 64, 64:66]  # the average would halve them
    tensor([0.6000, 0.4000])
    """
    levels = max(0, min(PYRAMID_LEVELS, int(np.log2(min(sources.shape[-2:]))) - 1))
    image, details = sources, []
    for _ in range(levels):
        smaller = _binomial(image)[..., ::2, ::2]
        details.append(_strongest(image - _enlarge(smaller, image.shape[-2:])))
        image = smaller
    fused = image.mean(dim=1, keepdim=True)
    for detail in reversed(details):
        fused = _enlarge(fused, detail.shape[-2:]) + detail
    return fused.clamp(0, 1)


def wavelet(sources: Sources) -> Fused:
    """Discrete wavelet transform (Li, Manjunath & Mitra 1995): strongest detail, mean of the base.

    Wavelet sym4, four levels where the image allows, symmetric borders (PyWavelets).

    >>> stripes = 0.5 + 0.1 * (-1.0) ** torch.arange(128).expand(1, 1, 128, 128)
    >>> sources = torch.cat((stripes, torch.full_like(stripes, 0.5)), dim=1)
    >>> wavelet(sources)[0, 0, 64, 64:66]  # the average would halve them
    tensor([0.6000, 0.4000])
    """
    height, width = sources.shape[-2:]
    levels = min(WAVELET_LEVELS, pywt.dwt_max_level(min(height, width), WAVELET))
    base, *details = pywt.wavedec2(sources.double().numpy(), WAVELET, level=levels, axes=(-2, -1))
    chosen = [
        tuple(_strongest(torch.from_numpy(band)).numpy() for band in bands) for bands in details
    ]
    fused = pywt.waverec2([base.mean(axis=1, keepdims=True), *chosen], WAVELET, axes=(-2, -1))
    return torch.from_numpy(fused[..., :height, :width]).to(sources.dtype).clamp(0, 1)


def _box_mean(images: Tensor, radius: int) -> Tensor:
    """Mean over a (2·radius + 1) square, only over pixels inside the image."""
    for axis, size in ((-1, images.shape[-1]), (-2, images.shape[-2])):
        total = functional.pad(images.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
        index = torch.arange(size)
        last, first = (index + radius + 1).clamp(max=size), (index - radius).clamp(min=0)
        shape = (-1,) if axis == -1 else (-1, 1)
        images = total.index_select(axis, last) - total.index_select(axis, first)
        images = images / (last - first).view(shape)
    return images


def _guided(guide: Tensor, image: Tensor, radius: int, epsilon: float) -> Tensor:
    """Guided filter (He, Sun & Tang 2010): `image` smoothed along the edges of `guide`."""
    mean_g, mean_i = _box_mean(guide, radius), _box_mean(image, radius)
    variance = _box_mean(guide * guide, radius) - mean_g**2
    slope = (_box_mean(guide * image, radius) - mean_g * mean_i) / (variance + epsilon)
    offset = mean_i - slope * mean_g
    return _box_mean(slope, radius) * guide + _box_mean(offset, radius)


def guided_filter(sources: Sources) -> Fused:
    """Guided-filter fusion (Li, Kang & Hu 2013): two scales, weights of saliency kept to edges.

    Base: 31×31 mean. Saliency: |Laplacian| under an 11×11 Gaussian, σ = 5; the most salient source
    takes the pixel, and the weight map is guided by it with r = 45, ε = 0.3 (base) and r = 7,
    ε = 1e-6 (detail), as printed there.

    >>> stripes = 0.5 + 0.1 * (-1.0) ** torch.arange(128).expand(1, 1, 128, 128)
    >>> sources = torch.cat((stripes, torch.full_like(stripes, 0.5)), dim=1)
    >>> guided_filter(sources)[0, 0, 64, 64:66]  # the average would halve them
    tensor([0.6000, 0.4000])
    """
    x = sources.double()
    base = _box_mean(x, 15)
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    laplacian = (padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2]
                 + padded[..., 1:-1, 2:] - 4 * x)
    saliency = gaussian_filter(laplacian.abs().numpy(), (0, 0, 5, 5), mode="nearest", truncate=1)
    winner = torch.from_numpy(saliency).argmax(dim=1, keepdim=True)
    weights = torch.zeros_like(x).scatter_(1, winner, 1.0)
    fused = torch.zeros_like(x[:, :1])
    for part, radius, epsilon in ((base, 45, 0.3), (x - base, 7, 1e-6)):
        smooth = _guided(x, weights, radius, epsilon).clamp(0, 1)
        total = smooth.sum(dim=1, keepdim=True)
        equal = torch.full_like(smooth, 1 / x.shape[1])
        smooth = torch.where(total > 1e-9, smooth / total.clamp(min=1e-9), equal)
        fused = fused + (smooth * part).sum(dim=1, keepdim=True)
    return fused.to(sources.dtype).clamp(0, 1)


def fused_gradient(sources: Sources) -> Float[Tensor, "b 2 h w"]:
    """Gradient field with the contrast of all sources together (Socolinsky & Wolff 2002).

    Contrasts add up as squares, as printed there: m equal sources give √m times their gradient, a
    sharpening that comes from redundancy alone. Per pixel the main direction of the structure tensor
    Σ ∇x ∇xᵀ, as long as the root of its largest eigenvalue, pointing the way of the sources' mean
    gradient (of the strongest source where that vanishes).

    >>> fused_gradient(torch.arange(3.0).expand(1, 4, 1, 3))[0, 1, 0]  # four equal sources: √4
    tensor([2., 2., 0.])
    """
    gradients = image_gradient(sources)
    down, right = gradients[:, :, 0], gradients[:, :, 1]
    a, b, c = (down**2).sum(1), (right**2).sum(1), (down * right).sum(1)
    largest = (a + b) / 2 + (((a - b) / 2) ** 2 + c**2).sqrt()
    angle = 0.5 * torch.atan2(2 * c, a - b)
    field = torch.stack((angle.cos(), angle.sin()), dim=1) * largest.clamp(min=0).sqrt()[:, None]
    mean = gradients.mean(dim=1)
    norms = gradient_norm(gradients)
    strongest = gradients.gather(
        1, norms.argmax(dim=1, keepdim=True)[:, :, None].expand(-1, -1, 2, -1, -1)
    )[:, 0]
    along = (field * mean).sum(1)
    along = torch.where(along.abs() > 1e-9, along, (field * strongest).sum(1))
    return torch.where((along < 0)[:, None], -field, field)


def solve_screened_poisson(
    field: Float[Tensor, "b 2 h w"], towards: Float[Tensor, "b 1 h w"], screening: float
) -> Float[Tensor, "b 1 h w"]:
    """argmin_F Σ ‖∇F − field‖² + screening · (F − towards)², exactly, by cosine transforms.

    ∇ are the forward differences of Eq. 1 with free borders, which the DCT-II diagonalises.
    `screening` > 0 in 1/pixel². Raises ValueError otherwise.

    >>> towards = torch.tensor([[[[0.0, 1.0]]]])
    >>> solve_screened_poisson(torch.zeros(1, 2, 1, 2), towards, screening=1e-6)  # flat is wanted
    tensor([[[[0.5000, 0.5000]]]])
    """
    if not screening > 0:
        raise ValueError(f"screening must be positive, found {screening}")
    down, right = field[:, 0].double().numpy(), field[:, 1].double().numpy()
    divergence = np.diff(down[:, :-1], axis=1, prepend=0, append=0)
    divergence += np.diff(right[..., :-1], axis=2, prepend=0, append=0)
    height, width = divergence.shape[-2:]
    waves = [2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (height, width)]
    wanted = screening * towards[:, 0].double().numpy() - divergence
    spectrum = dctn(wanted, axes=(-2, -1)) / (screening + waves[0][:, None] + waves[1])
    return torch.from_numpy(idctn(spectrum, axes=(-2, -1)))[:, None].to(towards.dtype)


def gradient_domain(
    sources: Sources, screening: float = SCREENING, weights: Sequence[float] | None = None,
    epsilon: float | None = None, gain: float = 1.0,
) -> Fused:
    """Gradient-domain fusion in closed form: the image whose gradients are nearest to `fused_gradient`.

    An optimum in closed form beside networks trained on gradients. Screened towards the mean of the
    sources, so that intensities do not drift; cut to [0, 1]. `weights`, one per source, from 0, count in
    gradients and mean. With `epsilon` the target is ε times the normalized gradient of Eq. 1,
    ε∇/(‖∇‖ + ε): weak edges stay, strong ones flatten to ε. `gain` steepens it. Raises ValueError on
    weights of another number, below 0 or all 0, and on ε or gain not above 0.

    >>> image = torch.eye(8)[None, None] / 2
    >>> fused = gradient_domain(image.expand(-1, 4, -1, -1), gain=0.5)  # four equal sources: √4 · ½ = 1
    >>> torch.allclose(fused, image, atol=1e-6)
    True
    """
    weights = [1.0] * sources.shape[1] if weights is None else list(weights)
    if len(weights) != sources.shape[1] or min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(f"weights: expected {sources.shape[1]}, from 0, not all 0, found {weights}")
    if not gain > 0 or (epsilon is not None and not epsilon > 0):
        raise ValueError(f"gain and epsilon must be positive, found {gain} and {epsilon}")
    shares = sources.new_tensor(weights)[:, None, None] / sum(weights)
    mean = (sources * shares).sum(dim=1, keepdim=True)
    field = fused_gradient(sources * (shares * len(weights)).sqrt())
    if epsilon is not None:
        field = field * (epsilon / (gradient_norm(field[:, None]) + epsilon))
    return solve_screened_poisson(gain * field, mean, screening).clamp(0, 1)


def principal_components(sources: Sources) -> Fused:
    """PCA fusion (Naidu & Raol 2008): sources weighted by their first principal component, per slice.

    Weights are the magnitudes of its entries, made to sum to 1: sources that vary more weigh more.
    Equal weights where nothing varies.

    >>> principal_components(torch.tensor([[[[0.0, 0.2]], [[0.0, 0.6]]]]))  # 0.2 · ¼ + 0.6 · ¾
    tensor([[[[0.0000, 0.5000]]]])
    """
    flat = sources.double().flatten(2)
    flat = flat - flat.mean(dim=2, keepdim=True)
    covariance = flat @ flat.mT / flat.shape[2]
    first = torch.linalg.eigh(covariance).eigenvectors[..., -1].abs()
    varies = torch.diagonal(covariance, dim1=1, dim2=2).sum(1, keepdim=True) > 0
    first = torch.where(varies, first, 1.0)
    weights = (first / first.sum(dim=1, keepdim=True)).to(sources.dtype)
    return (sources * weights[..., None, None]).sum(dim=1, keepdim=True)
