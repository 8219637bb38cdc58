"""The map of training lengths as figures: what `make study NAME=length` draws."""

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from studies.length_tables import SHOWN

from pgmif.figures.colours import BLUE, DARK_GREY, GREEN, ORANGE, PINK, PURPLE, SKY, VERMILION
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure
from pgmif_core.methods.names import method_named, ordered_methods

SEVERAL = 2  # recipes that make a figure of their own
COLOURS = (PURPLE, PINK, BLUE, SKY, GREEN, ORANGE, VERMILION)
BALANCES = dict(zip((0.03, 0.1, 0.3, 1.0, 3.0, 5.0, 10.0), COLOURS, strict=True))  # alike in all cohorts


def length_figures(
    table: pd.DataFrame, t2w: Mapping[str, float], label: str, recipes: Mapping[str, Sequence[str]]
) -> dict[str, Figure]:
    """The map of PGMIF, "figure_length"; those named in `recipes` where it was trained by two of the
    recipes or more that are to be their columns; "figure_length_methods" of other methods.

    `table` as `length.gathered` gives it; drawn is the running mean of the generator, not annealed.
    """
    table = table[table["averaged"] & ~table["annealed"]]
    own, others = (table[which] for which in (table["method"] == "pgmif", table["method"] != "pgmif"))
    figures = {}
    if len(own):
        mapped = own.groupby("recipe").filter(lambda rows: rows["epsilon"].nunique() > 1)
        figures["figure_length"] = map_figure(mapped if len(mapped) else own, t2w, label)
    for name, columns in recipes.items():
        part = own[own["recipe"].isin(columns)]
        alike = part.groupby(["epsilon", "scale"])["recipe"].nunique()
        if len(part) and alike.max() >= SEVERAL:
            epsilon, scale = alike.idxmax()
            rows = part[(part["epsilon"] == epsilon) & (part["scale"] == scale)]
            same = dict([*rows.groupby("recipe")])
            figures[name] = columns_figure(
                {recipe: same[recipe] for recipe in columns if recipe in same}, t2w, label,
                f"PGMIF, ε = {epsilon:g}, gradient term : adversarial terms {scale:g}")
    if len(others):
        by_method = dict([*others.groupby("method")])
        figures["figure_length_methods"] = columns_figure(
            {method_named(m).label: by_method[m] for m in ordered_methods(by_method)}, t2w, label)
    return figures


@in_style
def map_figure(own: pd.DataFrame, t2w: Mapping[str, float], label: str) -> Figure:
    """Medians over patients left out against iterations: a column per ε, a colour per balance, a block
    of rows per recipe; nothing where nothing was trained.

    Every seed is a thin line, the median of them a thick one. Dashed: T2w untouched.
    """
    epsilons, recipes = sorted(own["epsilon"].unique()), list(own["recipe"].unique())
    colours = {scale: BALANCES.get(scale, DARK_GREY) for scale in sorted(own["scale"].unique())}
    high = len(SHOWN) * len(recipes)
    figure, axes = new_figure(PAGE_INCHES, 1.15 * high + 0.9, high, len(epsilons), sharex=True)
    for k, recipe in enumerate(recipes):
        block = axes[k * len(SHOWN) : (k + 1) * len(SHOWN)]
        for column, epsilon in zip(block.T, epsilons, strict=True):
            part = own[(own["epsilon"] == epsilon) & (own["recipe"] == recipe)]
            lines = [(f"{scale:g}", colours[scale], rows) for scale, rows in part.groupby("scale")]
            _column(column, lines, t2w, own)
            column[0].set_title(f"ε = {epsilon:g}, {recipe}")
    handles = {name: handle for ax in axes.flat for handle, name in
               zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend([handles[f"{scale:g}"] for scale in colours], [f"{scale:g}" for scale in colours],
                  title="gradient term : adversarial terms", ncols=len(colours),
                  loc="outside upper center", frameon=False)
    _finish(figure, axes, own, label)
    return figure


@in_style
def columns_figure(
    columns: Mapping[str, pd.DataFrame], t2w: Mapping[str, float], label: str, alike: str = ""
) -> Figure:
    """The same with a column for each table, by its title; a colour per balance and recipe. `alike`
    says what all columns have in common: then they have one scale, and their titles tell the rest."""
    whole = pd.concat(columns.values())
    figure, axes = new_figure(PAGE_INCHES, 1.3 * len(SHOWN) + 0.9, len(SHOWN), len(columns), sharex=True)
    for column, (name, table) in zip(axes.T, columns.items(), strict=True):
        cases = table.groupby(["scale", "recipe"])
        lines = [(f"{scale:.2g}, {recipe}", colour, rows)
                 for colour, ((scale, recipe), rows) in zip(COLOURS[2:], cases, strict=False)]
        _column(column, lines, t2w, whole if alike else table)
        column[0].set_title(name)
        if not alike:
            column[0].legend(frameon=False, fontsize=6)
    figure.suptitle(alike, fontsize=9)
    _finish(figure, axes, whole, label)
    return figure


def _column(
    column: Sequence[Axes], lines: Sequence[tuple[str, str, pd.DataFrame]], t2w: Mapping[str, float],
    scaled_to: pd.DataFrame,
) -> None:
    """Every measure below the other: lines (name, colour, rows) and T2w; hidden where there are none."""
    for ax, measure in zip(column, SHOWN, strict=True):
        for name, colour, rows in lines:
            _lines(ax, rows, measure, colour, name)
        if measure in t2w:
            ax.axhline(t2w[measure], color="k", linestyle="--", linewidth=0.7)
        ax.set_ylim(*_limits(scaled_to, measure))
        ax.set_visible(len(lines) > 0)


def _finish(figure: Figure, axes: NDArray, table: pd.DataFrame, label: str) -> None:
    """Names of measures at the first panel that is seen in each row; the cohort."""
    for row, words in zip(axes, itertools.cycle(SHOWN.values())):
        next(ax for ax in row if ax.get_visible()).set_ylabel(words)
    patients, seeds = int(table["patients"].max()), table["seed"].nunique()
    name_cohort(figure, label, (
        f"iterations; medians over {patients} training patients left out, up to {seeds} "
        f"seed{'s' if seeds > 1 else ''} (thin) and, where all are there, their median; dashed: T2w "
        "untouched"))


def _lines(ax: Axes, part: pd.DataFrame, measure: str, colour: str, name: str) -> None:
    for _, line in part.groupby(["seed", "scale", "epsilon"]):
        ax.semilogx(line["iterations"], line[measure], color=colour, linewidth=0.5, alpha=0.6)
    lengths = part.groupby("iterations")
    # seeds that go on alone would seem to move the median
    whole = lengths["seed"].nunique() == part["seed"].nunique()
    middle = lengths[measure].median()[whole]
    ax.semilogx(middle.index, middle, "o-", color=colour, markersize=2.5, label=name)


def _limits(table: pd.DataFrame, measure: str) -> Sequence[float]:
    """One scale for all panels of a measure, which a few wild trainings do not set."""
    low, high = table[measure].quantile([0.01, 0.99])
    margin = 0.08 * (high - low) or 0.1
    return low - margin, high + margin
