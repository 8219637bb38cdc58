"""The map of training lengths as a figure: what `make study NAME=length` draws."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from pgmif.figures.colours import BLUE, GREEN, ORANGE, PINK, VERMILION
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure

SHOWN = {"cnr": "CNR", "q_t1w": "Q against T1w", "q_t2w": "Q against T2w", "ssim_t2w": "SSIM to T2w"}
COLOURS = (PINK, BLUE, GREEN, ORANGE, VERMILION)


@in_style
def length_figure(table: pd.DataFrame, t2w: Mapping[str, float], label: str) -> Figure:
    """PGMIF's medians over patients left out against iterations: a column per ε, a colour per balance.

    Every seed is a thin line, the median of them a thick one; of the running mean of the generator, not
    annealed. Dashed: T2w untouched.
    """
    own = table[(table["method"] == "pgmif") & table["averaged"] & ~table["annealed"]]
    epsilons, scales = sorted(own["epsilon"].unique()), sorted(own["scale"].unique())
    figure, axes = new_figure(PAGE_INCHES, 1.6 * len(SHOWN) + 0.8, len(SHOWN), len(epsilons),
                              sharex=True, sharey="row")
    for row, (measure, words) in zip(axes, SHOWN.items(), strict=True):
        for ax, epsilon in zip(row, epsilons, strict=True):
            for scale, colour in zip(scales, COLOURS, strict=False):
                part = own[(own["epsilon"] == epsilon) & (own["scale"] == scale)]
                for _, line in part.groupby("seed"):
                    ax.semilogx(line["iterations"], line[measure], color=colour, linewidth=0.5,
                                alpha=0.6)
                middle = part.groupby("iterations")[measure].median()
                ax.semilogx(middle.index, middle, "o-", color=colour, markersize=2.5,
                            label=f"{scale:g}")
            if measure in t2w:
                ax.axhline(t2w[measure], color="k", linestyle="--", linewidth=0.7)
        row[0].set_ylabel(words)
    for ax, epsilon in zip(axes[0], epsilons, strict=True):
        ax.set_title(f"ε = {epsilon:g}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, title="gradient term : adversarial terms", ncols=len(scales),
                  loc="outside upper center", frameon=False)
    patients, seeds = int(own["patients"].max()), own["seed"].nunique()
    name_cohort(figure, label, f"iterations; medians over {patients} training patients left out, "
                f"{seeds} seed{'s' if seeds > 1 else ''} (thin) and their median; dashed: T2w untouched")
    return figure
