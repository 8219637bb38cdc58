"""Figure 5: a box per method, patients as points, the paper's median."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pgmif.figures.colours import KIND_COLOURS, KIND_WORDS, PRINTED_COLOUR, READING_COLOURS
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure
from pgmif_core.methods.names import NOT_IN_COMPARISON, method_named, ordered_methods
from pgmif_core.metrics.paper import NO_CHANGE


def _colour(name: str) -> str:
    """Of a method's kind; several sources side by side ("T1w + T2w") are sources."""
    return KIND_COLOURS["source" if " + " in name else method_named(name).kind]


@in_style
def boxplots(
    table: pd.DataFrame, values: Sequence[str], published: Sequence[pd.DataFrame],
    ylabels: Sequence[str], label: str, points: bool = True, no_change: bool = False,
    logarithmic: Sequence[str] = (),
) -> Figure:
    """Figure 5: one box per method (whiskers 1.5 IQR), patients as points, the paper's median.

    One panel per column in `values`, its axis logarithmic if in `logarithmic`; `published[i]` has
    columns method, median.
    """
    names = [n for n in ordered_methods(table["method"]) if n not in NOT_IN_COMPARISON]
    figure, axes = new_figure(PAGE_INCHES, 2.9 * len(values), len(values), 1)
    rng = np.random.default_rng(0)
    for ax, value, printed, ylabel in zip(axes[:, 0], values, published, ylabels, strict=True):
        groups = [table.loc[table["method"] == n, value].to_numpy() for n in names]
        boxes = ax.boxplot(groups, widths=0.6, showfliers=False, patch_artist=True,
                           medianprops={"color": "k"})
        for box, name in zip(boxes["boxes"], names, strict=True):
            box.set(facecolor=_colour(name), alpha=0.55, linewidth=0.8)
        if points:
            for x, group in enumerate(groups, start=1):
                ax.plot(x + rng.uniform(-0.16, 0.16, len(group)), group, ".", color="k",
                        markersize=3, alpha=0.6)
        medians = printed.set_index("method")["median"]
        paper = [(x, medians[n]) for x, n in enumerate(names, start=1) if n in medians]
        if paper:
            ax.plot(*zip(*paper, strict=True), "D", color=PRINTED_COLOUR, markersize=4,
                    markerfacecolor="none", label="median printed in the paper")
        if no_change:
            ax.axhline(NO_CHANGE, color="k", linewidth=0.7, linestyle="--",
                       label="no change, tanh(½)")
        elif table[value].min() < 0 < table[value].max():
            ax.axhline(0, color="k", linewidth=0.5)
        labels, many = [method_named(n).label for n in names], len(names) > 12
        ax.set_xticks(
            range(1, len(names) + 1), labels if many else [n.replace(" ", "\n") for n in labels],
            fontsize=6.5 if many else 7, rotation=35 if many else 0, ha="right" if many else "center",
            rotation_mode="anchor",
        )
        ax.set_ylabel(ylabel)
        if value in logarithmic:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False)
    name_cohort(figure, label, f"{table['subject'].nunique()} test patients\n{KIND_WORDS}")
    return figure


@in_style
def readings_figure(readings: pd.DataFrame, words: Mapping[str, str], label: str) -> Figure:
    """Median Q of every method under every reading, one panel per source, one mark per reading.

    `readings` has columns reading, reference, method, median; `words` says each reading in words.
    """
    names = [n for n in ordered_methods(readings["method"]) if n not in NOT_IN_COMPARISON]
    sources = readings["reference"].unique()
    figure, axes = new_figure(PAGE_INCHES, 0.19 * len(names) + 1.2, 1, len(sources), sharey=True)
    for ax, source in zip(axes[0], sources, strict=True):
        part = readings[readings["reference"] == source].set_index(["reading", "method"])["median"]
        for reading, marker, colour in zip(words, "osx+", READING_COLOURS, strict=True):
            ax.plot(part[reading][names], range(len(names)), marker, markersize=4, color=colour,
                    markerfacecolor="none", label=words[reading])
        ax.axvline(NO_CHANGE, color="k", linewidth=0.7, linestyle="--")
        ax.set_xlabel(f"median Q against {source}")
    axes[0, 0].set_yticks(range(len(names)), [method_named(n).label for n in names])
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    name_cohort(figure, label, "dashed: an unchanged image, tanh(½)")
    return figure
