"""Random crops against whole slices: does the loss on whole images end in the same place?

python benchmarks/studies/crops.py [--profile quick] [--manifest FILE] [--method pgmif …]

Trains each learned method of a run on whole slices and on the profile's crops, with the same batch size
and as many iterations, and on crops twice as long; at every checkpoint the content term is measured on
the whole slices of the validation patients, which are training patients held out. Needs
01_preprocessing of that run. Writes figures/<run>/figure_crops.(png|pdf|csv).
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

from pgmif.figures.colours import BLUE, GREY, SKY
from pgmif.figures.style import in_style, name_cohort, new_figure, save_figure
from pgmif.runs.run import Run
from pgmif.steps.training import split_training, training_settings
from pgmif_core.images.store import TrainingSlices
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.networks.generator import Generator
from pgmif_core.training.loop import train
from pgmif_core.training.settings import content_loss

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.run_options import chosen_run, run_parser


def curve(run: Run, method: str, crop: int, times: int) -> pd.DataFrame:
    """Content term on whole validation slices and seconds of training, at every checkpoint."""
    fit, watched = split_training(run)
    settings = training_settings(run, method)
    settings = replace(settings, crop=crop, iterations=times * settings.iterations)
    sources = torch.from_numpy(np.concatenate([np.array(run.patient(s).sources) for s in watched]))
    sources = sources[sources.amax(dim=(2, 3)).gt(0).all(dim=1)]
    term, rows, spent = content_loss(settings), [], 0.0
    begun = time.perf_counter()

    def watch(iteration: int, generator: Generator) -> None:
        nonlocal spent
        now = time.perf_counter()
        seconds = now - begun - spent
        folded = FoldedGenerator(generator)
        with torch.inference_mode():
            parts = sources.to(folded.device).split(1)
            terms = [float(term(folded(part), part)) for part in parts]
        rows.append({"method": method, "crop": crop, "times": times, "iteration": iteration,
                     "seconds": seconds, "content": float(np.mean(terms)),
                     "validation_patients": len(watched)})
        spent += time.perf_counter() - now

    folder = run.folder(f"crops/{method}-{crop}-{times}")
    for left in folder.glob("checkpoint-*"):  # times must be of one piece
        left.unlink()
    train(settings, TrainingSlices(run.store, fit, crop, settings.seed), folder, watch,
          made_from="crops", say=lambda _: None)
    return pd.DataFrame(rows)


@in_style
def crops_figure(table: pd.DataFrame, label: str) -> plt.Figure:
    """One panel per method: the content term on whole slices against iterations, seconds beside it."""
    methods = table["method"].unique()
    figure, axes = new_figure(2.5 * len(methods), 2.4, 1, len(methods))
    largest = table["crop"].max()
    for ax, method in zip(axes[0], methods, strict=True):
        for ((crop, times), part), colour in zip(
            table[table["method"] == method].groupby(["crop", "times"]),
            (BLUE, SKY, GREY), strict=True,
        ):
            name = "whole slices" if crop == largest else f"crops of {crop}×{crop}"
            ax.plot(part["iteration"], part["content"], "o-", color=colour, markersize=3,
                    label=f"{name}{', longer' * (times > 1)}: {part['seconds'].iloc[-1]:.0f} s")
        ax.set(title=METHODS[method].label, xlabel="iteration")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.5 * (high - low))  # room for the legend
        ax.legend(frameon=False, loc="upper right")
    axes[0, 0].set_ylabel("content term on whole slices")
    count = table["validation_patients"].iloc[0]
    name_cohort(figure, label, f"{count} validation patients of the training split; lower is better")
    return figure


def main() -> None:
    arguments = run_parser(__doc__.split("\n")[0])
    arguments.add_argument("--method", nargs="+", default=["pgmif", "gmmci", "dlmwl"])
    options = arguments.parse_args()
    run = chosen_run(options)
    p = run.parameters
    if p.crop == p.slice_size:
        arguments.error(f"expected a profile with crops, found whole slices ({p.crop}) in {p.profile}")
    cases = ((p.crop, 1), (p.crop, 2), (p.slice_size, 1))
    table = pd.concat([curve(run, m, *case) for m in options.method for case in cases])
    print(table.groupby(["method", "crop", "times"]).last().to_string())
    print(save_figure(crops_figure(table, run.label), run.figures, "figure_crops", table))


if __name__ == "__main__":
    main()
