"""Lesson 4, adversarial terms: a small training with and without them, and exercises."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from tqdm.auto import tqdm

from pgmif.figures.colours import GREEN, VERMILION
from pgmif.figures.style import PAGE_INCHES, in_style, new_figure
from pgmif.lessons import Exercise, NotYet, as_array, as_function, as_number, same
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.slices import covered_slices
from pgmif_core.losses import discriminator_loss, generator_adversarial_loss, relative_alignment
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.phantom import PhantomSize
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer

SMALL = PhantomSize(slices=10, thickness_mm=8.8, pixel_mm=1.2)  # every other slice: half the time
ITERATIONS, BATCH, CROP = 120, 8, 64
TISSUE = 0.08  # above it a pixel of any source is tissue


class Trained(NamedTuple):
    """`fused` (slices, h, w) in [0, 1] of the test patient, and the losses, one row per iteration."""

    fused: NDArray[np.float32]
    history: pd.DataFrame


def _batch(slices: NDArray, iteration: int) -> torch.Tensor:
    rng = np.random.default_rng([0, iteration])
    height, width = slices.shape[-2:]
    crops = []
    for k in rng.choice(len(slices), BATCH):
        top, left = rng.integers(height - CROP), rng.integers(width - CROP)
        crops.append(slices[k, :, top : top + CROP, left : left + CROP])
    return torch.from_numpy(np.stack(crops))


def train_briefly(
    patients: list[PatientSlices], test: PatientSlices, adversarial: bool = True, start: str = "mean",
    iterations: int = ITERATIONS,
) -> Trained:
    """Train a narrow PGMIF for seconds on crops of `patients` and fuse `test` with it."""
    slices = np.concatenate([np.asarray(p.sources) for p in patients])
    slices = slices[covered_slices(slices)]
    trainer = Trainer(TrainingSettings(
        channels=8, iterations=iterations, batch_size=BATCH, crop=CROP, learning_rate=4e-4,
        adversarial=adversarial, start=start,
    ))
    title = f"{'with' if adversarial else 'without'} adversarial terms, start {start}"
    steps = tqdm(range(iterations), desc=title, mininterval=1)
    history = pd.DataFrame([trainer.step(_batch(slices, i)) for i in steps])
    with torch.inference_mode():
        sources = torch.from_numpy(np.array(test.sources))
        fused = FoldedGenerator(trainer.result.eval())(sources)[:, 0]
    return Trained(fused.numpy(), history)


def grey_distance(image: NDArray, patient: PatientSlices, modality: int) -> float:
    """How far the greys of an image are from those of a source: Wasserstein distance inside the head.

    0: the same histogram. In grey values of [0, 1]: the mean way each pixel's grey would have to move.
    """
    tissue = (np.asarray(patient.sources) > TISSUE).any(axis=1)
    return float(wasserstein_distance(image[tissue], np.asarray(patient.sources[:, modality])[tissue]))


def facts(results: dict[str, Trained], patient: PatientSlices, epsilon: float = 0.03) -> pd.DataFrame:
    """One row per training: alignment with T1w and T2w (Eq. 2, 1 for a copy), distance of their greys,
    and correlation with their mean (negative: inverted)."""
    sources = torch.from_numpy(np.array(patient.sources))
    mean = np.asarray(patient.sources).mean(axis=1)
    tissue = (np.asarray(patient.sources) > TISSUE).any(axis=1)
    rows = {}
    untrained = {"mean of the sources, untrained": Trained(mean.astype(np.float32), pd.DataFrame())}
    for name, (fused, _) in (untrained | results).items():
        tensor = torch.from_numpy(fused)[:, None]
        rows[name] = {
            **{f"alignment {m}": relative_alignment(tensor, sources[:, k : k + 1], epsilon)
               for k, m in enumerate(("T1w", "T2w"))},
            **{f"grey distance {m}": grey_distance(fused, patient, k)
               for k, m in enumerate(("T1w", "T2w"))},
            "correlation": float(np.corrcoef(fused[tissue], mean[tissue])[0, 1]),
        }
    return pd.DataFrame(rows).T


@in_style
def losses_figure(history: pd.DataFrame) -> Figure:
    """Adversarial and discriminator losses over the steps, smoothed, with the values of a draw."""
    figure, axes = new_figure(PAGE_INCHES * 0.7, 2.2)
    ax = axes[0, 0]
    smooth = history.rolling(10, min_periods=1).mean()
    for name, colour, draw in (("adversarial", VERMILION, 2 * np.log(2)),
                               ("discriminator", GREEN, 4 * np.log(2))):
        ax.plot(smooth[name], color=colour, label=name)
        ax.axhline(draw, color=colour, linewidth=0.7, linestyle=":")
    ax.set_xlabel("step; dotted: a draw")
    ax.legend(frameon=False)
    return figure


def small_game(penalty: float, steps: int = 600, rate: float = 0.1) -> NDArray[np.float64]:
    """The smallest adversarial game (Mescheder et al. 2018): real images are the number 0, fused ones θ,
    and the logit of D is ψ times what it sees. (steps + 1, 2) places (θ, ψ), both learning at once.
    """
    places = [(1.0, 0.0)]
    for _ in range(steps):
        theta, psi = places[-1]
        places.append((theta + rate * psi * _sigmoid(-psi * theta),
                       psi - rate * _judge_slope(theta, psi, penalty)))
    return np.array(places)


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _judge_slope(theta: float, psi: float, penalty: float) -> float:
    return theta * _sigmoid(psi * theta) + penalty * psi


@in_style
def game_figure(penalties: Sequence[float]) -> Figure:
    """Where generator (θ) and discriminator (ψ) of `small_game` go, a panel per penalty."""
    figure, axes = new_figure(PAGE_INCHES * 0.8, 2.4, 1, len(penalties), sharex=True, sharey=True)
    for ax, penalty in zip(axes[0], penalties, strict=True):
        theta, psi = small_game(penalty).T
        ax.plot(theta, psi, color=VERMILION, linewidth=0.8)
        ax.plot(theta[0], psi[0], "o", color=VERMILION, markersize=4)
        ax.plot(0, 0, "+", color="k")
        ax.set_title(f"penalty γ = {penalty:g}")
        ax.set_xlabel("fused image θ (real: 0)")
    axes[0, 0].set_ylabel("discriminator ψ")
    return figure


def _generator_loss(answer: Any) -> None:
    logits = np.array([-2.0, 0.0, 0.5, 3.0])
    same(as_function(answer)(logits.copy()), generator_adversarial_loss(torch.from_numpy(logits)))
    far = as_array(answer(np.array([-800.0])), finite=False)
    if not np.isfinite(far).all():
        raise NotYet("Right for small logits, but at −800 it gives infinity: exp overflows or the "
                     "logarithm meets 0.")
    same(far, 800.0, " at a logit of −800")


def _undecided(answer: Any) -> None:
    zero = torch.zeros(1)
    expected = [float(generator_adversarial_loss(zero)), float(discriminator_loss(zero, zero))]
    found = as_array(answer)
    if found.shape != (2,):
        raise NotYet("Expected (generator's loss, discriminator's loss).")
    same(found, expected, tolerance=1e-2)


def _distance(answer: Any) -> None:
    rng = np.random.default_rng(4)
    for size in (5, 40):
        first, second = rng.random(size), rng.uniform(0.3, 0.6, size)
        same(as_function(answer)(first.copy(), second.copy()), wasserstein_distance(first, second))


def _guess(answer: Any) -> None:
    found = as_number(answer, 0, 1)
    if abs(found - 0.5) > 1e-6:
        raise NotYet(f"If D says {found:.2g} to everything, it is wrong about one kind more than it "
                     "need be: the two are equally frequent.")


def _penalised(answer: Any) -> None:
    for theta, psi, gamma in ((1.0, 0.0, 0.3), (-0.7, 0.4, 0.0), (0.5, -1.2, 2.0)):
        found = as_function(answer)(theta, psi, gamma)
        if gamma * psi and abs(float(found) - _judge_slope(theta, psi, 0.0)) < 1e-9:
            raise NotYet("That is the slope without the penalty: ψ also pays γ/2 · ψ².")
        same(found, _judge_slope(theta, psi, gamma), f" at θ = {theta}, ψ = {psi}, γ = {gamma}")


EXERCISES = {
    "4.1": Exercise(
        "a function generator_loss(logits) that returns −mean log D, D = 1/(1 + e^(−logit)), and does "
        "not overflow",
        "−log(1/(1 + e^(−t))) = log(1 + e^(−t)); np.logaddexp(0, −t) computes it safely",
        "The worse the fake, the steeper the loss: that is why this form, and not log(1 − D), is "
        "minimised.", _generator_loss,
    ),
    "4.2": Exercise(
        "(generator's loss, discriminator's loss) when the discriminator cannot tell: every logit is 0",
        "D = ½ everywhere; the discriminator pays for real and for fused images",
        "0.69 and 1.39 for one discriminator. The plot below adds two, so look for 1.39 and 2.77.",
        _undecided,
    ),
    "4.3": Exercise(
        "a function distance(first, second): the mean way grey values must move to turn one histogram "
        "into the other; both have as many pixels",
        "sort both; the k-th darkest pixel of one goes to the k-th darkest of the other",
        "A number for «the same contrast» that does not care where a pixel lies, only how grey it is.",
        _distance,
    ),
    "4.4": Exercise(
        "the probability that the best D gives to any image, if fused and real ones follow one "
        "distribution and are shown equally often",
        "what can the best discriminator know if real and fused follow the same distribution?",
        "The adversarial terms ask for that, and for no more: they do not know where the tumour is.",
        _guess,
    ),
    "4.5": Exercise(
        "a function slope(theta, psi, gamma): the derivative with respect to ψ of "
        "log(1 + e^(ψθ)) + γ/2 · ψ²",
        "the derivative of log(1 + e^t) is 1/(1 + e^(−t)); then the chain rule, t = ψθ",
        "The second part pulls ψ to 0, the harder the steeper D is: friction, and the circle ends.",
        _penalised,
    ),
}
