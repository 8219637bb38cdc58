"""How wide must the generator be? Judged on training patients left out, never on test patients.

python benchmarks/studies/channels.py [--profile quick] [--manifest FILE] [--folds 3] [--seeds 3]

Trains PGMIF with every width and learning rate on all folds but one of a run's training patients and
measures CNR and Q on those left out. Needs 01_preprocessing of that run. Writes
figures/<run>/table_channels.csv: medians over all patients left out, of which the mean, least and
largest over the seeds; seconds of a training on one core.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pgmif.runs.parallel import each_patient
from pgmif.runs.run import Run
from pgmif.steps.training import training_settings
from pgmif_core.evaluation.measures import cnr, fuse_volume, sobel_against
from pgmif_core.files import write_table
from pgmif_core.images.modalities import T1W, T2W
from pgmif_core.images.store import TrainingSlices
from pgmif_core.networks.weights import load_generator
from pgmif_core.training.loop import train

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.run_options import chosen_run, run_parser

# channels, learning rate in 10⁻⁴: a narrow network may need larger steps
CASES = ((8, 4), (8, 8), (16, 2), (16, 4), (32, 2), (32, 4))
MEASURES = ["cnr", "q_t1w", "q_t2w"]


def left_out(run: Run, folds: int, job: str) -> list[dict]:
    """Train without one fold; measures of its patients."""
    channels, rate, fold, seed = map(int, job.split("-"))
    subjects = run.cohort.subjects("train")
    out = subjects[fold::folds]
    settings = training_settings(run, "pgmif")
    settings = replace(settings, channels=channels, learning_rate=rate / 1e4, seed=seed,
                       checkpoint_every=settings.iterations)
    fit = [s for s in subjects if s not in out]
    slices = TrainingSlices(run.store, fit, settings.crop, seed)
    folder = run.folder(f"channels/{job}")
    for left in folder.glob("checkpoint-*"):  # times must be of one piece
        left.unlink()
    start = time.perf_counter()
    weights = train(settings, slices, folder, say=lambda _: None)
    seconds = time.perf_counter() - start
    rows = []
    for patient in map(run.patient, out):
        if not (patient.gtv.any() and patient.reference.any()):
            continue
        volume = fuse_volume("pgmif", patient, load_generator(weights))
        rows.append({
            "channels": channels, "learning_rate": settings.learning_rate, "seed": seed,
            "cnr": cnr(volume, patient), "q_t1w": sobel_against(volume, patient, T1W),
            "q_t2w": sobel_against(volume, patient, T2W), "seconds": seconds,
        })
    return rows


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per width and learning rate: medians over patients, then over the seeds."""
    case = ["channels", "learning_rate"]
    seeds = table.groupby([*case, "seed"])[[*MEASURES, "seconds"]].median()
    spread = seeds.groupby(level=case)[MEASURES].agg(["mean", "min", "max"])
    spread.columns = ["_".join(names) for names in spread.columns]
    spread["seconds"] = seeds.groupby(level=case)["seconds"].median()
    spread["patients"] = table.groupby([*case, "seed"]).size().groupby(level=case).first()
    return spread.reset_index()


def main() -> None:
    arguments = run_parser(__doc__.split("\n")[0])
    arguments.add_argument("--folds", type=int, default=3)
    arguments.add_argument("--seeds", type=int, default=3)
    options = arguments.parse_args()
    run = chosen_run(options)
    jobs = [f"{c}-{rate}-{fold}-{seed}" for fold in range(options.folds) for seed in range(options.seeds)
            for c, rate in CASES]
    done = each_patient(partial(left_out, run, options.folds), jobs)
    table = summary(pd.DataFrame([row for rows in done for row in rows]))
    print(table.round(3).to_string(index=False))
    write_table(table, run.figures / "table_channels.csv")


if __name__ == "__main__":
    main()
