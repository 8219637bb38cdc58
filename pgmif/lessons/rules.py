"""Lesson 3, fusing by rule: exercises on averages, maxima, pyramids and Poisson's equation."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pgmif.lessons import Exercise, NotYet, as_array, as_function, as_number, same
from pgmif_core.gradients import gradient_norm, image_gradient
from pgmif_core.images.patient import PatientSlices
from pgmif_core.methods.classical import solve_screened_poisson
from pgmif_core.methods.registry import METHODS

NOISE = 0.02  # of exercise 3.3
SCREENING = 0.05


def fused_slice(method: str, patient: PatientSlices, k: int) -> NDArray[np.float32]:
    """Slice k of a patient, fused by a method that needs no training; (h, w) in [0, 1]."""
    sources = torch.from_numpy(np.array(patient.sources[k : k + 1]))
    return METHODS[method](sources)[0, 0].numpy()


def screened_poisson(gradient: NDArray, towards: NDArray, screening: float = SCREENING) -> NDArray:
    """The image whose gradient is nearest to `gradient` (2, h, w), held to `towards` (h, w)."""
    field, image = (torch.from_numpy(np.asarray(x, np.float64)) for x in (gradient, towards))
    return solve_screened_poisson(field[None], image[None, None], screening)[0, 0].numpy()


def _weighted(answer: Any) -> None:
    sources = np.random.default_rng(3).random((2, 5, 7))
    sources[:, 0, 0] = 0
    expected = METHODS["pwa"](torch.from_numpy(sources)[None])[0, 0].numpy()
    found = as_array(as_function(answer)(sources.copy()), finite=False)
    if found.shape == expected.shape and np.isnan(found[0, 0]):
        raise NotYet("Where both sources are 0, 0/0 gives NaN: the fused image should be 0 there.")
    same(found, expected)


def _cancel(answer: Any) -> None:
    if not isinstance(answer, tuple | list | np.ndarray | torch.Tensor) or len(answer) != 2:
        raise NotYet("Expected two arrays, (first, second).")
    first, second = (as_array(x) for x in answer)
    same(second.shape, first.shape, " for the second image")
    if min(first.min(), second.min()) < 0 or max(first.max(), second.max()) > 1:
        raise NotYet("Values must lie in [0, 1].")
    if min(first.std(), second.std()) < 0.1 - 1e-9:
        raise NotYet("Each image must show something: a standard deviation of 0.1 or more.")
    if ((first + second) / 2).std() > 1e-6:
        left = ((first + second) / 2).std()
        raise NotYet(f"Their average still has a standard deviation of {left:.3g}.")


def _bias(answer: Any) -> None:
    expected = NOISE / np.sqrt(np.pi)
    as_number(answer, 0.95 * expected, 1.05 * expected)


def _strongest(answer: Any) -> None:
    details = np.random.default_rng(6).normal(size=(3, 4, 5))
    chosen = np.abs(details).argmax(axis=0)
    expected = np.take_along_axis(details, chosen[None], axis=0)[0]
    found = as_array(as_function(answer)(details.copy()))
    if found.shape == expected.shape and np.allclose(found, np.abs(expected)):
        raise NotYet("That is the largest magnitude; a detail may be negative and must stay so.")
    if found.shape == expected.shape and np.allclose(found, details.max(axis=0)):
        raise NotYet("That is the largest value; a strong negative detail would be lost.")
    same(found, expected)


def strongest_gradient(sources: NDArray) -> NDArray:
    """Per pixel the gradient of the source where it is longest: (m, h, w) to (2, h, w)."""
    gradients = image_gradient(torch.from_numpy(np.asarray(sources, np.float64)))
    longest = gradient_norm(gradients).argmax(dim=0)
    return gradients.gather(0, longest.expand(1, 2, -1, -1))[0].numpy()


def _poisson(answer: Any) -> None:
    sources = np.random.default_rng(7).random((2, 9, 12))
    expected = screened_poisson(strongest_gradient(sources), sources.mean(axis=0))
    same(as_function(answer)(sources.copy()), expected, tolerance=1e-4)


EXERCISES = {
    "3.1": Exercise(
        "a function pwa(sources) that returns Σx²/Σx over axis 0 (Eq. 6), and 0 where Σx is 0",
        "np.divide(a, b, out=np.zeros_like(b), where=b > 0)",
        "Each source weighs as much as it is bright: the bright one wins softly.", _weighted,
    ),
    "3.2": Exercise(
        "two images in [0, 1] that each show something, while their average is perfectly flat",
        "what is dark in one must be bright in the other by the same amount",
        "The extreme case. CSF and white matter come near it: opposite contrast on T1w and T2w. A "
        "tumour that only one source shows loses half of its contrast in the average.", _cancel,
    ),
    "3.3": Exercise(
        f"by how much the maximum of two sources lifts a flat area, if each has noise of σ = {NOISE}",
        "simulate it: np.maximum of two noisy images, minus the true grey; or recall σ/√π",
        "MoI brightens noise wherever both sources are about equally bright. Nothing tells the reader.",
        _bias,
    ),
    "3.4": Exercise(
        "a function strongest(details) that keeps, per pixel, the detail of largest magnitude, with its "
        "sign; (m, h, w) to (h, w)",
        "np.abs(details).argmax(axis=0) says which; np.take_along_axis fetches it",
        "One line of a Laplacian pyramid. It keeps the sharpest edge, and the strongest noise.",
        _strongest,
    ),
    "3.5": Exercise(
        "a function poisson(sources) that fuses by the strongest gradient, held to the mean, unclipped",
        "screened_poisson(strongest_gradient(sources), sources.mean(axis=0))",
        "No network, no training: one linear equation. Here is the bar that a network has to clear.",
        _poisson,
    ),
}
