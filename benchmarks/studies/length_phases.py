"""The phase diagram: what training ends at, over balance and ε, and where that is a matter of luck."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from studies.length_tables import AGREE, MEASURES, SHOWN, apart_and_moved

from pgmif.figures.style import PAGE_INCHES, coloured_numbers, in_style, name_cohort, new_figure

CELL = ["epsilon", "scale"]
PERCENT = {"moved": "still moving, %", "apart": "seeds apart, %"}
WORST = 4 * AGREE  # percent: from here on all is one colour
DARK = 0.55  # of a scale: from there to its dark end numbers are white


def phase_table(own: pd.DataFrame) -> pd.DataFrame:
    """A row per recipe, ε and balance, at the length of the recipe that most of them reached.

    `cnr`, `q_t2w`, `ssim_t2w`: mean of the seeds' medians. `moved`: the most that one of them, or Q
    against T1w, moved since the length before (`since`), in percent; NaN where there is none. `apart`:
    their largest coefficient of variation between seeds, in percent; NaN of one seed. `own`: rows of one
    method, not annealed, averaged. A recipe without two ε and two balances is left out: that is no map.
    """
    rows = []
    for recipe, part in own.groupby("recipe", sort=False):
        if any(part[name].nunique() < 2 for name in CELL):
            continue
        reached = part.drop_duplicates([*CELL, "iterations"]).groupby("iterations").size()
        length = int(reached[reached == reached.max()].index.max())
        for cell, trained in part.groupby(CELL):
            seeds = {n: t.set_index("seed")[list(MEASURES)] for n, t in trained.groupby("iterations")}
            if length not in seeds:
                continue
            since = max((n for n in seeds if n < length), default=None)
            now, before = seeds[length], seeds.get(since, seeds[length].iloc[:0])
            apart, moved = apart_and_moved(now, before)
            rows.append({"recipe": recipe, **dict(zip(CELL, cell, strict=True)), "iterations": length,
                         "since": since, "seeds": len(now), **now.mean()[list(SHOWN)],
                         "moved": moved.max(), "apart": apart.max()})
    return pd.DataFrame(rows)


@in_style
def phase_figure(phases: pd.DataFrame, chosen: Mapping[str, str | float], label: str) -> Figure:
    """A column per recipe: what it ends at, how much it still moves, how far seeds lie apart.

    `phases` as `phase_table` gives it; the cell with the values in `chosen` is framed.
    """
    recipes, rows = list(phases["recipe"].unique()), SHOWN | PERCENT
    epsilons, scales = (sorted(phases[name].unique()) for name in CELL)
    high = len(rows) * (0.17 * len(epsilons) + 0.38) + 0.9
    figure, axes = new_figure(PAGE_INCHES, high, len(rows), len(recipes), sharex=True, sharey=True)
    for column, recipe in zip(axes.T, recipes, strict=True):
        part = phases[phases["recipe"] == recipe]
        for ax, name in zip(column, rows, strict=True):
            grid = part.pivot(index="epsilon", columns="scale", values=name)
            _panel(ax, grid.reindex(epsilons, columns=scales), phases[name], name in PERCENT)
            for place in part[(part[list(chosen)] == list(chosen.values())).all(axis=1)].itertuples():
                corner = scales.index(place.scale) - 0.5, epsilons.index(place.epsilon) - 0.5
                ax.add_patch(Rectangle(corner, 1, 1, fill=False, linewidth=1.6))
        now, since = part["iterations"].iloc[0], part["since"].max()
        column[0].set_title(f"{recipe}, {now:,} iterations (moving: since {since:,.0f})")
        column[-1].set_xlabel("gradient term : adversarial terms")
    for ax, words in zip(axes[:, 0], rows.values(), strict=True):
        ax.set_ylabel(f"{words}\nε")
    name_cohort(figure, label, (
        "means of the seeds' medians over training patients left out; moving and apart: the most of "
        f"CNR, Q and SSIM, settled up to {AGREE:g} %; framed: what is trained with; empty: not trained, "
        "or one seed"))
    return figure


def _panel(ax: Axes, grid: pd.DataFrame, whole: pd.Series, percent: bool) -> None:
    """One table as colours and numbers; shares on one scale, from settled to far from it."""
    low, high = (0.0, WORST) if percent else (whole.min(), whole.max())
    middle = low + DARK * (high - low)
    light = grid > middle if percent else grid < middle
    coloured_numbers(ax, grid, grid, ".0f" if percent else ".2f", light,
                     cmap="YlOrRd" if percent else "cividis", vmin=low, vmax=high)
    ax.set_xticks(range(grid.shape[1]), [f"{scale:g}" for scale in grid.columns])
    ax.set_yticks(range(grid.shape[0]), [f"{epsilon:g}" for epsilon in grid.index])
