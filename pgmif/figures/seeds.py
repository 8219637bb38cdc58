"""Figures of five seeds: how far the cohort's medians move from seed to seed (12)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pgmif.figures.colours import KIND_COLOURS, VERMILION
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure
from pgmif_core.methods.names import method_named, ordered_methods

TITLES = {"cnr": "tumour CNR", "cnr_within": "CNR, σ within slices", "q_t1w": "Q against T1w",
          "q_t2w": "Q against T2w", "ssim_t2w": "SSIM to T2w"}


@in_style
def seeds_figure(medians: pd.DataFrame, patients: pd.DataFrame, label: str) -> Figure:
    """Spread between patients (box, one seed) beside the cohort's median under each seed (bars).

    `medians`: method, seed and the measures of TITLES; `patients`: the same measures by method and
    subject, as far as there.
    """
    methods = ordered_methods(medians["method"].unique())
    figure, axes = new_figure(PAGE_INCHES, 2.6, 1, len(TITLES))
    for ax, (measure, title) in zip(axes[0], TITLES.items(), strict=True):
        for k, method in enumerate(methods):
            colour = KIND_COLOURS[method_named(method).kind]
            own = patients.loc[patients["method"] == method, measure]
            box = ax.boxplot(own, positions=[k - 0.18], widths=0.28, showfliers=False,
                             patch_artist=True, medianprops={"color": "k"})
            box["boxes"][0].set(facecolor=colour, alpha=0.5, linewidth=0.8)
            values = medians.loc[medians["method"] == method, measure]
            ax.plot(np.full(len(values), k + 0.18), values, "_", color=VERMILION, markersize=9,
                    markeredgewidth=1.4)
        ax.set_xticks(range(len(methods)), [method_named(m).label for m in methods], rotation=90)
        ax.set_title(title)
    name_cohort(figure, label, f"boxes: {patients['subject'].nunique()} test patients, the run's own "
                f"seed; orange: the cohort's median under each of {medians['seed'].nunique()} seeds")
    return figure
