"""Lesson 1, from tissue to contrast: exercises on the spin-echo equation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgmif.figures.colours import BLUE, GREEN, ORANGE, PINK, VERMILION
from pgmif.figures.style import PAGE_INCHES, in_style, new_figure
from pgmif.lessons import Exercise, NotYet, as_array, as_function, as_number, same
from pgmif_core.phantom.tissues import SEQUENCES, spin_echo_signal, tissue_table

SHOWN = ("fat", "muscle", "white_matter", "csf", "tumour")
COLOURS = (ORANGE, VERMILION, GREEN, BLUE, PINK)  # Okabe-Ito
NOISE = 0.012  # standard deviation of each channel in exercise 1.5


def tissue(name: str) -> tuple[float, float, float]:
    """(proton density, T1 in ms, T2 in ms) at 3 T of a tissue of the phantom; sources in tissues.csv."""
    row = tissue_table().set_index("tissue").loc[name]
    return float(row["proton_density"]), float(row["t1_ms"]), float(row["t2_ms"])


@in_style
def signal_curves(tissues: Sequence[str] = SHOWN) -> Figure:
    """Signal against TR at TE 9.8 ms, and against TE at TR 2500 ms; the paper's sequences as lines."""
    figure, axes = new_figure(PAGE_INCHES, 2.6, 1, 2, sharey=True)
    repetition, echo = np.linspace(0, 5000, 300), np.linspace(0, 200, 300)
    for name, colour in zip(tissues, COLOURS, strict=True):
        density, t1_ms, t2_ms = tissue(name)
        recovery = density * (1 - np.exp(-repetition / t1_ms)) * np.exp(-9.8 / t2_ms)
        axes[0, 0].plot(repetition, recovery, color=colour)
        axes[0, 1].plot(echo, _decay(name, echo), color=colour, label=name.replace("_", " "))
    axes[0, 0].axvline(SEQUENCES["T1w"].repetition_time_ms, color="k", linewidth=0.7, linestyle=":")
    axes[0, 1].axvline(SEQUENCES["T2w"].echo_time_ms, color="k", linewidth=0.7, linestyle=":")
    axes[0, 0].set_xlabel("TR (ms), TE = 9.8 ms; dotted: T1w")
    axes[0, 1].set_xlabel("TE (ms), TR = 2500 ms; dotted: T2w")
    axes[0, 0].set_ylabel("signal (relaxed water = 1)")
    axes[0, 1].legend(frameon=False)
    return figure


def air_pixels() -> np.ndarray:
    """Magnitudes of 10,000 pixels of air: two noisy channels and no signal."""
    channels = np.random.default_rng(1).normal(0, NOISE, (2, 10_000))
    return np.hypot(*channels)


def _spin_echo(answer: Any) -> None:
    rng = np.random.default_rng(0)
    density, t1_ms, t2_ms = rng.uniform(0.1, 1, 6), rng.uniform(200, 4000, 6), rng.uniform(20, 900, 6)
    for sequence in SEQUENCES.values():
        tr, te = sequence.repetition_time_ms, sequence.echo_time_ms
        found = as_function(answer)(density, t1_ms, t2_ms, tr, te)
        same(found, spin_echo_signal(density, t1_ms, t2_ms, sequence), f" (TR {tr:g}, TE {te:g} ms)")


def _brightest(answer: Any) -> None:
    if not isinstance(answer, dict) or set(answer) != {"T1w", "T2w"}:
        raise NotYet('Expected {"T1w": "…", "T2w": "…"}.')
    for name, found in answer.items():
        signals = {t: spin_echo_signal(*tissue(t), SEQUENCES[name]) for t in SHOWN}
        if found not in signals:
            raise NotYet(f"{name}: expected one of {', '.join(SHOWN)}, found {found!r}.")
        best = max(signals, key=signals.get)
        if found != best:
            raise NotYet(f"{name}: {found} has {signals[found]:.2f}; another tissue is brighter.")


def _decay(name: str, echo_ms: NDArray) -> NDArray:
    density, t1_ms, t2_ms = tissue(name)
    return density * (1 - np.exp(-2500 / t1_ms)) * np.exp(-echo_ms / t2_ms)


def _in_ms(answer: Any) -> float:
    found = as_number(answer)
    if 0 < found < 0.5:
        raise NotYet(f"{found:.3g} looks like seconds; wanted are milliseconds.")
    return found


def _best_echo(answer: Any) -> None:
    echo = np.linspace(0.1, 400, 40_000)
    best = echo[np.abs(_decay("tumour", echo) - _decay("muscle", echo)).argmax()]
    as_number(_in_ms(answer), best - 2, best + 2)


def _crossing(answer: Any) -> None:
    echo = np.linspace(0.1, 200, 40_000)
    first, second = (_decay(name, echo) for name in ("white_matter", "csf"))
    crossing = echo[np.abs(first - second).argmin()]
    found = as_number(_in_ms(answer))
    if found < 0:
        raise NotYet(f"{found:.3g} ms is before the excitation. PD alone is not enough: what has "
                     "recovered by TR differs as well.")
    as_number(found, crossing - 1, crossing + 1)


def _noise(answer: Any) -> None:
    found = as_number(answer)
    mean = as_array(air_pixels()).mean()
    if abs(found - mean) < 1e-4:
        raise NotYet(f"{found:.4f} is the mean brightness of air; a magnitude is never negative, so it "
                     "is larger than σ.")
    if abs(found - as_array(air_pixels()).std()) < 1e-4:
        raise NotYet(f"{found:.4f} is the spread of the magnitudes; folding negative values up has made "
                     "it smaller than that of a channel.")
    as_number(found, 0.97 * NOISE, 1.03 * NOISE)


EXERCISES = {
    "1.1": Exercise(
        "a function spin_echo(proton_density, t1_ms, t2_ms, tr_ms, te_ms) that returns the signal",
        "three factors: how many protons, how far they have recovered by TR, what is left at TE; np.exp",
        "This one line makes every image of the phantom.", _spin_echo,
    ),
    "1.2": Exercise(
        'a dictionary {"T1w": tissue, "T2w": tissue} of the brightest among ' + ", ".join(SHOWN),
        "read the two plots at their dotted lines, or call your spin_echo",
        "Fat is bright on both in this table: its T1 is short, and its T2 (133 ms here; others measure "
        "less) is not. 2.5 s bring CSF only half way. No image is weighted by one time alone.",
        _brightest,
    ),
    "1.3": Exercise(
        "the TE in ms (TR = 2500 ms) at which |tumour − muscle| is largest, to 2 ms",
        "compute both signals for many TE with np.linspace, and take the argmax of their difference",
        "Tumour lives longer than muscle in T2. Wait too little and they differ less (0.08 at once, "
        "0.20 at the best time), too long and both are gone.", _best_echo,
    ),
    "1.4": Exercise(
        "the TE in ms (TR = 2500 ms) at which white matter and CSF are equally bright, to 1 ms",
        "with A = PD·(1 − e^(−TR/T1)), where two curves A·e^(−TE/T2) cross, ln(A₁/A₂) = "
        "TE·(1/T2₁ − 1/T2₂)",
        "Below it CSF is the darker of the two, above it the brighter: the same head, contrast "
        "inverted.", _crossing,
    ),
    "1.5": Exercise(
        "σ of each channel, estimated from the brightness of air",
        "magnitudes of pure noise follow a Rayleigh distribution; its mean is σ·√(π/2)",
        "Air is not black but grey: noise of a magnitude image has a floor, and the σ of those greys "
        "is 0.655 times the true one. Eq. 8 must not be measured there.", _noise,
    ),
}
