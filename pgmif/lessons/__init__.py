"""Lessons: exercises that are checked at once. `check("1.1", answer)` says what is missing, never fails.

Each module of this package holds the exercises and pictures of one notebook in notebooks/teaching/.
"""

import html
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from IPython.display import display
from numpy.typing import ArrayLike, NDArray

from pgmif.figures.colours import GREEN, SKY, VERMILION

WIDTH = 96  # of what `check` says outside notebooks
RIGHT, WRONG, OPEN = "✔ right.", "✘ not yet.", "… not answered yet."
COLOURS = {RIGHT: GREEN, WRONG: VERMILION, OPEN: SKY}  # Okabe-Ito, of the note's border
LESSONS = {"1": "tissue", "2": "gradients", "3": "rules", "4": "adversarial", "5": "measuring"}


class NotYet(Exception):
    """An answer that is not right yet; its text says in what."""


@dataclass(frozen=True)
class Exercise:
    """What is asked, a hint, what a right answer shows, and `judge`, which raises NotYet."""

    asks: str
    hint: str
    shows: str
    judge: Callable[[Any], None]


def exercise(number: str) -> Exercise:
    """The exercise of this number. Raises ValueError naming those there are."""
    name = LESSONS.get(number.split(".")[0])
    exercises = import_module(f"pgmif.lessons.{name}").EXERCISES if name else {}
    if number not in exercises:
        raise ValueError(f"exercise {number!r}: expected one of {', '.join(exercises) or LESSONS}")
    return exercises[number]


@dataclass(frozen=True)
class Feedback:
    """What `check` says of an answer: in notebooks a note with its hint folded away, else plain text."""

    number: str
    verdict: str  # one of COLOURS
    text: str
    hint: str = ""

    def __repr__(self) -> str:
        said = textwrap.fill(f"Exercise {self.number}: {self.verdict} {self.text}", WIDTH)
        hint = textwrap.fill(f"Hint: {self.hint}", WIDTH, initial_indent="  ", subsequent_indent="  ")
        return f"{said}\n{hint}" if self.hint else said

    def _repr_html_(self) -> str:
        text, hint = (
            re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(t)) for t in (self.text, self.hint)
        )
        folded = f"<details><summary>Hint</summary>{hint}</details>" if self.hint else ""
        return (
            f'<div style="border-left: 4px solid {COLOURS[self.verdict]}; padding: 0 0.8em; '
            f'margin: 0.3em 0; max-width: 48em"><strong>Exercise {self.number}: {self.verdict}</strong> '
            f"{text}{folded}</div>"
        )


def check(number: str, answer: Any) -> None:
    """Say whether an answer is right, and what is missing where not. Never raises for an answer."""
    display(_judged(number, answer))


def _judged(number: str, answer: Any) -> Feedback:
    asked = exercise(number)
    if answer is ... or _is_stub(answer):
        return Feedback(number, OPEN, f"Wanted: {asked.asks}", asked.hint)
    try:
        with np.errstate(all="ignore"):
            asked.judge(answer)
    except NotYet as problem:
        return Feedback(number, WRONG, str(problem), asked.hint)
    except Exception as error:  # a student's function may do anything
        stopped = f"Your answer stopped with {type(error).__name__}: {error}"
        return Feedback(number, WRONG, stopped, asked.hint)
    return Feedback(number, RIGHT, asked.shows)


def _is_stub(answer: Any) -> bool:
    """Whether an answer is a function in which nothing but `...` stands."""
    code = getattr(answer, "__code__", None)
    # one without code has no names, and of constants only None and its docstring
    return code is not None and code.co_code == _empty.__code__.co_code and not code.co_names


def _empty() -> None: ...


def attempt(function: Callable, *arguments: Any) -> NDArray[np.float64] | None:
    """What a student's function makes of an image; None where it is no image of that shape.

    For pictures that follow a check, which has said what is wrong: they never stop the notebook.
    """
    try:
        found = as_array(function(*arguments))
    except Exception:
        return None
    return found if found.shape == np.shape(arguments[0])[-2:] else None


def as_array(value: Any, what: str = "the answer", finite: bool = True) -> NDArray[np.float64]:
    """Numbers as an array; NotYet where they are none, or with `finite` not finite."""
    if value is ... or value is None:
        raise NotYet(f"Expected numbers as {what}, found {value}: is a `...` or a `return` left?")
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise NotYet(f"Expected numbers as {what}, found {type(value).__name__}.") from None
    if finite and not np.isfinite(array).all():
        raise NotYet(f"Expected finite numbers as {what}, found NaN or infinite ones.")
    return array


def as_number(value: Any, low: float = -np.inf, high: float = np.inf) -> float:
    """One number between two bounds; NotYet otherwise."""
    array = as_array(value)
    if array.size != 1:
        raise NotYet(f"Expected one number, found {array.size}.")
    if not low <= (number := float(array.reshape(()))) <= high:
        side = "too small" if number < low else "too large"
        raise NotYet(f"{number:.4g} is {side}.")
    return number


def same(found: Any, expected: ArrayLike, where: str = "", tolerance: float = 1e-5) -> None:
    """NotYet where arrays differ: says the shape, or the first place and both values there."""
    found, expected = as_array(found), as_array(expected)
    if found.shape != expected.shape:
        raise NotYet(f"Expected shape {expected.shape}{where}, found {found.shape}.")
    wrong = ~np.isclose(found, expected, rtol=tolerance, atol=tolerance)
    if wrong.any():
        place = tuple(int(k) for k in np.argwhere(wrong)[0])
        at = f" at {place}" if place else ""
        share = f" ({wrong.mean():.0%} of the values differ)" if place else ""
        raise NotYet(f"Expected {expected[place]:.4g}{at}{where}, found {found[place]:.4g}{share}.")


def as_function(answer: Any) -> Callable:
    """A function; NotYet otherwise."""
    if not callable(answer):
        raise NotYet(f"Expected a function, found {type(answer).__name__}.")
    return answer
