"""Loss terms and validation scores of a training."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pgmif.figures.colours import BLUE, GREEN, ORANGE, PINK, VERMILION
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure


@in_style
def training_curves(history: pd.DataFrame, validation: pd.DataFrame, title: str, label: str) -> Figure:
    """Loss terms per iteration (thin) with their running mean, and validation patients' scores; without
    rows in `validation` (the profile paper holds nobody out) no panel of scores."""
    figure, axes = new_figure(PAGE_INCHES, 2.4, 1, 3 if len(validation) else 2)
    smooth = history.rolling(max(1, len(history) // 25), min_periods=1).mean()
    content, adversarial = axes[0, :2]
    content.plot(history["iteration"], history["content"], color=BLUE, alpha=0.25)
    content.plot(smooth["iteration"], smooth["content"], color=BLUE)
    content.set_title("content term")
    for name, colour in (("adversarial", VERMILION), ("discriminator", GREEN)):
        adversarial.plot(history["iteration"], history[name], color=colour, alpha=0.2)
        adversarial.plot(smooth["iteration"], smooth[name], color=colour, label=name)
    adversarial.set_title("adversarial terms")
    adversarial.legend(frameon=False)
    if len(validation):
        _scores(axes[0, 2], validation)
        figure.legend(*axes[0, 2].get_legend_handles_labels(), loc="outside right center",
                      frameon=False, fontsize=6)
    for ax in axes[0]:
        ax.set_xlabel("iteration")
    figure.suptitle(title, fontsize=9)
    name_cohort(figure, label)
    return figure


def _scores(ax: Axes, validation: pd.DataFrame) -> None:
    """Medians of validation patients over the iterations, and which weights were kept."""
    shown = {
        "alignment_t2w": "alignment with T2w", "ssim_t2w": "SSIM to T2w",
        "q_t1w": "Q against T1w", "q_t2w": "Q against T2w",
    }
    for (name, text), colour in zip(shown.items(), (BLUE, ORANGE, GREEN, PINK), strict=True):
        if name in validation:
            ax.plot(validation["iteration"], validation[name], "o-", color=colour, label=text,
                    markersize=3)
    for iteration in validation.loc[validation["kept"], "iteration"] if "kept" in validation else ():
        ax.axvline(iteration, color="k", linewidth=0.7, linestyle=":", label="weights kept")
    ax.set_title("validation patients, median")
    ax.set_ylim(bottom=0)
