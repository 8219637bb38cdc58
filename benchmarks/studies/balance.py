"""Content : adversarial balance of PGMIF and GMMCI, on validation patients only.

python benchmarks/studies/balance.py [--profile quick] [--manifest FILE] [--method pgmif] [--scales 1 3]

Trains each method once per scale of its content term (adversarial weight 1) on a run's training
patients; CNR, Q and fidelity are medians over its validation patients at the end. Test patients
are never opened. Needs 01_preprocessing of that run. Writes
figures/<run>/figure_balance_<method>.(png|pdf|csv).
"""

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from pgmif.figures.colours import BLUE
from pgmif.figures.style import save_figure
from pgmif.runs.run import Run
from pgmif.steps.training import split_training, training_settings, watched_training
from pgmif_core.evaluation.measures import baseline_row
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import TrainingSlices
from pgmif_core.methods.registry import METHODS

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.run_options import chosen_run, run_parser

SHOWN = {"cnr": "CNR", "q_t1w": "Q against T1w", "q_t2w": "Q against T2w",
         "alignment_t2w": "alignment with T2w", "ssim_t2w": "SSIM to T2w"}
SCALES = {"pgmif": [0.1, 0.3, 1.0, 3.0, 10.0], "gmmci": [10.0, 30.0, 100.0, 300.0]}


def balance_table(
    run: Run, method: str, scales: list[float], patients: list[PatientSlices]
) -> pd.DataFrame:
    """One row per scale: the kept checkpoint's medians over the validation patients."""
    fit, _ = split_training(run)
    rows = []
    for scale in scales:
        settings = replace(training_settings(run, method), content_scale=scale)
        slices = TrainingSlices(run.store, fit, settings.crop, settings.seed)
        folder = run.folder(f"balance/{method}-{scale:g}")
        table = watched_training(run, settings, slices, patients, folder)
        kept = table.loc[table["kept"]].iloc[0].to_dict()
        rows.append({"scale": scale, "validation_patients": len(patients), **kept})
        print({k: round(v, 3) for k, v in rows[-1].items()}, flush=True)
    return pd.DataFrame(rows).drop(columns="kept")


def balance_figure(
    table: pd.DataFrame, t2w: dict[str, float], method: str, in_force: float, label: str
) -> plt.Figure:
    """One panel per measure against the scale; the scale in force and untouched T2w marked."""
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(9.5, 2.4), layout="constrained")
    for ax, (name, text) in zip(axes, SHOWN.items(), strict=True):
        ax.semilogx(table["scale"], table[name], "o-", color=BLUE, markersize=3)
        ax.axvline(in_force, color="k", linestyle=":", linewidth=0.7)
        if name in t2w:
            ax.axhline(t2w[name], color="k", linestyle="--", linewidth=0.7)
        ax.set_title(text, fontsize=8)
        ax.tick_params(labelsize=7)
    count = table["validation_patients"].iloc[0]
    figure.supxlabel(
        f"{METHODS[method].label}, content : adversarial weight (dotted: in force); {label}, {count} "
        "validation patients of the training split, median; dashed: T2w untouched", fontsize=7)
    return figure


def main() -> None:
    arguments = run_parser(__doc__.split("\n")[0])
    arguments.add_argument("--method", choices=SCALES, nargs="+", default=list(SCALES))
    arguments.add_argument("--scales", type=float, nargs="+")
    options = arguments.parse_args()
    run = chosen_run(options)
    patients = [run.patient(s) for s in split_training(run)[1]]
    for method in options.method:
        table = balance_table(run, method, options.scales or SCALES[method], patients)
        in_force = training_settings(run, method).content_scale
        figure = balance_figure(table, baseline_row(patients), method, in_force, run.label)
        print(save_figure(figure, run.figures, f"figure_balance_{method}", table))


if __name__ == "__main__":
    main()
