"""The losses of PGMIF, GMMCI and DLMWL, and their adversarial terms: pure functions on tensors."""

import math
from collections.abc import Sequence
from numbers import Real

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from pgmif_core.expected import expect_image, expect_images, expect_logits
from pgmif_core.gradients import gradient_norm, image_gradient, normalized_gradient


def gradient_alignment(
    fused: Float[Tensor, "b 1 *space"], sources: Float[Tensor, "b m *space"], epsilon: float,
    dims: int | None = None,
) -> Float[Tensor, "b m *space"]:
    """Squared cosine (n_source · n_fused)² per pixel and source, in [0, 1): the summand of Eq. 2.

    Blind to the sign of the gradient: an inverted image aligns as well as the image itself. Images
    (b, m, h, w), or volumes (b, m, d, h, w) where `dims` says what gradients run over: 2, their slices,
    or 3. Raises TypeError or ValueError on other kinds, dtypes and shapes, as all losses here do.

    >>> steps = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    >>> gradient_alignment(-steps, steps, epsilon=1.0).tolist()  # (−½ · ½)² where ‖∇‖ = ε
    [[[[0.0625, 0.0625, 0.0]]]]
    """
    dims = expect_images(fused, sources, dims=dims)
    n_fused = normalized_gradient(fused, epsilon, dims)
    n_sources = normalized_gradient(sources, epsilon, dims)
    return (n_fused * n_sources).sum(dim=-dims - 1).square()


def pixelwise_gradient_loss(
    fused: Float[Tensor, "b 1 *space"],
    source: Float[Tensor, "b 1 *space"],
    epsilon: float,
    reduction: str = "mean",
    dims: int | None = None,
) -> Float[Tensor, ""]:
    """Pixelwise gradient loss (Eq. 2): −Σ (n_source · n_fused)² over the pixels. Lower is better.

    Of one source; PGMIF trains on `weighted_gradient_loss`, and both take `gradient_alignment`. The
    paper sums (`reduction="sum"`); the default takes the mean, in [−1, 0], so that the weight against
    the adversarial term does not depend on image size. Raises ValueError on an unknown
    reduction or ε ≤ 0.

    >>> steps = torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]])
    >>> round(pixelwise_gradient_loss(steps, steps, 1e-6, "sum").item(), 3)  # a copy aligns perfectly
    -3.0
    """
    expect_images(fused, source, 1, dims)
    alignment = gradient_alignment(fused, source, epsilon, dims)
    if reduction == "mean":
        return -alignment.mean()
    if reduction == "sum":
        return -(alignment.float() if alignment.dtype == torch.float16 else alignment).sum()
    raise ValueError(f"reduction must be 'mean' or 'sum': expected one of them, found {reduction!r}")


def weighted_gradient_loss(
    fused: Float[Tensor, "b 1 *space"],
    sources: Float[Tensor, "b m *space"],
    weights: Sequence[float | int] | Float[Tensor, " m"],
    epsilon: float,
    dims: int | None = None,
) -> Float[Tensor, ""]:
    """Σ_m w_m · Eq. 2(fused, source m), the content term of PGMIF (paper: T1w : T2w = 1 : 8).

    One gradient of `fused` serves all sources. A tensor of weights may be learned itself. Raises
    TypeError or ValueError unless there is one finite weight per source.

    >>> slope = torch.arange(5.0).expand(1, 1, 5, 5)  # rises in 20 of its 25 pixels
    >>> sources = torch.cat((slope, slope.mT), dim=1)
    >>> [round(weighted_gradient_loss(x, sources, (1, 8), 1e-6).item(), 2) for x in (slope, slope.mT)]
    [-0.8, -6.4]
    """
    dims = expect_images(fused, sources, dims=dims)
    factors = _weights(weights, sources)
    every = gradient_alignment(fused, sources, epsilon, dims)
    alignment = every.mean(dim=(0, *range(2, every.ndim)))
    return -(alignment * factors).sum()


def _weights(weights: Sequence[float | int] | Tensor, sources: Tensor) -> Tensor:
    """One weight per source as a tensor; a tensor keeps its place in the graph."""
    count = sources.shape[1]
    if isinstance(weights, Tensor):
        if weights.shape != (count,) or not weights.is_floating_point():
            raise ValueError(f"weights: expected one gradient weight per source, ({count},) of floating "
                             f"numbers, found shape {tuple(weights.shape)} of {weights.dtype}")
        return weights.to(sources)
    numbers = all(isinstance(w, Real) for w in weights) and not isinstance(weights, str | bytes)
    if not numbers or len(weights) != count or not all(map(math.isfinite, weights)):
        raise ValueError(f"weights: expected one gradient weight per source, {count} finite numbers, "
                         f"found {list(weights)!r}")
    return sources.new_tensor([float(w) for w in weights])


def maximum_gradient_loss(
    fused: Float[Tensor, "b 1 *space"], sources: Float[Tensor, "b m *space"], epsilon: float,
    dims: int | None = None,
) -> Float[Tensor, ""]:
    """Content term of GMMCI (Eq. 4): −mean ‖∇x_max‖ (n_max · n_fused). Lower is better.

    x_max is, per pixel, the source with the largest gradient norm (the first of equals). Unlike
    Eq. 2 the product is signed: an inverted edge costs.

    >>> steps = torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]])
    >>> [round(maximum_gradient_loss(x, steps, 1e-6).item(), 2) for x in (steps, -steps)]
    [-0.75, 0.75]
    """
    dims = expect_images(fused, sources, dims=dims)
    gradients = image_gradient(sources, dims)
    norms = gradient_norm(gradients, dims)
    norm, gradient, axis = norms[:, 0], gradients[:, 0], -dims - 1
    for m in range(1, sources.shape[1]):  # an argmax over so few is ten times slower
        stronger = norms[:, m] > norm
        norm = torch.where(stronger, norms[:, m], norm)
        gradient = torch.where(stronger.unsqueeze(axis), gradients[:, m], gradient)
    n_max = gradient / (norm + epsilon).unsqueeze(axis)
    product = (n_max * normalized_gradient(fused, epsilon, dims)[:, 0]).sum(dim=axis)
    return -(norm * product).mean()


def intensity_weighted_mse(
    fused: Float[Tensor, "b 1 *space"], sources: Float[Tensor, "b m *space"],
    dims: int | None = None,
) -> Float[Tensor, ""]:
    """Content term of DLMWL (Eq. 5): mean over pixels of Σ_m x_m · (fused − x_m)².

    In [0, m] for images in [0, 1]; lower is better. Bright sources pull harder than dark ones. `dims`
    says, as for the other losses, that volumes are meant; there is no gradient.

    >>> sources = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)  # the black one does not pull at all
    >>> [intensity_weighted_mse(sources[:, :1] + x, sources).item() for x in (0, 0.5, 1)]
    [1.0, 0.25, 0.0]
    """
    expect_images(fused, sources, dims=dims)
    return (sources * (fused - sources).square()).sum(dim=1).mean()


def generator_adversarial_loss(logits_fused: Tensor) -> Float[Tensor, ""]:
    """Non-saturating generator loss −mean log D(fused) (Goodfellow et al. 2014), on logits.

    >>> round(generator_adversarial_loss(torch.zeros(1)).item(), 4)  # D(fused) = ½: log 2
    0.6931
    """
    expect_logits(logits_fused)
    return functional.softplus(-logits_fused).mean()


def discriminator_loss(logits_real: Tensor, logits_fused: Tensor) -> Float[Tensor, ""]:
    """Discriminator loss −mean log D(real) − mean log(1 − D(fused)) (Goodfellow et al. 2014).

    >>> undecided, certain = torch.zeros(1), torch.full((1,), 99.0)
    >>> round(discriminator_loss(undecided, undecided).item(), 4)  # 2 log 2
    1.3863
    >>> round(discriminator_loss(certain, -certain).item(), 4)
    0.0
    """
    expect_logits(logits_real, logits_fused)
    return functional.softplus(-logits_real).mean() + functional.softplus(logits_fused).mean()


def gradient_penalty(logits: Tensor, images: Float[Tensor, "b 1 *space"]) -> Float[Tensor, ""]:
    """Zero-centred gradient penalty: mean over images of ‖∇_x Σ D(x)‖² ÷ the number of patches.

    `logits` (b, 1, …), one per patch, are a discriminator's of `images`, which must require gradients;
    can be differentiated itself. On real images R1, on fused ones R2 of Mescheder et al. 2018: a
    discriminator that is flat where it judges cannot drive the generator in circles. Raises TypeError or
    ValueError where they are no images, or logits that do not depend on them.

    >>> x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    >>> gradient_penalty(3 * x, x).item()  # each of four patches sees one pixel, with slope 3
    9.0
    """
    expect_image("images", images, "(b, 1, h, w)", 4)
    expect_logits(logits)
    known = images.requires_grad and logits.requires_grad
    (slopes,) = torch.autograd.grad(logits.sum(), images, create_graph=True, allow_unused=True) \
        if known else (None,)
    if slopes is None:
        raise ValueError("logits: expected a discriminator's of images that require gradients, found "
                         "logits that do not depend on them")
    return slopes.square().sum() / logits.numel()


def relative_alignment(
    fused: Float[Tensor, "b 1 *space"], source: Float[Tensor, "b 1 *space"], epsilon: float,
    dims: int | None = None,
) -> float:
    """Eq. 2(fused, source) ÷ Eq. 2(source, source): 1 for a copy, 0 for no shared edge.

    The self-alignment depends strongly on ε, so only this ratio can be compared between images.
    Raises ValueError where the source is constant.

    >>> steps = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    >>> [relative_alignment(x, steps, 0.03) for x in (steps, -steps, 0 * steps)]
    [1.0, 1.0, 0.0]
    """
    with torch.no_grad():
        itself = pixelwise_gradient_loss(source, source, epsilon, dims=dims)
        if itself == 0:
            raise ValueError("the source is constant: its gradient aligns with nothing")
        return float(pixelwise_gradient_loss(fused, source, epsilon, dims=dims) / itself)
