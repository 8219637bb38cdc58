"""Lesson 5, measuring honestly: exercises on CNR, the generalized Sobel, how to game both, and tests."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from pgmif.demonstration import phantom_slices
from pgmif.figures.colours import BLUE
from pgmif.figures.style import PAGE_INCHES, in_style, new_figure
from pgmif.lessons import Exercise, NotYet, as_array, as_function, as_number, same
from pgmif_core.evaluation.statistics import paired_wilcoxon
from pgmif_core.images.patient import PatientSlices
from pgmif_core.metrics.paper import contrast_to_noise_ratio, generalized_sobel
from pgmif_core.phantom import PhantomSize

SEED = 20240078
SIZE = PhantomSize(slices=10, thickness_mm=8.8, pixel_mm=1.2)
GAIN = 1.3  # of the CNR in 5.3
ROUNDING = 1e-6
LIKENESS = 0.8  # correlation with T2w of what is made from it in 5.3 and 5.4
SHARPER = 0.65  # Q in 5.4; an unchanged image has 0.46


class Case:
    """One slice of a phantom: `t2w`, and boolean `tumour` and `reference`, each (h, w)."""

    def __init__(self, patient: PatientSlices):
        k = patient.largest
        self.t1w, self.t2w = (np.array(patient.sources[k, m], np.float64) for m in (0, 1))
        self.tumour, self.reference = np.array(patient.gtv[k]), np.array(patient.reference[k])

    def cnr(self, image: NDArray) -> float:
        """Eq. 8 of an image in this slice's regions; NaN where the reference is one flat grey."""
        if np.ptp(image[self.reference]) == 0:
            return float("nan")
        return contrast_to_noise_ratio(image, self.tumour, self.reference)

    def usable(self, images: Mapping[str, Any]) -> dict[str, NDArray]:
        """Those that are images of this slice's shape, as arrays: answers may be anything."""
        found = {}
        for name, image in images.items():
            with suppress(NotYet):
                array = as_array(image)
                if array.shape == self.t2w.shape:
                    found[name] = array
        return found

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
        axes[0, 1].plot([0, 1], [b, a], "o-", color=BLUE, markersize=3)
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
    fused, source = np.array([2.0, 0.0, 3.0, 3.0, 0.5]), np.array([1.0, 0.0, 2.0, 0.0, 0.4])
    ratio = np.array([2.0, 1.0, 1.5, np.inf, 1.25])
    found = as_array(as_function(answer)(fused.copy(), source.copy()), finite=False)
    if np.isnan(found).any():
        raise NotYet("0/0 gives NaN: where neither image has an edge nothing changed, Δ = 1.")
    swapped = np.tanh(np.divide(1, ratio) / 2).mean()
    if np.isclose(found, swapped):
        raise NotYet("Δ is g_fused / g_source: it looks as if the two were exchanged.")
    same(found, np.tanh(ratio / 2).mean())


def _image(answer: Any) -> NDArray:
    found = as_array(answer)
    if found.shape != case().t2w.shape:
        raise NotYet(f"Expected shape {case().t2w.shape}, found {found.shape}.")
    if found.min() < -ROUNDING or found.max() > 1 + ROUNDING:
        raise NotYet(f"Values must lie in [0, 1], found {found.min():.3g} to {found.max():.3g}.")
    return found.clip(0, 1)


def _from_t2w(answer: Any) -> NDArray:
    """An image that was made from T2w: NotYet where it hardly resembles it."""
    found = _image(answer)
    if np.ptp(found) < ROUNDING:
        raise NotYet("That image is the same grey everywhere: it has neither contrast nor noise.")
    likeness = float(np.corrcoef(found.ravel(), case().t2w.ravel())[0, 1])
    if likeness < LIKENESS:
        raise NotYet(f"It hardly resembles T2w (correlation {likeness:.2f}); make it from t2w alone.")
    return found


def _game_cnr(answer: Any) -> None:
    image = _from_t2w(answer)
    if case().reference.any() and np.ptp(image[case().reference]) == 0:
        raise NotYet("The reference is one flat grey: σ is 0, and CNR has no value.")
    found, before = case().cnr(image), case().cnr(case().t2w)
    if found < GAIN * before:
        raise NotYet(f"CNR is {found:.2f}; T2w itself has {before:.2f}, wanted {GAIN * before:.2f}.")


def _game_q(answer: Any) -> None:
    found = case().q(_from_t2w(answer))
    if found < SHARPER:
        raise NotYet(f"Q is {found:.3f}, wanted {SHARPER}; unchanged it is 0.462.")


def _test(answer: Any) -> None:
    expected = paired_wilcoxon(*ten_patients()).p
    found = as_number(answer, 0, 1)
    if np.isclose(found, expected, rtol=0.03):
        return
    if np.isclose(found, expected / 2, rtol=0.03) or np.isclose(found, 1 - expected / 2, rtol=0.003):
        raise NotYet(f"P = {found:.2g} is one-sided: asked is whether the methods differ, either way.")
    approximate = stats.wilcoxon(*ten_patients(), method="approx").pvalue
    if np.isclose(found, approximate, rtol=0.03):
        raise NotYet(f"P = {found:.2g} is the normal approximation; ten pairs can be counted exactly.")
    if found > 0.05:
        raise NotYet(f"P = {found:.2g}: that is a test for twenty different people.")
    raise NotYet(f"P = {found:.2g}: not the exact signed-rank test. A paired t-test supposes a normal "
                 "distribution, a sign test forgets how large the differences are.")


def _smallest(answer: Any) -> None:
    found = as_number(answer, 0, 1)
    if np.isclose(found, 1 / 2**10, rtol=0.03):
        raise NotYet("That is one side: ten signs one way. Two-sided, ten the other way count as well.")
    if not np.isclose(found, 2 / 2**10, rtol=0.03):
        raise NotYet(f"{found:.3g} is too {'large' if found > 2 / 2**10 else 'small'}.")


def _holm(answer: Any) -> None:
    holm = as_function(answer)
    for values in ([0.01, 0.04, 0.03], [0.5, 0.001, 0.02, 0.6], [0.7, 0.6]):
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
        "the exact two-sided P of the Wilcoxon signed-rank test on ten_patients(): the rank test for "
        "the same patients under two methods",
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
        "If nothing differs, of fourteen independent tests at least one is below 0.05 in half of all "
        "papers.", _holm,
    ),
}
