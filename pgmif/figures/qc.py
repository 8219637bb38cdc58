"""Quality control of the registration: one page per patient, one sortable table with flags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from markupsafe import Markup
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from scipy import ndimage

from pgmif.figures.colours import EDGE_MAP, GTV_COLOUR, LENGTH_MAP, REFERENCE_COLOUR
from pgmif.figures.panels import checkerboard, outline
from pgmif.pages import table_html, write_page
from pgmif_core.images.displacements import displacement_lengths
from pgmif_core.images.modalities import T2W
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.slices import SIGNAL

FAR_MM = 10.0  # a rigid correction beyond this is rare within one session
BENT_MM = 4.0
CUT_PERCENT = 5.0
# of the head (a correction of some mm leaves up to 3 % without T1w) and the tumour, not imaged
MISSED_PERCENT, MISSED_TUMOUR = 3.0, 0.5
ERROR_MM = 2.0  # of a phantom, whose true displacement is known
BETWEEN_PERCENT = 50  # of the reference region's variance between slices: then σ (Eq. 8) is not noise
STRIP, STRIP_MARGIN = 6, 12  # slices below, and pixels around what is outlined there
WHOLE = (slice(None), slice(None))


def strong_edges(image: NDArray, fraction: float = 0.06) -> NDArray[np.bool_]:
    """The strongest edges of an (h, w) image: a fraction of its pixels, where it has any."""
    slope = ndimage.gaussian_gradient_magnitude(np.asarray(image, float), 1.0)
    return slope > max(float(np.quantile(slope, 1 - fraction)), 1e-6)


def qc_page(
    patient: PatientSlices, label: str, modalities: Sequence[str],
    transforms: Mapping[str, sitk.Transform | None],
) -> Figure:
    """Per registered sequence: checkerboard with T2w, T2w's edges laid over, displacement; below, GTV
    and reference region in up to six slices, because only an eye sees them in the wrong place.
    """
    k, moved = patient.shown, [m for m in modalities if m != "T2w"]
    figure = Figure(figsize=(7.2, 2.6 * len(moved) + 1.6), layout="constrained", dpi=110)
    above, below = figure.subfigures(2, 1, height_ratios=(2.6 * len(moved), 1.6))
    there, t2w = _one_slice(patient.grid, k), np.asarray(patient.sources[k, T2W])
    rows = above.subplots(len(moved), 3, squeeze=False)
    for row, modality in zip(rows, moved, strict=True):
        image = np.asarray(patient.sources[k, list(modalities).index(modality)])
        row[0].imshow(checkerboard(t2w, image), cmap="gray", vmin=0, vmax=1)
        row[0].set_title(f"{modality} / T2w, GTV, reference")
        row[1].imshow(image, cmap="gray", vmin=0, vmax=1)
        row[1].imshow(np.ma.masked_equal(strong_edges(t2w), False), cmap=EDGE_MAP, alpha=0.8)
        row[1].set_title(f"{modality}, edges of T2w")
        _outlined(row[0], patient, k)
        transform = transforms.get(modality)
        lengths = displacement_lengths(transform, there)[0] if transform else np.zeros(t2w.shape)
        shown = row[2].imshow(lengths, cmap=LENGTH_MAP, vmin=0, vmax=max(1.0, float(lengths.max())))
        row[2].set_title("displacement (mm)")
        above.colorbar(shown, ax=row[2], shrink=0.8)
    _slices_strip(below, patient)
    for ax in figure.axes:
        if ax.get_label() != "<colorbar>":
            ax.set_axis_off()
    figure.suptitle(f"{patient.subject}, slice {k}: {label}", fontsize=9)
    return figure


def _slices_strip(figure: SubFigure, patient: PatientSlices) -> None:
    """T2w around GTV (orange) and reference region (blue) in some of their slices."""
    both = np.asarray(patient.gtv | patient.reference)
    planes = np.flatnonzero(both.any(axis=(1, 2)))
    planes = planes[np.unique(np.linspace(0, len(planes) - 1, STRIP).round().astype(int))]
    along = (np.flatnonzero(both.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    box = tuple(slice(max(0, where[0] - STRIP_MARGIN), where[-1] + 1 + STRIP_MARGIN) for where in along)
    for ax, plane in zip(figure.subplots(1, len(planes), squeeze=False)[0], planes, strict=True):
        ax.imshow(patient.sources[plane, T2W][box], cmap="gray", vmin=0, vmax=1)
        _outlined(ax, patient, plane, box)
        ax.set_title(f"T2w {plane}", fontsize=8)


def _outlined(axes, patient: PatientSlices, plane: int, box: tuple[slice, ...] = WHOLE) -> None:
    for mask, colour in ((patient.gtv, GTV_COLOUR), (patient.reference, REFERENCE_COLOUR)):
        outline(axes, np.asarray(mask[plane])[box], colour)


def _one_slice(grid: sitk.Image, plane: int) -> sitk.Image:
    width, height, _ = grid.GetSize()
    return sitk.RegionOfInterest(grid, [width, height, 1], [0, 0, plane])


def qc_flags(row: Mapping[str, Any], modalities: Sequence[str]) -> str:
    """What to look at before using a patient, from its row of the preprocessing table; '' if nothing."""
    flags = []
    for modality in (m for m in modalities if m != "T2w"):
        prefix = "" if modality == "T1w" else f"{modality}_"
        note = str(row.get(f"{prefix}note") or "")
        if row.get(f"{prefix}stage") == "failed":
            flags.append(f"{modality} not registered")
        elif note:
            flags.append(f"{modality}: {note}")
        for name, limit, text in (
            ("rigid_mm", FAR_MM, "far"), ("bspline_mm", BENT_MM, "much bent"),
            ("tre_after_median_mm", ERROR_MM, "registration error"),
        ):
            if float(row.get(prefix + name, 0) or 0) > limit:
                flags.append(f"{modality} {text} ({row[prefix + name]:.1f} mm)")
    if row.get("gtv_slices_not_imaged"):
        flags.append(f"{row['gtv_slices_not_imaged']} tumour slices not imaged by all sequences")
    if row.get("gtv_cut_percent", 0) > CUT_PERCENT:
        flags.append(f"{row['gtv_cut_percent']:.0f} % of the tumour outside the T2w slices")
    if not row.get("reference_slices", 1):
        flags.append("no reference region")
    between = {m: float(row.get(f"reference_between_percent_{m}", 0)) for m in modalities}
    flags += [f"{share:.0f} % of the reference's variance on {m} is between slices"
              for m, share in between.items() if share > BETWEEN_PERCENT]
    return "; ".join(flags)


def missing_parts(
    imaged: Mapping[str, NDArray], t2w: NDArray, tumour: NDArray
) -> list[str]:
    """Flags of sequences that do not show all of the head, or of the tumour, in-plane.

    `imaged[modality]` says where a sequence was imaged, `t2w` (slices, h, w) in [0, 1]; slices that it
    does not show at all are not counted: they have a flag of their own.
    """
    flags, head = [], t2w > SIGNAL
    for modality, part in imaged.items():
        shown = part.any(axis=(1, 2))
        shares = {
            what: 100 * float((where & ~part)[shown].sum() / max(1, where[shown].sum()))
            for what, where in (("head", head), ("tumour", tumour))
        }
        if modality != "T2w" and (shares["head"] > MISSED_PERCENT or shares["tumour"] > MISSED_TUMOUR):
            flags.append(f"{modality} does not show {shares['head']:.1f} % of the head and "
                         f"{shares['tumour']:.1f} % of the tumour")
    return flags


def write_qc_table(table: pd.DataFrame, folder: Path, label: str) -> Path:
    """index.html with all columns, sortable, flagged patients shaded, linked to their pages."""
    shown = table_html(
        table, "Registration, one row per patient; click a heading to sort",
        {"subject": "{}.png".format}, flagged=lambda row: bool(row["flags"]),
    )
    body = Markup("<h1>Registration QC: {}</h1><p>{} of {} patients flagged. Click a subject for its "
                  "page.</p>{}").format(label, int(table["flags"].ne("").sum()), len(table), shown)
    return write_page(folder / "index.html", f"Registration QC: {label}", body)
