"""Lesson 5, measuring honestly: exercises on CNR, the generalized Sobel, how to game both, and tests."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgmif_core.demonstration import phantom_slices
from pgmif_core.figures import PAGE_INCHES, in_style, new_figure
from pgmif_core.lessons import Exercise, NotYet, as_array, as_function, as_number, same
from pgmif_core.metrics import contrast_to_noise_ratio, generalized_sobel
from pgmif_core.phantom import PhantomSize
from pgmif_core.slices import PatientSlices
from pgmif_core.statistics import paired_wilcoxon

SEED = 20240078
SIZE = PhantomSize(slices=10, thickness_mm=8.8, pixel_mm=1.2)
GAIN = 1.3  # of the CNR in 5.3
SHARPER = 0.65  # Q in 5.4; an unchanged image has 0.46


class Case:
    """One slice of a phantom: `t2w`, and boolean `tumour` and `reference`, each (h, w)."""

    def __init__(self, patient: PatientSlices):
        k = int(patient.gtv.sum(axis=(1, 2)).argmax())
        self.t1w, self.t2w = (np.array(patient.sources[k, m], np.float64) for m in (0, 1))
        self.tumour, self.reference = np.array(patient.gtv[k]), np.array(patient.reference[k])

    def cnr(self, image: NDArray) -> float:
        """Eq. 8 of an image in this slice's regions."""
        return contrast_to_noise_ratio(image, self.tumour, self.reference)

    def q(self, image: NDArray) -> float:
        """Eq. 12 of an image against this slice's T2w, in the tumour."""
        return generalized_sobel(image, self.t2w, self.tumour)


@cache
def case() -> Case:
    """The slice that the exercises look at; made once, in about two seconds."""
    return Case(phantom_slices(SEED, SIZE))


def ten_patients() -> tuple[NDArray, NDArray]:
    """CNR of ten made-up patients under two methods: patients differ widely, the methods a little."""
    rng = np.random.default_rng(11)
    first = rng.gamma(3.0, 0.5, 10)
    return first + rng.uniform(-0.05, 0.25, 10), first


@in_style
def paired_figure(first: NDArray, second: NDArray) -> Figure:
    """The same patients under two methods: as two heaps, and patient by patient."""
    figure, axes = new_figure(PAGE_INCHES, 2.4, 1, 2, sharey=True)
    axes[0, 0].boxplot([second, first], tick_labels=["method B", "method A"], widths=0.5)
    axes[0, 0].set_ylabel("CNR")
    axes[0, 0].set_title("as if they were twenty people")
    for b, a in zip(second, first, strict=True):
        axes[0, 1].plot([0, 1], [b, a], "o-", color="#0072B2", markersize=3)
    axes[0, 1].set_xticks([0, 1], ["method B", "method A"])
    axes[0, 1].set_title("the ten people they are")
    return figure


def _cnr(answer: Any) -> None:
    rng = np.random.default_rng(9)
    image, tumour = rng.random((7, 9)), rng.random((7, 9)) > 0.6
    reference = ~tumour & (rng.random((7, 9)) > 0.5)
    for part in (image, -3 * image + 2):
        expected = contrast_to_noise_ratio(part, tumour, reference)
        found = as_number(as_function(answer)(part.copy(), tumour, reference))
        count = reference.sum()
        if np.isclose(found, expected * np.sqrt((count - 1) / count)):
            raise NotYet("Right but for σ: divide by n, as NumPy's .std() does, not by n − 1.")
        if np.isclose(found, -expected):
            raise NotYet("The sign matters: a tumour darker than its reference has a negative CNR.")
        same(found, expected)


def _sobel(answer: Any) -> None:
    fused, source = np.array([2.0, 0.0, 1.0, 0.0, 3.0]), np.array([1.0, 0.0, 2.0, 1.0, 0.0])
    ratio = np.array([2.0, 1.0, 0.5, 0.0, np.inf])
    found = as_array(as_function(answer)(fused.copy(), source.copy()), finite=False)
    if np.isnan(found).any():
        raise NotYet("0/0 gives NaN: where neither image has an edge nothing changed, Δ = 1.")
    same(found, np.tanh(ratio / 2).mean())


def _image(answer: Any) -> NDArray:
    found = as_array(answer)
    if found.shape != case().t2w.shape:
        raise NotYet(f"Expected shape {case().t2w.shape}, found {found.shape}.")
    if found.min() < 0 or found.max() > 1:
        raise NotYet("Values must lie in [0, 1].")
    return found


def _game_cnr(answer: Any) -> None:
    found, before = case().cnr(_image(answer)), case().cnr(case().t2w)
    if found < GAIN * before:
        raise NotYet(f"CNR is {found:.2f}; T2w itself has {before:.2f}, wanted {GAIN * before:.2f}.")


def _game_q(answer: Any) -> None:
    found = case().q(_image(answer))
    if found < SHARPER:
        raise NotYet(f"Q is {found:.3f}, wanted {SHARPER}; unchanged it is 0.462.")


def _test(answer: Any) -> None:
    expected = paired_wilcoxon(*ten_patients()).p
    found = as_number(answer, 0, 1)
    if found > 0.05:
        raise NotYet(f"P = {found:.2g}: that is a test for twenty different people.")
    if not np.isclose(found, expected, rtol=1e-3):
        raise NotYet(f"P = {found:.2g}: not the exact signed-rank test. A paired t-test supposes a "
                     "normal distribution, a sign test forgets how large the differences are.")


def _smallest(answer: Any) -> None:
    same(as_number(answer), 2 / 2**10, tolerance=1e-4)


def _holm(answer: Any) -> None:
    holm = as_function(answer)
    for values in ([0.01, 0.04, 0.03], [0.5, 0.001, 0.02, 0.6]):
        p = np.array(values)
        order = np.argsort(p)
        steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
        expected = np.empty_like(p)
        expected[order] = steps
        same(holm(p.copy()), expected, f" for P = {values}")


EXERCISES = {
    "5.1": Exercise(
        "a function cnr(image, tumour, reference) that returns Eq. 8, (mean − mean) / σ",
        "image[tumour] are the tumour's pixels; .std() is the population's σ",
        "Nothing else of the image counts: not its edges, not the rest of the head.", _cnr,
    ),
    "5.2": Exercise(
        "a function q(g_fused, g_source) that returns the mean of tanh(Δ/2), Δ = g_fused / g_source, "
        "with Δ = 1 where both are 0",
        "np.divide with where=, starting from ones; a division by 0 alone may give inf, tanh(inf) = 1",
        "An edge twice as steep gives 0.76, unchanged 0.46, gone 0. More is always better: is it?",
        _sobel,
    ),
    "5.3": Exercise(
        f"an image in [0, 1] made from t2w alone, with at least {GAIN} times its CNR",
        "σ of the reference is in the denominator: what makes a calm area calmer?",
        "You have fused nothing, and beaten both sources. A wider blur lowers CNR again, as bright "
        "neighbours leak in. This is why «T2w blurred» stands in the tables of CNR and Q.", _game_cnr,
    ),
    "5.4": Exercise(
        f"an image in [0, 1] made from t2w alone, with Q against T2w of at least {SHARPER}",
        "what a blur takes away can be added instead: x + a·(x − blur(x)), a of your choice; np.clip it",
        "This is why «T2w sharpened» stands there too. Even np.clip(2 * t2w, 0, 1) would do: Q pays for "
        "any steeper grey scale, although nothing is visible that was not before.", _game_q,
    ),
    "5.5": Exercise(
        "the two-sided P of the Wilcoxon signed-rank test on ten_patients(): the rank test for the same "
        "patients under two methods",
        "scipy.stats.wilcoxon compares pairs; mannwhitneyu compares two groups of different people",
        "The difference was there all the time; the wrong test buried it under the spread of patients.",
        _test,
    ),
    "5.6": Exercise(
        "the smallest two-sided P that ten patients can give in the exact signed-rank test",
        "each sign is a coin: how likely is it that all ten fall the same way, or all the other?",
        "0.002. The paper prints 5.6e-4: possible with Mann-Whitney on ten and ten values, which it "
        "used, impossible with this test.",
        _smallest,
    ),
    "5.7": Exercise(
        "a function holm(p) that adjusts P values for how many were tried (Holm 1979)",
        "sort; multiply the smallest by n, the next by n − 1, …; never let one fall below an earlier; "
        "cap at 1; put them back",
        "If nothing differs, forty tests give two below 0.05 on average.", _holm,
    ),
}
