"""Lesson 2, gradients: exercises on Eq. 1, normalized gradients and what Eq. 2 can and cannot see."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgmif.figures.colours import BLUE, GREY
from pgmif.figures.style import PAGE_INCHES, in_style, new_figure
from pgmif.lessons import Exercise, NotYet, as_array, as_function, as_number, same
from pgmif_core.gradients import gradient_norm, image_gradient, normalized_gradient
from pgmif_core.losses import pixelwise_gradient_loss

EPSILON = 0.1
NOISE = 0.02  # of exercise 2.5
NOISE_SEEN = (0.20, 0.25)  # mean ‖n‖ of noise that is wanted there


def eq2(fused: NDArray, source: NDArray, epsilon: float = EPSILON) -> float:
    """Eq. 2 of two images (h, w): −mean (n_source · n_fused)², from −1 (same edges) to 0."""
    images = [torch.from_numpy(np.asarray(x, np.float64))[None, None] for x in (fused, source)]
    return float(pixelwise_gradient_loss(*images, epsilon))


def noise_image() -> NDArray:
    """Pure noise, standard deviation 0.02 around grey 0.5."""
    return np.random.default_rng(2).normal(0.5, NOISE, (128, 128))


@in_style
def normalized_panels(image: NDArray, epsilons: Sequence[float]) -> Figure:
    """‖∇x‖ of an image (h, w), and ‖n‖ for several ε in one grey scale from 0 to 1."""
    tensor = torch.from_numpy(np.array(image, np.float64))
    figure, axes = new_figure(PAGE_INCHES, 2.0, 1, 1 + len(epsilons))
    norm = gradient_norm(image_gradient(tensor)).numpy()
    axes[0, 0].imshow(norm, vmin=0, vmax=np.percentile(norm, 99))
    axes[0, 0].set_title("‖∇x‖")
    for ax, epsilon in zip(axes[0, 1:], epsilons, strict=True):
        ax.imshow(gradient_norm(normalized_gradient(tensor, epsilon)), vmin=0, vmax=1)
        ax.set_title(f"‖n‖, ε = {epsilon:g}")
    for ax in axes.flat:
        ax.set_axis_off()
    return figure


@in_style
def alignment_curve(image: NDArray) -> Figure:
    """−Eq. 2 of an image with itself, and of noise with itself, against ε."""
    epsilons = np.logspace(-5, 0, 40)
    figure, axes = new_figure(PAGE_INCHES / 2, 2.4)
    ax = axes[0, 0]
    for name, x, colour in (("head", image, BLUE), ("pure noise", noise_image(), GREY)):
        ax.semilogx(epsilons, [-eq2(x, x, e) for e in epsilons], color=colour, label=name)
    ax.set_xlabel("ε")
    ax.set_ylabel("alignment with itself")
    ax.legend(frameon=False)
    return figure


def _odd_images() -> list[NDArray]:
    rng = np.random.default_rng(5)
    flat = np.full((4, 6), 0.3)
    return [rng.random((5, 7)), rng.random((8, 3)), flat]


def _gradient(answer: Any) -> None:
    for image in _odd_images():
        found = as_array(as_function(answer)(image.copy()), "the result of gradient(image)")
        expected = image_gradient(torch.from_numpy(image)).numpy()
        same(found, expected, f" for an image of {image.shape}")


def _normalized(answer: Any) -> None:
    for image in _odd_images():
        gradient = image_gradient(torch.from_numpy(image)).numpy()
        for epsilon in (1e-3, 0.1):
            found = as_array(as_function(answer)(gradient.copy(), epsilon))
            expected = normalized_gradient(torch.from_numpy(image), epsilon).numpy()
            same(found, expected, f" for ε = {epsilon:g}")


def _loss(answer: Any) -> None:
    fused, source, _ = (np.random.default_rng(k).random((6, 9)) for k in range(3))
    for epsilon in (1e-2, 0.3):
        n = [normalized_gradient(torch.from_numpy(x), epsilon).numpy() for x in (fused, source)]
        same(as_function(answer)(*n), eq2(fused, source, epsilon), f" for ε = {epsilon:g}", 1e-6)


def _look_alike(answer: Any) -> None:
    make = as_function(answer)
    source = np.random.default_rng(8).random((12, 15))
    found = as_array(make(source.copy()))
    if found.size and (found.min() < 0 or found.max() > 1):
        raise NotYet("Values must lie in [0, 1].")
    if found.shape != source.shape:
        raise NotYet(f"Expected shape {source.shape}, found {found.shape}.")
    if np.allclose(found - found.mean(), source - source.mean(), atol=1e-3):
        raise NotYet("That is the source, at most shifted: every edge still points its own way.")
    if abs(eq2(found, source) - eq2(source, source)) > 1e-6:
        raise NotYet(f"Eq. 2 gives {eq2(found, source):.4f}, the source {eq2(source, source):.4f}.")


def _epsilon(answer: Any) -> None:
    epsilon = as_number(answer, 1e-9)
    length = gradient_norm(normalized_gradient(torch.from_numpy(noise_image()), epsilon)).mean()
    if not NOISE_SEEN[0] <= length <= NOISE_SEEN[1]:
        raise NotYet(f"With ε = {epsilon:.4g} noise has a mean ‖n‖ of {length:.2f}; a "
                     f"{'larger' if length > NOISE_SEEN[1] else 'smaller'} ε is needed.")


EXERCISES = {
    "2.1": Exercise(
        "a function gradient(image) that returns Eq. 1 as an array (2, height, width)",
        "start from np.zeros((2, *image.shape)); fill [0, :-1, :] and [1, :, :-1] with differences",
        "The last row and the last column have no neighbour: there the difference is 0.", _gradient,
    ),
    "2.2": Exercise(
        "a function normalize(gradient, epsilon) that returns ∇x / (‖∇x‖ + ε), shape (2, height, width)",
        "‖∇x‖ is the root of the sum of squares along axis 0; it broadcasts over both components",
        "Length ½ where the edge is as steep as ε, almost 1 far above, almost 0 far below.", _normalized,
    ),
    "2.3": Exercise(
        "a function loss(n_fused, n_source) that returns Eq. 2 as a mean: −mean (n_fused · n_source)²",
        "the scalar product is a sum along axis 0; square it, then take the mean over pixels",
        "Between −1 and 0. The square is the whole secret of what comes next.", _loss,
    ),
    "2.4": Exercise(
        "a function look_alike(image) to one of other contrast, in [0, 1], with the same score in Eq. 2",
        "the square forgets a sign; which image has every gradient of x, but pointing the other way?",
        "A negative is as good as the original for Eq. 2. Something else must hold the contrast: the "
        "starting point, or the adversarial terms of lesson 4.", _look_alike,
    ),
    "2.5": Exercise(
        f"an ε for which noise of σ = {NOISE} has a mean ‖n‖ of {NOISE_SEEN[0]} to {NOISE_SEEN[1]}",
        "a difference of two noisy pixels has σ·√2; ‖n‖ is ¼ where the edge is a third of ε",
        "ε is the size of edge that you are willing to call noise. Here it is 0.1, too; at 0.03 this "
        "noise would have a mean ‖n‖ of ½, at 0.3 the finer borders would count for little.", _epsilon,
    ),
}
