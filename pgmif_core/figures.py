"""Every plot of the package in one style; each names its cohort and is saved with its numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import SimpleITK as sitk
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgmif_core.cohort import Cohort
from pgmif_core.evaluation import NOT_IN_COMPARISON, ordered_methods
from pgmif_core.images import read_image, resample
from pgmif_core.methods import METHODS
from pgmif_core.metrics import NO_CHANGE
from pgmif_core.slices import PatientSlices, slice_grid

# Okabe-Ito colours: told apart with any colour vision
KIND_COLOURS = {"source": "#7f7f7f", "learned": "#0072B2", "rule": "#E69F00", "control": "#CC79A7"}
GTV_COLOUR, REFERENCE_COLOUR = "#D55E00", "#56B4E9"
COLUMN_INCHES, PAGE_INCHES = 3.5, 7.2
STYLE = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "axes.spines.top": False,
    "axes.spines.right": False, "image.cmap": "gray", "image.interpolation": "nearest",
    "pdf.fonttype": 42, "svg.hashsalt": "pgmif", "lines.linewidth": 1.2,
}


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **grid):
    with mpl.rc_context(STYLE):
        return plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **grid
        )


def _name_cohort(figure: Figure, label: str, note: str = "") -> None:
    figure.supxlabel(f"{label}{': ' + note if note else ''}", fontsize=7, color="#444444")


def save_figure(
    figure: Figure, folder: Path, name: str, data: pd.DataFrame | None = None, dpi: int = 200
) -> Path:
    """Save <name>.png, <name>.pdf (vector) and, of plotted numbers, <name>.csv; returns the PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {})):
            temporary = folder / f".{name}{suffix}"
            figure.savefig(temporary, dpi=dpi, metadata=metadata)
            temporary.replace(folder / f"{name}{suffix}")
    if data is not None:
        data.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    return folder / f"{name}.png"


def _plain(axes, image: NDArray, title: str = "", limits: tuple[float, float] = (0, 1)) -> None:
    axes.imshow(image, vmin=limits[0], vmax=limits[1])
    axes.set_title(title, pad=2)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def _outline(axes, mask: NDArray, colour: str, width: float = 0.8) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), [0.5], colors=[colour], linewidths=width)


def largest_slice(patient: PatientSlices) -> int:
    """The slice with the most tumour."""
    return int(np.argmax(patient.gtv.sum(axis=(1, 2))))


def contact_sheet(
    patients: Sequence[PatientSlices], modalities: Sequence[str], label: str
) -> Figure:
    """Every patient's largest tumour slice in every modality, GTV and reference outlined."""
    columns = min(5, len(patients))
    blocks = -(-len(patients) // columns)
    rows = blocks * len(modalities)
    figure, axes = _figure(PAGE_INCHES, PAGE_INCHES / columns * rows, rows, columns)
    for ax in axes.flat:
        ax.axis("off")
    for number, patient in enumerate(patients):
        block, column = divmod(number, columns)
        k = largest_slice(patient)
        for m, modality in enumerate(modalities):
            ax = axes[block * len(modalities) + m, column]
            _plain(ax, patient.sources[k, m], f"{patient.subject} {modality}")
            _outline(ax, patient.gtv[k], GTV_COLOUR)
            _outline(ax, patient.reference[k], REFERENCE_COLOUR)
    _name_cohort(figure, label, "GTV orange, reference region blue")
    return figure


def raw_sheet(cohort: Cohort, subjects: Sequence[str], label: str) -> Figure:
    """Raw volumes as acquired: T2w at its largest tumour slice, and each modality at that place."""
    columns = min(5, len(subjects))
    modalities = cohort.modalities
    rows = -(-len(subjects) // columns) * len(modalities)
    figure, axes = _figure(PAGE_INCHES, PAGE_INCHES / columns * rows * 1.12, rows, columns)
    for ax in axes.flat:
        ax.axis("off")
    for number, subject in enumerate(subjects):
        block, column = divmod(number, columns)
        t2w = read_image(cohort.file(subject, "T2w"))
        space = cohort.value(subject, "gtv_space", "T2w")
        gtv = read_image(cohort.file(subject, "gtv"))
        masks = sitk.GetArrayFromImage(resample(gtv, t2w, nearest=True)) > 0
        k = int(np.argmax(masks.sum(axis=(1, 2))))
        grid = slice_grid(t2w)
        mask = sitk.GetArrayFromImage(resample(gtv, grid, nearest=True))[k] > 0
        for m, modality in enumerate(modalities):
            image = read_image(cohort.file(subject, modality))
            plane = sitk.GetArrayFromImage(resample(image, grid))[k]
            ax = axes[block * len(modalities) + m, column]
            _plain(ax, plane, f"{subject} {modality}", (0, float(np.percentile(plane, 99.7))))
            if modality == space:
                _outline(ax, mask, GTV_COLOUR)
    _name_cohort(figure, label, "as acquired, before registration; GTV outlined")
    return figure


def claims_figure(claims: pd.DataFrame, label: str) -> Figure:
    """The claims as a table: printed, here, verdict (in words as well as colour)."""
    colours = {"holds": "#009E73", "not reproduced": "#D55E00", "cannot be tested": "#666666"}
    figure, axes = _figure(PAGE_INCHES, 0.19 * len(claims) + 0.6)
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
    _name_cohort(figure, label)
    return figure


def checkerboard(first: NDArray, second: NDArray, tiles: int = 8) -> NDArray:
    """Alternate squares of two (h, w) images: edges continue where the images are aligned."""
    rows, columns = (np.arange(n) * tiles // n for n in first.shape)
    return np.where((rows[:, None] + columns) % 2, first, second)


def registration_figure(
    panels: Mapping[str, tuple[NDArray, NDArray, NDArray]], table: pd.DataFrame, label: str
) -> Figure:
    """Per subject T2w, and checkerboards with T1w before and after; errors of all patients.

    `panels[subject]` = (T2w, T1w before, T1w after), each (h, w) in [0, 1].
    """
    known = "tre_after_median_mm" in table
    figure, axes = _figure(PAGE_INCHES, 2.3 * len(panels) + 2.0, len(panels) + 1, 3)
    for row, (subject, (t2w, before, after)) in zip(axes, panels.items(), strict=False):
        _plain(row[0], t2w, f"{subject} T2w")
        _plain(row[1], checkerboard(t2w, before), "T1w / T2w before")
        _plain(row[2], checkerboard(t2w, after), "T1w / T2w after")
    grid = axes[-1, 0].get_gridspec()
    for ax in axes[-1]:
        ax.remove()
    ax = figure.add_subplot(grid[-1, :])
    x = np.arange(len(table))
    pairs = (
        ("tre_before_median_mm", "tre_after_median_mm", "median target registration error (mm)")
        if known else ("mi_before", "mi_after", "mutual information with T2w")
    )
    ax.plot(x, table[pairs[0]], "o", color="#7f7f7f", label="before", markersize=4)
    ax.plot(x, table[pairs[1]], "o", color="#0072B2", label="after", markersize=4)
    if known:
        ax.axhline(1.0, color="k", linewidth=0.6, linestyle=":")
    ax.set_ylabel("\n".join(pairs[2].rsplit(" ", 2 if known else 1)) if len(pairs[2]) > 30
                  else pairs[2])
    ax.set_xticks(x, table["subject"], rotation=90)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, ncols=2)
    _name_cohort(figure, label)
    return figure


def training_curves(history: pd.DataFrame, validation: pd.DataFrame, title: str, label: str) -> Figure:
    """Loss terms per iteration (thin) with their running mean, and validation patients' scores."""
    figure, axes = _figure(PAGE_INCHES, 2.4, 1, 3)
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
    scores.set_title("validation patients")
    scores.set_ylim(0, 1.05)
    if len(validation):
        scores.legend(frameon=False)
    for ax in axes[0]:
        ax.set_xlabel("iteration")
    figure.suptitle(title, fontsize=9)
    _name_cohort(figure, label)
    return figure


def _crop_around(mask: NDArray, margin: int) -> tuple[slice, slice]:
    """A square box around a mask, inside the image."""
    rows, columns = np.nonzero(mask)
    half = max(np.ptp(rows), np.ptp(columns)) // 2 + margin
    limits = []
    for values, size in ((rows, mask.shape[0]), (columns, mask.shape[1])):
        side = min(2 * half, size)
        low = int(np.clip((values.min() + values.max()) // 2 - half, 0, size - side))
        limits.append(slice(low, low + side))
    return limits[0], limits[1]


def comparison_figure(
    images: Mapping[str, NDArray], gtv: NDArray, subject: str, label: str
) -> Figure:
    """Figure 3: one slice under every method, the tumour enlarged below each. Fixed grey scale."""
    columns = -(-len(images) // 2)
    figure, axes = _figure(PAGE_INCHES, PAGE_INCHES / columns * 4.35, 4, columns)
    box = _crop_around(gtv, 12)
    for ax in axes.flat:
        ax.axis("off")
    for number, (name, image) in enumerate(images.items()):
        block, column = divmod(number, columns)
        whole, enlarged = axes[2 * block, column], axes[2 * block + 1, column]
        _plain(whole, image, METHODS[name].label)
        _outline(whole, gtv, GTV_COLOUR, 0.6)
        _plain(enlarged, image[box])
    _name_cohort(figure, label, f"{subject}, tumour enlarged, grey scale 0-1 in every panel")
    return figure


def patients_figure(
    rows: Mapping[str, tuple[Mapping[str, NDArray], NDArray]], label: str
) -> Figure:
    """Figure 4: sources and PGMIF of several patients; `rows[subject]` = (images, gtv)."""
    count = len(next(iter(rows.values()))[0])
    figure, axes = _figure(0.75 * PAGE_INCHES, 0.75 * PAGE_INCHES / count * len(rows) * 1.07,
                           len(rows), count)
    for row, (subject, (images, gtv)) in zip(axes, rows.items(), strict=True):
        for ax, (name, image) in zip(row, images.items(), strict=True):
            title = METHODS[name].label if name in METHODS else name
            _plain(ax, image, f"{subject} {title}")
            _outline(ax, gtv, GTV_COLOUR, 0.6)
    _name_cohort(figure, label, "GTV outlined")
    return figure


def boxplots(
    table: pd.DataFrame, values: Sequence[str], published: Sequence[pd.DataFrame],
    ylabels: Sequence[str], label: str, points: bool = True, no_change: bool = False,
) -> Figure:
    """Figure 5: one box per method (whiskers 1.5 IQR), patients as points, the paper's median.

    One panel per column in `values`; `published[i]` has columns method, median.
    """
    names = [n for n in ordered_methods(table["method"]) if n not in NOT_IN_COMPARISON]
    figure, axes = _figure(PAGE_INCHES, 2.9 * len(values), len(values), 1)
    rng = np.random.default_rng(0)
    for ax, value, printed, ylabel in zip(axes[:, 0], values, published, ylabels, strict=True):
        groups = [table.loc[table["method"] == n, value].to_numpy() for n in names]
        boxes = ax.boxplot(groups, widths=0.6, showfliers=False, patch_artist=True,
                           medianprops={"color": "k"})
        for box, name in zip(boxes["boxes"], names, strict=True):
            box.set(facecolor=KIND_COLOURS[METHODS[name].kind], alpha=0.55, linewidth=0.8)
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
        else:
            ax.axhline(0, color="k", linewidth=0.5)
        ax.set_xticks(range(1, len(names) + 1),
                      [METHODS[n].label.replace(" ", "\n") for n in names])
        ax.set_ylabel(ylabel)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False)
    kinds = "sources grey, learned blue, rules orange, controls pink"
    _name_cohort(figure, label, f"{table['subject'].nunique()} test patients; {kinds}")
    return figure
