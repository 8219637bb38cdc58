"""Public functions of the core × wrong arguments: what each ends with, printed as JSON.

A process of its own: in the tests jaxtyping and beartype refuse wrong shapes before the functions can.
"""

import json
from collections.abc import Callable

import numpy as np
import torch

from pgmif_core import gradients, losses, metrics, networks
from pgmif_core.methods.registry import METHODS

r, z = torch.rand, torch.zeros
IMAGE, PAIR = r(2, 1, 16, 17), r(2, 2, 16, 17)
VOLUME, VOLUMES = r(1, 1, 4, 9, 8), r(1, 2, 4, 9, 8)
A, B = np.zeros((2, 9, 8), bool), np.zeros((2, 9, 8), bool)
A[:, 2:5, 2:5], B[:, 6:8, 5:8] = True, True
X = np.random.default_rng(0).random((2, 9, 8))
FOLLOWED, JUDGE = r(2, 1, 16, 17, requires_grad=True), networks.PatchDiscriminator(4)
BYTES = torch.randint(0, 255, (2, 1, 16, 17), dtype=torch.uint8)
TWO_LOSSES: dict[str, Callable] = {
    "pixelwise_gradient_loss": lambda f, s: losses.pixelwise_gradient_loss(f, s, 0.03),
    "relative_alignment": lambda f, s: losses.relative_alignment(f, s, 0.03),
}
MANY_LOSSES: dict[str, Callable] = {
    "gradient_alignment": lambda f, s: losses.gradient_alignment(f, s, 0.03),
    "weighted_gradient_loss": lambda f, s: losses.weighted_gradient_loss(f, s, [1.0] * s.shape[1], 0.03),
    "maximum_gradient_loss": lambda f, s: losses.maximum_gradient_loss(f, s, 0.03),
    "intensity_weighted_mse": losses.intensity_weighted_mse,
}
WRONG_PAIRS = {
    "whole numbers": (BYTES, BYTES), "one of whole numbers": (IMAGE, BYTES),
    "two fused channels": (PAIR, IMAGE), "an empty batch": (IMAGE[:0], IMAGE[:0]),
    "unequal sizes": (IMAGE, IMAGE[..., :-1]), "unequal batches": (IMAGE, r(3, 1, 16, 17)),
    "arrays": (IMAGE.numpy(), IMAGE.numpy()), "a list": ([[1.0]], IMAGE), "images without a batch": (
        IMAGE[0], IMAGE[0]), "volumes unasked": (VOLUME, VOLUME), "complex": (IMAGE + 0j, IMAGE + 0j),
    "no image": (r(2, 1, 0, 17), r(2, 1, 0, 17)),
}
ONE_IMAGE = {
    "whole numbers": BYTES, "an array": IMAGE.numpy(), "one axis": r(5), "nothing": r(0, 4, 4),
    "None": None,
}
ONE_FUNCTION: dict[str, Callable] = {
    "image_gradient": gradients.image_gradient, "sobel_magnitude": gradients.sobel_magnitude,
    "normalized_gradient": lambda x: gradients.normalized_gradient(x, 0.03),
    "gradient_norm": gradients.gradient_norm,
    "generator": networks.Generator(2, 4), "discriminator": networks.PatchDiscriminator(4),
    "average": METHODS["average"],
    "generator_adversarial_loss": losses.generator_adversarial_loss,
    "gradient_penalty": lambda x: losses.gradient_penalty(JUDGE(FOLLOWED), x),
}
SINGLE: dict[str, Callable] = {
    "dims=4": lambda: gradients.image_gradient(VOLUME, 4),
    "dims=3 of an image": lambda: losses.pixelwise_gradient_loss(IMAGE, IMAGE, 0.03, dims=3),
    "dims=1 of a loss": lambda: losses.pixelwise_gradient_loss(IMAGE, IMAGE, 0.03, dims=1),
    "a field of three": lambda: gradients.gradient_norm(r(1, 3, 4, 4)),
    "ε NaN": lambda: gradients.normalized_gradient(IMAGE, float("nan")),
    "ε infinite": lambda: gradients.normalized_gradient(IMAGE, float("inf")),
    "ε negative": lambda: losses.pixelwise_gradient_loss(IMAGE, IMAGE, -1.0),
    "words for weights": lambda: losses.weighted_gradient_loss(IMAGE, PAIR, ("1", "8"), 0.03),
    "a table of weights": lambda: losses.weighted_gradient_loss(IMAGE, PAIR, r(2, 2), 0.03),
    "three weights": lambda: losses.weighted_gradient_loss(IMAGE, PAIR, (1, 2, 3), 0.03),
    "bytes for weights": lambda: losses.weighted_gradient_loss(IMAGE, PAIR, b"18", 0.03),
    "a word among weights": lambda: losses.weighted_gradient_loss(IMAGE, PAIR, (1, "8"), 0.03),
    "one weight in a tensor": lambda: losses.weighted_gradient_loss(IMAGE, PAIR, r(1), 0.03),
    "whole weights in a tensor": lambda: losses.weighted_gradient_loss(
        IMAGE, PAIR, torch.tensor([1, 8]), 0.03),
    "another reduction": lambda: losses.pixelwise_gradient_loss(IMAGE, IMAGE, 0.03, "max"),
    "two volumes unasked": lambda: losses.weighted_gradient_loss(VOLUME, VOLUMES, (1, 8), 0.03),
    "a generator fed 0 to 255": lambda: networks.Generator(2, 4).eval()(255 * PAIR),
    "a generator fed negative": lambda: networks.Generator(2, 4).eval()(PAIR - 0.5),
    "a generator fed NaN": lambda: networks.Generator(2, 4).eval()(PAIR * float("nan")),
    "a generator fed three": lambda: networks.Generator(2, 4)(r(2, 3, 16, 16)),
    "a generator of one": lambda: networks.Generator(1), "of none": lambda: networks.Generator(2, 0),
    "of a giant": lambda: networks.Generator(2, 10**6), "of a half": lambda: networks.Generator(2.5),
    "a rule fed 0 to 255": lambda: METHODS["pwa"](255 * PAIR),
    "one source": lambda: METHODS["moi"](IMAGE),
    "a penalty of images without gradients": lambda: losses.gradient_penalty(JUDGE(IMAGE), IMAGE),
    "a penalty of fixed logits": lambda: losses.gradient_penalty(z(2, 1, 2, 2), FOLLOWED),
    "a penalty of other logits": lambda: losses.gradient_penalty(JUDGE(IMAGE), FOLLOWED),
    "a discriminator fed two": lambda: networks.PatchDiscriminator(4)(PAIR),
    "a discriminator fed little": lambda: networks.PatchDiscriminator(4)(r(1, 1, 4, 4)),
    "Q of NaN": lambda: metrics.generalized_sobel(X * np.nan, X, A),
    "Q against NaN": lambda: metrics.generalized_sobel(X, X * np.nan, A),
    "Q of one NaN": lambda: metrics.generalized_sobel(np.where(A, X, np.nan), X, A),
    "Q of unequal": lambda: metrics.generalized_sobel(X, X[:, :-1], A),
    "Q of no mask": lambda: metrics.generalized_sobel(X, X, A * 1.0),
    "preservation of NaN": lambda: metrics.petrovic_xydeas(X * np.nan, X, A),
    "CNR overlapping": lambda: metrics.contrast_to_noise_ratio(X, A, A),
    "CNR sharing a pixel": lambda: metrics.contrast_to_noise_ratio(X, A,
    B | (np.cumsum(A).reshape(A.shape) == 1) & A),
    "CNR of NaN": lambda: metrics.contrast_to_noise_ratio(X * np.nan, A, B),
    "CNR of words": lambda: metrics.contrast_to_noise_ratio(np.full(X.shape, "x"), A, B),
    "CNR of a constant": lambda: metrics.contrast_to_noise_ratio(X * 0, A, B),
    "CNR of an empty mask": lambda: metrics.contrast_to_noise_ratio(X, A & False, B),
    "CV of one": lambda: metrics.inter_patient_cv([1.0]),
    "CV of NaN": lambda: metrics.inter_patient_cv([1, np.nan]),
    "CV of mean 0": lambda: metrics.inter_patient_cv([1.0, -1.0]),
    "correlation of NaN": lambda: metrics.contrast_correlation(X * np.nan, np.stack([X, X]), A),
    "correlation of unequal": lambda: metrics.contrast_correlation(X, X, A),
}
# what an error has to name
TOLD: dict[str, tuple[Callable, str]] = {
    "a row for an image": (lambda: gradients.image_gradient(r(4)), "tensor (…, h, w)"),
    "an image for a volume": (lambda: gradients.image_gradient(r(4, 4), 3), "tensor (…, d, h, w)"),
    "an image for its gradient": (lambda: gradients.gradient_norm(r(2, 4)), "tensor (…, 2, h, w)"),
    "an image for a volume's": (lambda: gradients.gradient_norm(r(3, 4, 4), 3), "(…, 3, d, h, w)"),
    "too few axes of a volume": (lambda: gradients.gradient_norm(r(3, 4, 4), 3), "expected a tensor"),
}


def told(call: Callable, word: str) -> None:
    """Call what must be refused with `word`."""
    try:
        call()
    except ValueError as error:
        if word not in str(error):
            raise RuntimeError(f"not told {word!r}: {error}") from error
        raise


def tries() -> dict[str, Callable]:
    """Every call by its name."""
    found = SINGLE | {name: lambda c=call, w=word: told(c, w) for name, (call, word) in TOLD.items()}
    for name, function in {**TWO_LOSSES, **MANY_LOSSES}.items():
        for what, (fused, sources) in WRONG_PAIRS.items():
            found[f"{name}: {what}"] = lambda f=function, a=fused, b=sources: f(a, b)
    for name, function in TWO_LOSSES.items():
        found[f"{name}: two sources"] = lambda f=function: f(IMAGE, PAIR)
    for name, function in ONE_FUNCTION.items():
        for what, image in ONE_IMAGE.items():
            if (name, what) != ("generator_adversarial_loss", "one axis"):  # logits of any shape
                found[f"{name}: {what}"] = lambda f=function, x=image: f(x)
    return found


def outcome(call: Callable) -> str:
    """'' where a call was refused in words; else what it did."""
    try:
        return f"returned {str(call())[:60]}"
    except (ValueError, TypeError) as error:
        said = str(error).lower()
        return "" if "expected" in said and "found" in said else f"{type(error).__name__}: {error}"[:150]
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:150]


if __name__ == "__main__":
    print(json.dumps({name: outcome(call) for name, call in tries().items()}))
