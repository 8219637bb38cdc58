"""Pictures that several lessons draw."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgmif.figures.colours import ORANGE
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure

PHANTOM = "synthetic phantom"


@in_style
def show(
    images: Mapping[str, NDArray], tumour: NDArray | None = None, columns: int = 4, note: str = "",
    limits: tuple[float, float] = (0, 1),
) -> Figure:
    """Images (h, w) by title in one grey scale, the tumour outlined; names the phantom below."""
    rows = -(-len(images) // columns)
    across = min(columns, len(images))
    width = PAGE_INCHES / columns
    figure, axes = new_figure(width * across, (width + 0.2) * rows + 0.25, rows, across)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, image) in zip(axes.flat, images.items(), strict=False):
        ax.imshow(image, vmin=limits[0], vmax=limits[1])
        ax.set_title(title)
        if tumour is not None and tumour.any():
            ax.contour(tumour, [0.5], colors=ORANGE, linewidths=0.8)
    name_cohort(figure, PHANTOM, note)
    return figure


def near(mask: NDArray, margin: int = 22) -> tuple[slice, slice]:
    """Rows and columns of a square around a mask (h, w): `image[near(tumour)]` enlarges it."""
    rows, columns = mask.nonzero()
    half = max(np.ptp(rows), np.ptp(columns)) // 2 + margin
    middle = [(x.min() + x.max()) // 2 for x in (rows, columns)]
    starts = [int(np.clip(c - half, 0, n - 2 * half)) for c, n in zip(middle, mask.shape, strict=True)]
    return tuple(slice(start, start + 2 * half) for start in starts)
