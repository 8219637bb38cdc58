"""The map of training lengths as figures: what `make study NAME=length` draws."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgmif.figures.colours import BLUE, GREEN, ORANGE, PINK, PURPLE, SKY, VERMILION
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure
from pgmif_core.methods.names import method_named, ordered_methods

SHOWN = {"cnr": "CNR", "q_t2w": "Q against T2w", "ssim_t2w": "SSIM to T2w"}
SEVERAL = 3  # recipes that make a figure of their own
COLOURS = (PURPLE, PINK, BLUE, SKY, GREEN, ORANGE, VERMILION)


def length_figures(
    table: pd.DataFrame, t2w: Mapping[str, float], label: str, recipes: Sequence[str]
) -> dict[str, Figure]:
    """The map of PGMIF, "figure_length"; "figure_length_recipes" where it was trained by three of
    `recipes` or more, which give the order; "figure_length_methods" of other methods.

    `table` as `length.gathered` gives it; drawn is the running mean of the generator, not annealed.
    """
    table = table[table["averaged"] & ~table["annealed"]]
    own, others = (table[which] for which in (table["method"] == "pgmif", table["method"] != "pgmif"))
    figures = {}
    if len(own):
        mapped = own.groupby("recipe").filter(lambda rows: rows["epsilon"].nunique() > 1)
        figures["figure_length"] = map_figure(mapped if len(mapped) else own, t2w, label)
        alike = own.groupby(["epsilon", "scale"])["recipe"].nunique()
        if alike.max() >= SEVERAL:
            epsilon, scale = alike.idxmax()
            same = own[(own["epsilon"] == epsilon) & (own["scale"] == scale)]
            figures["figure_length_recipes"] = recipes_figure(same, t2w, label, recipes)
    if len(others):
        figures["figure_length_methods"] = methods_figure(others, t2w, label)
    return figures


@in_style
def map_figure(own: pd.DataFrame, t2w: Mapping[str, float], label: str) -> Figure:
    """Medians over patients left out against iterations: a column per ε, a colour per balance, a block
    of rows per recipe.

    Every seed is a thin line, the median of them a thick one. Dashed: T2w untouched.
    """
    epsilons, recipes = sorted(own["epsilon"].unique()), list(own["recipe"].unique())
    colours = dict(zip(sorted(own["scale"].unique()), COLOURS, strict=False))
    rows = len(SHOWN) * len(recipes)
    figure, axes = new_figure(PAGE_INCHES, 1.15 * rows + 0.9, rows, len(epsilons), sharex=True)
    for k, recipe in enumerate(recipes):
        for row, (measure, words) in zip(axes[k * len(SHOWN):], SHOWN.items(), strict=False):
            for ax, epsilon in zip(row, epsilons, strict=True):
                part = own[(own["epsilon"] == epsilon) & (own["recipe"] == recipe)]
                ax.set_visible(len(part) > 0)
                for scale, of_scale in part.groupby("scale"):
                    _lines(ax, of_scale, measure, colours[scale], f"{scale:g}")
                if measure in t2w:
                    ax.axhline(t2w[measure], color="k", linestyle="--", linewidth=0.7)
                ax.set_ylim(*_limits(own, measure))
            row[0].set_ylabel(words)
        for ax, epsilon in zip(axes[k * len(SHOWN)], epsilons, strict=True):
            ax.set_title(f"ε = {epsilon:g}, {recipe}")
    handles = {name: handle for ax in axes.flat for handle, name in
               zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend([handles[f"{scale:g}"] for scale in colours], [f"{scale:g}" for scale in colours],
                  title="gradient term : adversarial terms", ncols=len(colours),
                  loc="outside upper center", frameon=False)
    name_cohort(figure, label, f"iterations; {_words(own)}")
    return figure


@in_style
def recipes_figure(
    same: pd.DataFrame, t2w: Mapping[str, float], label: str, recipes: Sequence[str]
) -> Figure:
    """One ε and one balance, a column per recipe: what each measure against circling does."""
    shown = [recipe for recipe in recipes if (same["recipe"] == recipe).any()]
    figure, axes = new_figure(PAGE_INCHES, 1.3 * len(SHOWN) + 0.7, len(SHOWN), len(shown), sharex=True)
    for row, (measure, words) in zip(axes, SHOWN.items(), strict=True):
        for ax, recipe in zip(row, shown, strict=True):
            _lines(ax, same[same["recipe"] == recipe], measure, BLUE, recipe)
            if measure in t2w:
                ax.axhline(t2w[measure], color="k", linestyle="--", linewidth=0.7)
            ax.set_ylim(*_limits(same, measure))
        row[0].set_ylabel(words)
    for ax, recipe in zip(axes[0], shown, strict=True):
        ax.set_title(recipe)
    figure.suptitle(f"PGMIF, ε = {same['epsilon'].iloc[0]:g}, gradient term : adversarial terms "
                    f"{same['scale'].iloc[0]:g}", fontsize=9)
    name_cohort(figure, label, f"iterations; {_words(same)}")
    return figure


@in_style
def methods_figure(others: pd.DataFrame, t2w: Mapping[str, float], label: str) -> Figure:
    """The same of the other methods, a column each, a colour per balance and recipe."""
    methods = ordered_methods(others["method"].unique())
    figure, axes = new_figure(PAGE_INCHES, 1.3 * len(SHOWN) + 0.9, len(SHOWN), len(methods),
                              sharex=True)
    for row, (measure, words) in zip(axes, SHOWN.items(), strict=True):
        for ax, method in zip(row, methods, strict=True):
            of_method = others[others["method"] == method].groupby(["scale", "recipe"])
            for colour, ((scale, recipe), part) in zip(COLOURS[2:], of_method, strict=False):
                _lines(ax, part, measure, colour, f"{scale:.2g}, {recipe}")
            if measure in t2w:
                ax.axhline(t2w[measure], color="k", linestyle="--", linewidth=0.7)
        row[0].set_ylabel(words)
    for ax, method in zip(axes[0], methods, strict=True):
        ax.set_title(method_named(method).label)
        ax.legend(frameon=False, fontsize=6)
    name_cohort(figure, label, f"iterations; {_words(others)}")
    return figure


def _lines(ax: Axes, part: pd.DataFrame, measure: str, colour: str, name: str) -> None:
    for _, line in part.groupby(["seed", "scale", "epsilon"]):
        ax.semilogx(line["iterations"], line[measure], color=colour, linewidth=0.5, alpha=0.6)
    middle = part.groupby("iterations")[measure].median()
    ax.semilogx(middle.index, middle, "o-", color=colour, markersize=2.5, label=name)


def _limits(table: pd.DataFrame, measure: str) -> Sequence[float]:
    """One scale for all panels of a measure, which a few wild trainings do not set."""
    low, high = table[measure].quantile([0.01, 0.99])
    margin = 0.08 * (high - low) or 0.1
    return low - margin, high + margin


def _words(table: pd.DataFrame) -> str:
    patients, seeds = int(table["patients"].max()), table["seed"].nunique()
    return (f"medians over {patients} training patients left out, {seeds} "
            f"seed{'s' if seeds > 1 else ''} (thin) and their median; dashed: T2w untouched")
