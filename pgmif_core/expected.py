"""What public functions on tensors ask of their arguments: kinds, shapes and dtypes, never values.

Nothing here looks at an element, so training pays nothing and compiled graphs do not break.
"""

import torch
from torch import Tensor


def expect_image(name: str, image: Tensor, axes: str = "(…, h, w)", least: int = 2) -> None:
    """Raise TypeError or ValueError unless `image` is a floating tensor of at least `least` axes."""
    if not isinstance(image, Tensor):
        raise TypeError(
            f"{name}: expected a torch.Tensor {axes}, found {type(image).__name__}; convert it with "
            "torch.as_tensor"
        )
    if not image.is_floating_point():
        raise TypeError(
            f"{name}: expected floating intensities in [0, 1], found {image.dtype}; differences of "
            "whole numbers would wrap. Convert and scale it: image.float() / 255"
        )
    if image.ndim < least or 0 in image.shape:
        raise ValueError(f"{name}: expected a tensor {axes} with no empty axis, found shape "
                         f"{tuple(image.shape)}")


def expect_images(
    fused: Tensor, sources: Tensor, channels: int | None = None, dims: int | None = None
) -> int:
    """Raise unless `fused` (b, 1, …space) and `sources` (b, m, …space) belong together.

    `channels`: how many sources there must be, any number if None. `dims`: the axes that gradients run
    over, 2 or 3, which is returned; None stands for 2 and takes images (b, m, h, w) alone, so that a
    volume is not taken for a stack of slices unasked.
    """
    if dims not in (None, 2, 3):
        raise ValueError(f"dims: expected 2 (slices) or 3 (volumes), found {dims!r}")
    space = "d, h, w" if dims == 3 else "h, w"
    for name, image, count in (("fused", fused, 1), ("sources", sources, channels or "m")):
        expect_image(name, image, f"(b, {count}, {space})", 2 + (dims or 2))
    if dims is None and max(fused.ndim, sources.ndim) > 4:
        raise ValueError(f"expected images (b, m, h, w), found shapes {tuple(fused.shape)} and "
                         f"{tuple(sources.shape)}; pass dims=3 for gradients of volumes, dims=2 of "
                         "slices")
    for name, image, count in (("fused", fused, 1), ("source", sources, channels)):
        if count is not None and image.shape[1] != count:
            raise ValueError(f"{name}: expected {count} channel, (b, {count}, {space}), found shape "
                             f"{tuple(image.shape)}")
    if fused.shape[:1] + fused.shape[2:] != sources.shape[:1] + sources.shape[2:]:
        raise ValueError(
            f"expected fused and sources of one batch and size, found {tuple(fused.shape)} and "
            f"{tuple(sources.shape)}"
        )
    return dims or 2


def expect_logits(*logits: Tensor) -> None:
    """Raise unless every argument is a floating tensor that holds something."""
    for tensor in logits:
        expect_image("logits", tensor, "of logits", 0)


def expect_unit_range(name: str, image: Tensor) -> None:
    """Raise ValueError where intensities leave [0, 1]. It looks at values: not for training."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return
    try:
        low, high = (float(x) for x in torch.aminmax(image.detach()))
    except RuntimeError:  # inside vmap there is no value to look at
        return
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(
            f"{name}: expected intensities in [0, 1], found {low:g} to {high:g}; min-max normalise "
            "every slice first"
        )
