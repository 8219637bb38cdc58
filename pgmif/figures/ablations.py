"""Figures of one decision varied (09), and of the ideas of PGMIF+ (03)."""

from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pgmif.figures.colours import KIND_COLOURS
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure
from pgmif_core.evaluation.statistics import quartiles
from pgmif_core.methods.names import method_named, ordered_methods
from pgmif_core.metrics.paper import NO_CHANGE

LINES = ("-", "--", "-.", ":", (0, (1, 3)))


def _measures(table: pd.DataFrame) -> list[str]:
    return ["cnr", *[c for c in table if c.startswith("q_")]]


def _title(measure: str) -> str:
    if measure == "cnr":
        return "tumour CNR"
    name = measure.removeprefix("q_")
    return f"Q against {method_named(name).label}"


@in_style
def ablation_figure(
    table: pd.DataFrame, xlabel: str, in_force: float | None, label: str, logarithmic: bool = False,
    untouched: pd.DataFrame | None = None,
) -> Figure:
    """CNR and Q against the values of one decision: medians with quartiles over test patients.

    `table` as from `ablations.ablation_table`; a dotted line marks the value in force. `untouched`
    (columns method, measures) adds the medians of untouched sources as level lines. `logarithmic`
    sets the values side by side at equal distances.
    """
    measures = _measures(table)
    figure, axes = new_figure(PAGE_INCHES, 2.7, 1, len(measures))
    values = sorted(table["value"].unique())
    place = dict(zip(values, values if not logarithmic else range(len(values)), strict=True))
    for ax, measure in zip(axes[0], measures, strict=True):
        drawn = Counter[str]()  # by colour: methods of one colour differ in their lines
        for method in ordered_methods(table["method"]):
            part = table[table["method"] == method].groupby("value")[measure]
            low, middle, high = np.array([quartiles(v) for _, v in part]).T
            x = [place[v] for v in part.groups]
            colour = KIND_COLOURS[method_named(method).kind]
            ax.plot(x, middle, color=colour, linestyle=LINES[drawn[colour] % len(LINES)], marker="o",
                    markersize=3, label=method_named(method).label)
            drawn[colour] += 1
            ax.fill_between(x, low, high, color=colour, alpha=0.10, linewidth=0)
        if untouched is not None:
            for _, row in untouched.iterrows():
                ax.axhline(row[measure], color=KIND_COLOURS["source"], linewidth=0.8,
                           linestyle="--" if row["method"] == "t2w" else "-",
                           label=f"{method_named(row['method']).label} untouched")
        if measure != "cnr":
            ax.axhline(NO_CHANGE, color="k", linewidth=0.5, linestyle=":")
        if in_force in place:
            ax.axvline(place[in_force], color="k", linewidth=0.6, linestyle=":")
        ax.set_xticks([place[v] for v in values], [f"{v:g}" for v in values])
        ax.set_title(_title(measure))
    axes[0, len(measures) // 2].set_xlabel(xlabel)  # once: under every panel, long ones would meet
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False,
                  fontsize=6.5)
    count = table["subject"].nunique()
    name_cohort(figure, label, f"median and quartiles of {count} test patients; dotted: in force")
    return figure


@in_style
def ideas_figure(table: pd.DataFrame, label: str) -> Figure:
    """What each idea of PGMIF+ is worth: CNR, Q and tissue cut off without it, on patients left out.

    `table` as from `plus_development.ideas_table`: one row per idea and training patient.
    """
    ideas = list(dict.fromkeys(table["idea"]))
    measures = {"cnr_ratio": "CNR : better source", "q_t1w": "Q against T1w",
                "q_t2w": "Q against T2w", "cut": "tissue cut off"}
    figure, axes = new_figure(PAGE_INCHES, 0.28 * len(ideas) + 0.9, 1, len(measures), sharey=True)
    rng = np.random.default_rng(0)
    for ax, (measure, title) in zip(axes[0], measures.items(), strict=True):
        groups = [table.loc[table["idea"] == i, measure].to_numpy() for i in ideas]
        boxes = ax.boxplot(groups, vert=False, widths=0.6, showfliers=False, patch_artist=True,
                           medianprops={"color": "k"})
        for k, (box, group) in enumerate(zip(boxes["boxes"], groups, strict=True)):
            box.set(facecolor=KIND_COLOURS["fitted" if k == 0 else "source"], alpha=0.5, linewidth=0.8)
            ax.plot(group, k + 1 + rng.uniform(-0.16, 0.16, len(group)), ".", color="k", markersize=3,
                    alpha=0.6)
        ax.axvline(np.median(groups[0]), color=KIND_COLOURS["fitted"], linewidth=0.7, linestyle=":")
        ax.set_title(title)
    axes[0, 0].set_yticks(range(1, len(ideas) + 1), ideas)
    axes[0, 0].invert_yaxis()
    count = table["subject"].nunique()
    name_cohort(figure, label, f"{count} training patients, each under shares fitted without it; "
                "dotted: median of PGMIF+")
    return figure
