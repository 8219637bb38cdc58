"""The losses of PGMIF, GMMCI and DLMWL, and their adversarial terms: pure functions on tensors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from pgmif_core.gradients import gradient_norm, image_gradient, normalized_gradient


def gradient_alignment(
    fused: Float[Tensor, "b 1 h w"], sources: Float[Tensor, "b m h w"], epsilon: float
) -> Float[Tensor, "b m h w"]:
    """Squared cosine (n_source · n_fused)² per pixel and source, in [0, 1): the summand of Eq. 2.

    Blind to the sign of the gradient: an inverted image aligns as well as the image itself.
    """
    n_fused = normalized_gradient(fused, epsilon)
    n_sources = normalized_gradient(sources, epsilon)
    return (n_fused * n_sources).sum(dim=-3).square()


def pixelwise_gradient_loss(
    fused: Float[Tensor, "b 1 h w"],
    source: Float[Tensor, "b 1 h w"],
    epsilon: float,
    reduction: str = "mean",
) -> Float[Tensor, ""]:
    """Pixelwise gradient loss (Eq. 2): −Σ (n_source · n_fused)² over the pixels. Lower is better.

    The paper sums (`reduction="sum"`); the default takes the mean, in [−1, 0], so that the weight
    against the adversarial term does not depend on image size. Raises ValueError on an unknown
    reduction or ε ≤ 0.
    """
    alignment = gradient_alignment(fused, source, epsilon)
    if reduction == "mean":
        return -alignment.mean()
    if reduction == "sum":
        return -alignment.sum()
    raise ValueError(f"reduction must be 'mean' or 'sum', found {reduction!r}")


def weighted_gradient_loss(
    fused: Float[Tensor, "b 1 h w"],
    sources: Float[Tensor, "b m h w"],
    weights: Sequence[float | int],
    epsilon: float,
) -> Float[Tensor, ""]:
    """Σ_m w_m · Eq. 2(fused, source m), the content term of PGMIF (paper: T1w : T2w = 1 : 8).

    One gradient of `fused` serves all sources. Raises ValueError unless there is one weight per
    source.
    """
    if len(weights) != sources.shape[1]:
        raise ValueError(
            f"expected one gradient weight per source: {sources.shape[1]} sources, "
            f"{len(weights)} weights"
        )
    alignment = gradient_alignment(fused, sources, epsilon).mean(dim=(0, 2, 3))
    return -(alignment * alignment.new_tensor(weights)).sum()


def maximum_gradient_loss(
    fused: Float[Tensor, "b 1 h w"], sources: Float[Tensor, "b m h w"], epsilon: float
) -> Float[Tensor, ""]:
    """Content term of GMMCI (Eq. 4): −mean ‖∇x_max‖ (n_max · n_fused). Lower is better.

    x_max is, per pixel, the source with the largest gradient norm (the first of equals). Unlike
    Eq. 2 the product is signed: an inverted edge costs.
    """
    gradients = image_gradient(sources)
    norms = gradient_norm(gradients)
    norm, gradient = norms[:, 0], gradients[:, 0]
    for m in range(1, sources.shape[1]):  # an argmax over so few is ten times slower
        stronger = norms[:, m] > norm
        norm = torch.where(stronger, norms[:, m], norm)
        gradient = torch.where(stronger.unsqueeze(1), gradients[:, m], gradient)
    n_max = gradient / (norm + epsilon).unsqueeze(1)
    product = (n_max * normalized_gradient(fused, epsilon)[:, 0]).sum(dim=1)
    return -(norm * product).mean()


def intensity_weighted_mse(
    fused: Float[Tensor, "b 1 h w"], sources: Float[Tensor, "b m h w"]
) -> Float[Tensor, ""]:
    """Content term of DLMWL (Eq. 5): mean over pixels of Σ_m x_m · (fused − x_m)².

    In [0, m] for images in [0, 1]; lower is better. Bright sources pull harder than dark ones.
    """
    return (sources * (fused - sources).square()).sum(dim=1).mean()


def generator_adversarial_loss(logits_fused: Tensor) -> Float[Tensor, ""]:
    """Non-saturating generator loss −mean log D(fused) (Goodfellow et al. 2014), on logits."""
    return functional.softplus(-logits_fused).mean()


def discriminator_loss(logits_real: Tensor, logits_fused: Tensor) -> Float[Tensor, ""]:
    """Discriminator loss −mean log D(real) − mean log(1 − D(fused)) (Goodfellow et al. 2014)."""
    return functional.softplus(-logits_real).mean() + functional.softplus(logits_fused).mean()


def relative_alignment(
    fused: Float[Tensor, "b 1 h w"], source: Float[Tensor, "b 1 h w"], epsilon: float
) -> float:
    """Eq. 2(fused, source) ÷ Eq. 2(source, source): 1 for a copy, 0 for no shared edge.

    The self-alignment depends strongly on ε, so only this ratio can be compared between images.
    Raises ValueError where the source is constant.
    """
    with torch.no_grad():
        itself = pixelwise_gradient_loss(source, source, epsilon)
        if itself == 0:
            raise ValueError("the source is constant: its gradient aligns with nothing")
        return float(pixelwise_gradient_loss(fused, source, epsilon) / itself)
