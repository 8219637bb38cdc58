"""Every spatial derivative of the package: Eq. 1, normalized gradients, the Sobel pair of Eq. 10."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from pgmif_core.expected import expect_image


def image_gradient(
    image: Float[Tensor, "*batch h w"], dims: int = 2
) -> Float[Tensor, "*field"]:
    """Forward differences of an image (Eq. 1 of the paper) over its last two axes, or three of a volume.

    ∇x(i, j) = (x(i+1, j) − x(i, j), x(i, j+1) − x(i, j)), i the row, j the column; 0 in the last
    row (first component) and the last column (second component). Unit: intensity per pixel. `dims=3`
    takes differences over the last three axes, (…, d, h, w) → (…, 3, d, h, w), the slice first. Raises
    TypeError on anything but a floating tensor, ValueError on too few axes or other `dims`.

    >>> image_gradient(torch.arange(3.0).expand(2, 3))[1].tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    """
    if dims not in (2, 3):
        raise ValueError(f"dims: expected 2 (slices) or 3 (volumes), found {dims!r}")
    expect_image("image", image, "(…, d, h, w)" if dims == 3 else "(…, h, w)", dims)
    down = functional.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    right = functional.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1))
    if dims == 2:
        return torch.stack((down, right), dim=-3)
    through = functional.pad(image[..., 1:, :, :] - image[..., :-1, :, :], (0, 0, 0, 0, 0, 1))
    return torch.stack((through, down, right), dim=-4)


def gradient_norm(gradient: Float[Tensor, "*field"], dims: int = 2) -> Float[Tensor, "*norm"]:
    """Euclidean norm ‖∇x‖ of a gradient field (…, 2, h, w), with zero (not NaN) derivative where ∇x = 0.

    `dims=3`: of a field (…, 3, d, h, w). Raises ValueError where the field has not `dims` components.

    >>> gradient_norm(torch.tensor([3.0, 4.0]).view(2, 1, 1)).tolist()
    [[5.0]]
    """
    expect_image("gradient", gradient, "(…, 3, d, h, w)" if dims == 3 else "(…, 2, h, w)", dims + 1)
    if gradient.shape[-dims - 1] != dims:
        raise ValueError(f"gradient: expected {dims} components before the last {dims} axes, found "
                         f"shape {tuple(gradient.shape)}")
    wide = gradient.float() if gradient.dtype == torch.float16 else gradient  # squares underflow there
    squared = wide.square().sum(dim=-dims - 1)
    flat = squared == 0
    # sqrt has an infinite derivative at 0, and 0 · ∞ = NaN: it must never see a zero
    return torch.where(flat, 0.0, torch.where(flat, 1.0, squared).sqrt()).to(gradient.dtype)


def normalized_gradient(
    image: Float[Tensor, "*batch h w"], epsilon: float, dims: int = 2
) -> Float[Tensor, "*field"]:
    """Normalized gradient n = ∇x / (‖∇x‖ + ε) (Methods, below Eq. 1 of the paper).

    `epsilon` is in intensity units per pixel and is the edge strength at which ‖n‖ = ½: below it
    an edge counts as noise. Haber & Modersitzki 2006 take ε = η·mean‖∇x‖; the paper gives none.
    `dims`: see `image_gradient`. Raises ValueError if ε is not positive and finite. ‖n‖ is in [0, 1).

    >>> normalized_gradient(torch.tensor([[0.0, 1.0]]), epsilon=1.0)[1].tolist()
    [[0.5, 0.0]]
    """
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon must be positive: expected a finite number above 0, found {epsilon}")
    gradient = image_gradient(image, dims)
    least = torch.finfo(image.dtype).smallest_normal
    if epsilon < least:
        raise ValueError(f"epsilon: expected at least {least:.2g}, the least number of {image.dtype}, "
                         f"found {epsilon:g}")
    return gradient / (gradient_norm(gradient, dims) + epsilon).unsqueeze(-dims - 1)


def sobel_magnitude(image: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w"]:
    """Sobel edge strength g = √(S_x² + S_y²) (Eq. 10 of the paper), kernel weights as printed.

    Edge pixels are replicated, so a constant image gives 0 everywhere; a unit ramp gives 8 inside.
    The kernels are separable: [1 2 1] smoothing across a central difference. The derivative is zero
    (not NaN) where g = 0. Raises TypeError on
    anything but a floating tensor, ValueError on fewer than two axes.

    >>> sobel_magnitude(torch.arange(4.0).expand(3, 4))[1].tolist()
    [4.0, 8.0, 8.0, 4.0]
    """
    expect_image("image", image)
    flat = image.reshape(-1, 1, *image.shape[-2:])
    padded = functional.pad(flat, (1, 1, 1, 1), mode="replicate")
    smoothed_rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    smoothed_columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    along_columns = smoothed_rows[..., 2:] - smoothed_rows[..., :-2]
    along_rows = smoothed_columns[..., :-2, :] - smoothed_columns[..., 2:, :]
    flat = (along_columns == 0) & (along_rows == 0)  # there hypot has no derivative
    strength = torch.hypot(torch.where(flat, 1.0, along_columns), along_rows)
    return torch.where(flat, 0.0, strength).reshape(image.shape)
