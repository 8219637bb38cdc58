"""CNR against Q over what trivial filters reach, and the standard metrics as ranks."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from pgmif.figures.colours import GREEN, GREY, KIND_COLOURS, RANK_MAP, SOURCE_SHADES, VERMILION
from pgmif.figures.style import PAGE_INCHES, coloured_numbers, in_style, name_cohort, new_figure
from pgmif_core.evaluation.frontier import curves, median_ellipse
from pgmif_core.evaluation.statistics import SMALLEST_BOOTSTRAP
from pgmif_core.methods.names import NOT_IN_COMPARISON, method_named, ordered_methods
from pgmif_core.metrics.paper import NO_CHANGE
from pgmif_core.metrics.standard import FUSION_METRICS

MARKERS = "osD^v<>P*Xph8d"


def _draw_method(ax, values: np.ndarray, marker: str, colour: str, label: str) -> None:
    """Patients faint, their median, and the 95 % ellipse of bootstrapped medians."""
    middle = np.median(values, axis=0)
    ax.plot(*values.T, marker, color=colour, markersize=2.5, alpha=0.25, markeredgewidth=0)
    ellipse = median_ellipse(values)
    if ellipse:
        width, height, angle = ellipse
        ax.add_patch(Ellipse(middle, width, height, angle=angle, color=colour, alpha=0.10, linewidth=0))
    ax.plot(*middle, marker, color=colour, markersize=6, markeredgecolor="k", markeredgewidth=0.5,
            label=label, linestyle="none")


@in_style
def frontier_figure(
    measures: pd.DataFrame, trivial: pd.DataFrame, standing: pd.DataFrame, label: str
) -> Figure:
    """CNR against Q of every method over the curves that trivial filters of the sources trace.

    `measures`, `trivial`, `standing` as in `frontier.standing_table`. One panel per Q. Methods whose
    median lies above the curves in at least 95 % of resampled patient groups carry a star.
    """
    names = [n for n in ordered_methods(measures["method"]) if n not in NOT_IN_COMPARISON]
    columns = [c for c in measures if c.startswith("q_")]
    medians = curves(trivial)
    figure, axes = new_figure(PAGE_INCHES, 4.6, 1, len(columns), sharey=True)
    sources = list(dict.fromkeys(["T2w", *medians["source"]]))
    shades = dict(zip(sources, SOURCE_SHADES, strict=False))
    for ax, q in zip(axes[0], columns, strict=True):
        for (source, family), curve in medians.groupby(["source", "family"]):
            style = {"filtered": "-", "stretched": ":"}[family]
            word = {"filtered": "blurred … sharpened", "stretched": "stretched"}[family]
            ax.plot(curve[q], curve["cnr"], style, color=shades[source], linewidth=1.3, zorder=1,
                    label=f"{source} {word}")
        verdicts = standing[standing["against"] == q].set_index("method")["verdict"]
        of_kind: dict[str, int] = {}
        for name in names:
            method = method_named(name)
            marker = MARKERS[of_kind.setdefault(method.kind, 0) % len(MARKERS)]
            of_kind[method.kind] += 1
            values = measures.loc[measures["method"] == name, [q, "cnr"]].to_numpy()
            _draw_method(ax, values, marker, KIND_COLOURS[method.kind], method.label)
            if verdicts[name] == "above":
                ax.annotate("★", np.median(values, axis=0), xytext=(4, 3), fontsize=8,
                            textcoords="offset points")
        ax.axvline(NO_CHANGE, color="k", linewidth=0.5, linestyle="--")
        ax.set_xlabel(f"Q against {method_named(q.removeprefix('q_')).label}")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, fontsize=6, ncols=5,
                  loc="outside upper center", columnspacing=1.0, handletextpad=0.3)
    axes[0, 0].set_ylabel("tumour CNR")
    shown = measures[measures["method"].isin(names)]
    middle = shown.groupby("method")["cnr"].median()
    low, high = np.percentile(shown["cnr"], [2, 98])
    low, high = min(low, middle.min()), max(high, middle.max())
    axes[0, 0].set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    count = measures["subject"].nunique()
    what = "medians with 95 % bootstrap ellipse" if count >= SMALLEST_BOOTSTRAP else "medians"
    name_cohort(figure, label, f"{count} test patients (faint), {what}; ★: above the solid curves in "
                "95 % of resampled groups")
    return figure


@in_style
def metrics_figure(medians: pd.DataFrame, label: str) -> Figure:
    """Standard metrics: rank of every method (1 best) in colour, its median as text.

    `medians`: one row per method, one column per metric of FUSION_METRICS.
    """
    names = [n for n in medians.index if n not in NOT_IN_COMPARISON]
    medians = medians.loc[names]
    signs = [1 if FUSION_METRICS[n].higher_is_better else -1 for n in medians]
    ranks = (medians * signs).rank(ascending=False)
    figure, axes = new_figure(PAGE_INCHES, 0.21 * len(medians) + 0.9)
    ax = axes[0, 0]
    coloured_numbers(ax, ranks, medians, ".3g", ranks < 0.35 * len(names),
                     cmap=RANK_MAP, vmin=1, vmax=1.6 * len(names))
    arrows = ["↑" if sign > 0 else "↓" for sign in signs]
    ax.set_xticks(range(medians.shape[1]),
                  [f"{n} {a}" for n, a in zip(medians, arrows, strict=True)], rotation=40, ha="left")
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(names)), [method_named(n).label for n in names])
    name_cohort(figure, label, "medians over test patients; dark: best rank of the column")
    return figure


@in_style
def gain_figure(summary: pd.DataFrame, limit: float, label: str) -> Figure:
    """CNR of every method fed with all sources beside the same method fed with one of them alone.

    `summary` as from `gain.gain_summary`; `limit`: the median CNR of the best linear mix.
    """
    summary = summary[~summary["method"].isin(NOT_IN_COMPARISON)]
    figure, axes = new_figure(PAGE_INCHES, 0.19 * len(summary) + 1.1)
    ax, places = axes[0, 0], range(len(summary))
    alone = [c for c in summary if c.endswith("_alone")]
    best = summary[alone].max(axis=1)
    for y, one, both, gain in zip(places, best, summary["cnr"], summary["gain"], strict=True):
        ax.plot([one, both], [y, y], color=GREEN if gain > 0 else VERMILION, linewidth=1.5, zorder=1)
    ax.plot(summary["cnr"], places, "o", color="k", markersize=4.5, label="all sources")
    for column, marker in zip(alone, "<>^v", strict=False):
        source = method_named(column.removeprefix("cnr_").removesuffix("_alone")).label
        ax.plot(summary[column], places, marker, color=GREY, markersize=4, markerfacecolor="none",
                label=f"{source} in every place")
    ax.axvline(limit, color="k", linestyle="--", linewidth=0.7, label="best linear mix, contour known")
    ax.set_yticks(places, summary["label"])
    ax.invert_yaxis()
    ax.set_xlabel("median CNR")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=6.5)
    name_cohort(figure, label, "green where, in the median patient, fusing adds contrast to what the "
                "method makes of one source; orange where it costs some")
    return figure
