"""Figures made of image panels: contact sheets, checkerboards, comparisons (Figures 0, 3, 4)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import SimpleITK as sitk
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgmif.cohort.manifest import Cohort, read_gtv
from pgmif.figures.colours import BLUE, GREY, GTV_COLOUR, REFERENCE_COLOUR
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure
from pgmif_core.images.modalities import CT_WINDOW_HU
from pgmif_core.images.patient import PatientSlices, largest_slice
from pgmif_core.images.slices import slice_grid
from pgmif_core.images.volumes import mask_on, resample
from pgmif_core.images.windows import windowed
from pgmif_core.methods.names import method_named

MOST_COLUMNS = 6
MOST_NAMES = 40  # of patients under one axis; of more every nth is named
RADIOLOGICAL = "patient's right on the left"


def _plain(axes, image: NDArray, title: str = "", limits: tuple[float, float] = (0, 1)) -> None:
    axes.imshow(image, vmin=limits[0], vmax=limits[1])
    axes.set_title(title, pad=2)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def outline(axes, mask: NDArray, colour: str, width: float = 0.8) -> None:
    """The contour of a mask (h, w), where it has one."""
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), [0.5], colors=[colour], linewidths=width)


@in_style
def contact_sheet(
    patients: Sequence[PatientSlices], modalities: Sequence[str], label: str
) -> Figure:
    """Every patient's largest tumour slice with a reference region in every modality, both outlined."""
    columns = min(5, len(patients))
    blocks = -(-len(patients) // columns)
    rows = blocks * len(modalities)
    figure, axes = new_figure(PAGE_INCHES, PAGE_INCHES / columns * rows, rows, columns)
    for ax in axes.flat:
        ax.axis("off")
    for number, patient in enumerate(patients):
        block, column = divmod(number, columns)
        k = patient.shown
        for m, modality in enumerate(modalities):
            ax = axes[block * len(modalities) + m, column]
            _plain(ax, patient.sources[k, m], f"{patient.subject} {modality}")
            outline(ax, patient.gtv[k], GTV_COLOUR)
            outline(ax, patient.reference[k], REFERENCE_COLOUR)
    name_cohort(figure, label, f"GTV orange, reference region blue; {RADIOLOGICAL}")
    return figure


@in_style
def raw_sheet(cohort: Cohort, subjects: Sequence[str], label: str) -> Figure:
    """Raw volumes as acquired: T2w at its largest tumour slice, and each modality at that place."""
    columns = min(5, len(subjects))
    modalities = cohort.modalities
    rows = -(-len(subjects) // columns) * len(modalities)
    figure, axes = new_figure(PAGE_INCHES, PAGE_INCHES / columns * rows * 1.12, rows, columns)
    for ax in axes.flat:
        ax.axis("off")
    for number, subject in enumerate(subjects):
        block, column = divmod(number, columns)
        t2w = cohort.image(subject, "T2w")
        space = cohort.value(subject, "gtv_space", "T2w")
        gtv = read_gtv(cohort, subject)
        grid = slice_grid(t2w)
        masks = mask_on(gtv, grid)
        k = largest_slice(masks)
        for m, modality in enumerate(modalities):
            image = windowed(cohort.image(subject, modality), modality)
            plane = sitk.GetArrayFromImage(resample(image, grid))[k]
            ax = axes[block * len(modalities) + m, column]
            darkest = CT_WINDOW_HU[0] if modality == "CT" else 0
            _plain(ax, plane, f"{subject} {modality}", (darkest, float(np.percentile(plane, 99.7))))
            if modality == space:
                outline(ax, masks[k], GTV_COLOUR)
    name_cohort(figure, label, f"before registration; GTV outlined; {RADIOLOGICAL}")
    return figure


@in_style
def registration_figure(
    panels: Mapping[str, tuple[NDArray, NDArray, NDArray]], table: pd.DataFrame, label: str
) -> Figure:
    """Per subject T2w, and checkerboards with T1w before and after; errors of all patients.

    `panels[subject]` = (T2w, T1w before, T1w after), each (h, w) in [0, 1].
    """
    known = "tre_after_median_mm" in table
    figure, axes = new_figure(PAGE_INCHES, 2.3 * len(panels) + 2.0, len(panels) + 1, 3)
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
        ("tre_before_median_mm", "tre_after_median_mm", "median target\nregistration error (mm)")
        if known else ("mi_before", "mi_after", "mutual information with T2w")
    )
    ax.plot(x, table[pairs[0]], "o", color=GREY, label="before", markersize=6, markerfacecolor="none")
    ax.plot(x, table[pairs[1]], "o", color=BLUE, label="after", markersize=4)
    if known:
        ax.axhline(1.0, color="k", linewidth=0.6, linestyle=":")
    ax.set_ylabel(pairs[2])
    named = slice(None, None, math.ceil(len(table) / MOST_NAMES))
    ax.set_xticks(x[named], table["subject"][named], rotation=90)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    name_cohort(figure, label)
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


@in_style
def comparison_figure(
    images: Mapping[str, NDArray], gtv: NDArray, subject: str, label: str
) -> Figure:
    """Figure 3: one slice under every method, the tumour enlarged below each. Fixed grey scale."""
    blocks = -(-len(images) // MOST_COLUMNS)
    columns = -(-len(images) // blocks)
    rows = 2 * blocks
    figure, axes = new_figure(PAGE_INCHES, PAGE_INCHES / columns * 1.09 * rows, rows, columns)
    box = _crop_around(gtv, 12)
    for ax in axes.flat:
        ax.axis("off")
    for number, (name, image) in enumerate(images.items()):
        block, column = divmod(number, columns)
        whole, enlarged = axes[2 * block, column], axes[2 * block + 1, column]
        _plain(whole, image, method_named(name).label)
        outline(whole, gtv, GTV_COLOUR, 0.6)
        _plain(enlarged, image[box])
    name_cohort(figure, label, f"{subject}, tumour enlarged, grey scale 0-1 in every panel")
    return figure


@in_style
def patients_figure(
    rows: Mapping[str, tuple[Mapping[str, NDArray], NDArray]], label: str
) -> Figure:
    """Figure 4: sources and PGMIF of several patients; `rows[subject]` = (images, gtv)."""
    count = len(next(iter(rows.values()))[0])
    figure, axes = new_figure(0.75 * PAGE_INCHES, 0.75 * PAGE_INCHES / count * len(rows) * 1.07,
                           len(rows), count)
    for row, (subject, (images, gtv)) in zip(axes, rows.items(), strict=True):
        for ax, (name, image) in zip(row, images.items(), strict=True):
            title = method_named(name).label
            _plain(ax, image, f"{subject} {title}")
            outline(ax, gtv, GTV_COLOUR, 0.6)
    name_cohort(figure, label, f"GTV outlined; {RADIOLOGICAL}")
    return figure


def checkerboard(first: NDArray, second: NDArray, tiles: int = 8) -> NDArray:
    """Alternate squares of two (h, w) images: edges continue where the images are aligned."""
    rows, columns = (np.arange(n) * tiles // n for n in first.shape)
    return np.where((rows[:, None] + columns) % 2, first, second)
