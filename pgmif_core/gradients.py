"""Every spatial derivative of the package: Eq. 1, normalized gradients, the Sobel pair of Eq. 10."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor


def image_gradient(image: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch 2 h w"]:
    """Forward differences of an image (Eq. 1 of the paper).

    ∇x(i, j) = (x(i+1, j) − x(i, j), x(i, j+1) − x(i, j)), i the row, j the column; 0 in the last
    row (first component) and the last column (second component). Unit: intensity per pixel.

    >>> image_gradient(torch.arange(3.0).expand(2, 3))[1].tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    """
    down = functional.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    right = functional.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1))
    return torch.stack((down, right), dim=-3)


def gradient_norm(gradient: Float[Tensor, "*batch 2 h w"]) -> Float[Tensor, "*batch h w"]:
    """Euclidean norm ‖∇x‖ of a gradient field, with zero (not NaN) derivative where ∇x = 0."""
    squared = gradient.square().sum(dim=-3)
    flat = squared == 0
    # sqrt has an infinite derivative at 0, and 0 · ∞ = NaN: it must never see a zero
    return torch.where(flat, 0.0, torch.where(flat, 1.0, squared).sqrt())


def normalized_gradient(
    image: Float[Tensor, "*batch h w"], epsilon: float
) -> Float[Tensor, "*batch 2 h w"]:
    """Normalized gradient n = ∇x / (‖∇x‖ + ε) (Methods, below Eq. 1 of the paper).

    `epsilon` is in intensity units per pixel and is the edge strength at which ‖n‖ = ½: below it
    an edge counts as noise. Haber & Modersitzki 2006 take ε = η·mean‖∇x‖; the paper gives none.
    Raises ValueError if ε is not positive. ‖n‖ is in [0, 1).
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, found {epsilon}")
    gradient = image_gradient(image)
    return gradient / (gradient_norm(gradient) + epsilon).unsqueeze(-3)


def sobel_magnitude(image: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w"]:
    """Sobel edge strength g = √(S_x² + S_y²) (Eq. 10 of the paper), kernel weights as printed.

    Edge pixels are replicated, so a constant image gives 0 everywhere; a unit ramp gives 8 inside.
    The kernels are separable: [1 2 1] smoothing across a central difference.
    """
    flat = image.reshape(-1, 1, *image.shape[-2:])
    padded = functional.pad(flat, (1, 1, 1, 1), mode="replicate")
    smoothed_rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    smoothed_columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    along_columns = smoothed_rows[..., 2:] - smoothed_rows[..., :-2]
    along_rows = smoothed_columns[..., :-2, :] - smoothed_columns[..., 2:, :]
    return torch.hypot(along_columns, along_rows).reshape(image.shape)
