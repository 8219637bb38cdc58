"""One style for every figure: the page, the cohort's name under it, saved with its numbers."""

import io
import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgmif.figures.colours import DARK_GREY
from pgmif_core.files import replacing

STYLE_VARIABLE = "PGMIF_STYLE"  # names a style file of your own, applied over ours
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


def coloured_numbers(
    ax: Axes, colours: pd.DataFrame, numbers: pd.DataFrame, form: str, light: pd.DataFrame, **shown
) -> None:
    """A table as colours, its numbers in the cells by the format `form`, white where `light`; what is
    missing stays empty. `shown`: colour map and limits of `colours`, as `imshow` takes them."""
    ax.imshow(colours, aspect="auto", **shown)
    for (row, column), value in np.ndenumerate(numbers):
        if not np.isnan(value):
            ax.text(column, row, f"{value:{form}}", ha="center", va="center", fontsize=6,
                    color="white" if light.iloc[row, column] else "black")
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)


def name_cohort(figure: Figure, label: str, note: str = "") -> None:
    """Write the cohort, and a note, under a figure."""
    figure.supxlabel(f"{label}{': ' + note if note else ''}", fontsize=7, color=DARK_GREY, wrap=True)


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


