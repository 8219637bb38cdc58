"""Every plot of the package in one style; each names its cohort and is saved with its numbers."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator

from pgmif_core.evaluation.frontier import curves, median_ellipse
from pgmif_core.evaluation.statistics import SMALLEST_BOOTSTRAP
from pgmif_core.files import replacing
from pgmif_core.methods.registry import NOT_IN_COMPARISON, method_named, ordered_methods
from pgmif_core.metrics.paper import NO_CHANGE
from pgmif_core.metrics.standard import FUSION_METRICS

# Okabe-Ito colours: told apart with any colour vision
KIND_COLOURS = {
    "source": "#7f7f7f", "learned": "#0072B2", "fitted": "#882255", "rule": "#E69F00",
    "classical": "#009E73", "control": "#CC79A7", "outside": "#56B4E9",
}
KIND_WORDS = ("sources grey, learned blue, PGMIF+ purple, rules of the paper orange, classical green, "
              "controls pink, outside light blue")
STYLE_VARIABLE = "PGMIF_STYLE"  # names a style file of your own, applied over ours
MARKERS = "osD^v<>P*Xph8d"
PAGE_INCHES = 7.2
SHOWN_DPI = 110  # in notebooks


def style_values(own: str | None = None) -> dict[str, Any]:
    """matplotlib's settings from figures.mplstyle, then those of the style file `own`.

    Raises ValueError where that file is not there, or holds a name that matplotlib does not know.
    """
    values = dict(mpl.rc_params_from_file(Path(__file__).with_name("figures.mplstyle"), False, False))
    if not own:
        return values
    path = Path(own)
    if not path.is_file():
        raise ValueError(f"{STYLE_VARIABLE}={own}: expected a matplotlib style file, found none")
    known = {line.split(":")[0].strip() for line in path.read_text().splitlines() if ":" in line
             and not line.lstrip().startswith("#")}
    unknown = sorted(known - set(mpl.rcParams))
    if unknown:
        raise ValueError(f"{STYLE_VARIABLE}={own}: matplotlib does not know {', '.join(unknown)}")
    return values | dict(mpl.rc_params_from_file(path, False, False))


# decorates every function that draws: text, lines and images take their style when they are made
in_style = mpl.rc_context(style_values(os.environ.get(STYLE_VARIABLE)))


class PageFigure(Figure):
    """A figure that notebooks show once whatever matplotlib's backend: pyplot does not know of it."""

    @in_style
    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, dpi=SHOWN_DPI)
        return buffer.getvalue()


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **grid):
    """Figure and 2-D array of axes; sizes in inches."""
    figure = PageFigure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def name_cohort(figure: Figure, label: str, note: str = "") -> None:
    """Write the cohort, and a note, under a figure."""
    figure.supxlabel(f"{label}{': ' + note if note else ''}", fontsize=7, color="#444444", wrap=True)


@in_style
def save_figure(
    figure: Figure, folder: Path, name: str, data: pd.DataFrame | None = None, dpi: int = 200
) -> Path:
    """Save <name>.png, <name>.pdf (vector) and, of plotted numbers, <name>.csv; returns the PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {})):
        with replacing(folder / f"{name}{suffix}") as temporary:
            figure.savefig(temporary, dpi=dpi, metadata=metadata)
    if data is not None:
        with replacing(folder / f"{name}.csv") as temporary:
            data.to_csv(temporary, index=False, float_format="%.6g")
    return folder / f"{name}.png"


@in_style
def claims_figure(claims: pd.DataFrame, label: str) -> Figure:
    """The claims as a table: printed, here, verdict (in words as well as colour)."""
    colours = {"holds": "#009E73", "not reproduced": "#D55E00", "cannot be tested": "#666666"}
    figure, axes = new_figure(PAGE_INCHES, 0.19 * len(claims) + 0.6)
    ax = axes[0, 0]
    ax.axis("off")
    shown = claims[["claim", "paper", "here", "verdict"]]
    table = ax.table(shown.to_numpy(), colLabels=list(shown), loc="center", cellLoc="left",
                     colWidths=[0.46, 0.19, 0.17, 0.18])
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    for (row, column), cell in table.get_celld().items():
        cell.set_linewidth(0.3)
        cell.set_edgecolor("#bbbbbb")
        if row == 0:
            cell.set_text_props(weight="bold")
        elif column == 3:
            cell.set_text_props(color=colours[claims["verdict"].iloc[row - 1]], weight="bold")
    name_cohort(figure, label)
    return figure


@in_style
def training_curves(history: pd.DataFrame, validation: pd.DataFrame, title: str, label: str) -> Figure:
    """Loss terms per iteration (thin) with their running mean, and validation patients' scores."""
    figure, axes = new_figure(PAGE_INCHES, 2.4, 1, 3)
    smooth = history.rolling(max(1, len(history) // 25), min_periods=1).mean()
    content, adversarial, scores = axes[0]
    content.plot(history["iteration"], history["content"], color="#0072B2", alpha=0.25)
    content.plot(smooth["iteration"], smooth["content"], color="#0072B2")
    content.set_title("content term")
    for name, colour in (("adversarial", "#D55E00"), ("discriminator", "#009E73")):
        adversarial.plot(history["iteration"], history[name], color=colour, alpha=0.2)
        adversarial.plot(smooth["iteration"], smooth[name], color=colour, label=name)
    adversarial.set_title("adversarial terms")
    adversarial.legend(frameon=False)
    shown = {
        "alignment_t2w": "alignment with T2w", "ssim_t2w": "SSIM to T2w",
        "q_t1w": "Q against T1w", "q_t2w": "Q against T2w",
    }
    for (name, text), colour in zip(
        shown.items(), ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), strict=True
    ):
        if name in validation:
            scores.plot(validation["iteration"], validation[name], "o-", color=colour,
                        label=text, markersize=3)
    for iteration in validation.loc[validation["kept"], "iteration"] if "kept" in validation else ():
        scores.axvline(iteration, color="k", linewidth=0.7, linestyle=":", label="weights kept")
    scores.set_title("validation patients, median")
    scores.set_ylim(bottom=0)
    if len(validation):
        scores.legend(frameon=False, loc="lower right", fontsize=6, labelspacing=0.2)
    for ax in axes[0]:
        ax.set_xlabel("iteration")
    figure.suptitle(title, fontsize=9)
    name_cohort(figure, label)
    return figure


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
            ax.plot(*zip(*paper, strict=True), "D", color="#D55E00", markersize=4,
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
    shades = dict(zip(sources, ("#444444", "#999999", "#8c6d31", "#7b4173", "#31a354", "#756bb1"),
                      strict=False))
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
    ax.imshow(ranks, cmap="Blues_r", aspect="auto", vmin=1, vmax=1.6 * len(names))
    for (row, column), value in np.ndenumerate(medians.to_numpy()):
        light = ranks.iloc[row, column] < 0.35 * len(names)
        ax.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=6,
                color="white" if light else "black")
    arrows = ["↑" if sign > 0 else "↓" for sign in signs]
    ax.set_xticks(range(medians.shape[1]),
                  [f"{n} {a}" for n, a in zip(medians, arrows, strict=True)], rotation=40, ha="left")
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(names)), [method_named(n).label for n in names])
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    name_cohort(figure, label, "medians over test patients; dark: best rank of the column")
    return figure
