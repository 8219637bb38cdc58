"""PGMIF's balance of gradient and adversarial terms, on validation patients only.

python benchmarks/balance.py [--profile quick] [--manifest FILE] [--scales 0.1 0.3 1 3]

Trains PGMIF once per gradient scale (adversarial weight 1) on a run's training patients less the
held-out ones; CNR, Q and fidelity are those of the best checkpoint on the held-out ones. Test
patients are never opened. Needs 01_preprocessing of that run. Writes
figures/<run>/figure_balance.(png|pdf|csv).
"""

import argparse
from dataclasses import replace

import pandas as pd
from matplotlib import pyplot as plt

from pgmif_core.evaluation import baseline_row
from pgmif_core.figures import save_figure
from pgmif_core.fusion import split_training, training_settings, watched_training
from pgmif_core.parameters import find_root, read_parameters
from pgmif_core.slices import TrainingSlices
from pgmif_core.steps import Run, open_run

SHOWN = {"cnr": "CNR", "q_t1w": "Q against T1w", "q_t2w": "Q against T2w",
         "alignment_t2w": "alignment with T2w", "ssim_t2w": "SSIM to T2w"}


def balance_table(run: Run, scales: list[float]) -> pd.DataFrame:
    """One row per gradient scale: means over the held-out training patients."""
    fit, held_out = split_training(run)
    patients = [run.patient(s) for s in held_out]
    rows = []
    for scale in scales:
        settings = replace(training_settings(run, "pgmif"), content_scale=scale)
        slices = TrainingSlices(run.store, fit, settings.crop, settings.seed)
        table = watched_training(run, settings, slices, patients, run.folder(f"balance/{scale:g}"))
        best = table.loc[table["score"].idxmax()].to_dict()
        rows.append({"gradient_scale": scale, "validation_patients": len(patients), **best})
        print({k: round(v, 3) for k, v in rows[-1].items()}, flush=True)
    return pd.DataFrame(rows)


def balance_figure(table: pd.DataFrame, t2w: dict[str, float], label: str) -> plt.Figure:
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(9.5, 2.4), layout="constrained")
    for ax, (name, text) in zip(axes, SHOWN.items(), strict=True):
        ax.semilogx(table["gradient_scale"], table[name], "o-", color="#0072B2", markersize=3)
        if name in t2w:
            ax.axhline(t2w[name], color="k", linestyle="--", linewidth=0.7)
        ax.set_title(text, fontsize=8)
        ax.tick_params(labelsize=7)
    figure.supxlabel(f"gradient : adversarial weight; {label}: {table['validation_patients'].iloc[0]}"
                     " validation patients of the training split; dashed: T2w untouched", fontsize=7)
    return figure


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--profile", default="quick")
    arguments.add_argument("--manifest", default="")
    arguments.add_argument("--scales", type=float, nargs="+", default=[0.1, 0.3, 1.0, 3.0])
    options = arguments.parse_args()
    values = {"manifest": options.manifest} if options.manifest else {}
    run = open_run(read_parameters(find_root() / "params" / f"{options.profile}.yaml", **values))
    table = balance_table(run, options.scales)
    held_out = [run.patient(s) for s in split_training(run)[1]]
    figure = balance_figure(table, baseline_row(held_out), run.label)
    print(save_figure(figure, run.figures, "figure_balance", table))


if __name__ == "__main__":
    main()
