"""Step 10 for a run: PGMIF+ fitted on its training patients, and every idea judged on those left out."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pgmif.runs.parallel import each_patient
from pgmif.runs.released import released_ideas
from pgmif.runs.run import Run
from pgmif.steps.plus_fitting import (
    IDEAS,
    best_settings,
    fitting_rows,
    idea_settings,
    left_out,
    resampled,
)
from pgmif_core.images.slices import PatientSlices
from pgmif_core.methods.pgmif_plus import PlusSettings, fuse_plus, write_settings
from pgmif_core.methods.registry import METHODS

SEEDS = 5


def _ideas_of(run: Run, subject: str) -> list[dict]:
    patient = run.patient(subject)
    if not (patient.gtv.any() and patient.reference.any()):
        return []  # no CNR to fit by
    rows = []
    for idea in IDEAS:
        base, shares = idea_settings(idea, run.cohort().modalities)
        rows += [{"idea": idea, **row} for row in fitting_rows(patient, base, shares)]
    return rows


def ideas_rows(run: Run) -> pd.DataFrame:
    """Every training patient under every idea's ablation and every choice of shares.

    With the parameter `released`, those of the release. Raises ValueError where no training patient
    has both a tumour and a reference region.
    """
    if run.parameters.released:
        return released_ideas(run)
    p, subjects = run.parameters, run.cohort().subjects("train")
    done = each_patient(partial(_ideas_of, run), subjects, p.workers, p.dask_scheduler)
    rows = pd.DataFrame([row for part in done for row in part])
    if rows.empty:
        raise ValueError("no training patient has a tumour and a reference region: nothing to fit by")
    return rows


def ideas_table(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """What each idea is worth: every training patient under shares fitted without it, idea by idea.

    Adds `cnr_ratio`: the patient's CNR over the median CNR of the better untouched sources.
    """
    parts = []
    for idea in IDEAS:
        base, _ = idea_settings(idea, run.cohort().modalities)
        parts.append(left_out(rows[rows["idea"] == idea], base))
    table = pd.concat(parts)
    return table.assign(cnr_ratio=table["cnr"] / abs(_untouched(table)))


def _untouched(table: pd.DataFrame) -> float:
    return float(table.groupby("subject")["cnr_source"].first().median())


def ideas_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over training patients left out, one row per idea; `inverted`: their number."""
    groups = table.groupby("idea", sort=False)
    medians = groups[["cnr", "cnr_ratio", "q_t1w", "q_t2w", "cut"]].median()
    medians["cv_percent"] = groups["cnr"].std() / groups["cnr"].mean() * 100
    medians["inverted"] = groups["correlation"].agg(lambda values: int((values < 0).sum()))
    return medians.reset_index()


def fit_run(run: Run, rows: pd.DataFrame) -> PlusSettings:
    """Fit on all training patients, and on five groups drawn from them; writes every settings file."""
    base, _ = idea_settings("PGMIF+", run.cohort().modalities)
    mine = rows[rows["idea"] == "PGMIF+"]
    for seed, settings in enumerate(resampled(mine, base, SEEDS)):
        write_settings(settings, seed_settings(run, seed))
    settings = best_settings(mine, base)
    write_settings(settings, run.weights("pgmif_plus"))
    return settings


def seed_settings(run: Run, seed: int) -> Path:
    """Settings fitted on the training patients drawn with a seed."""
    return run.folder("10_pgmif_plus") / f"settings_seed_{seed}.json"


def idea_images(patient: PatientSlices, settings: PlusSettings) -> dict[str, NDArray]:
    """The slice with the most tumour: sources, T2w standardised, and PGMIF+ with and without each idea.

    All with the same shares, so that only the idea differs.
    """
    k = int(np.argmax(patient.gtv.sum(axis=(1, 2))))
    pair = torch.from_numpy(np.array(patient.sources[k : k + 1]))
    images = {name: METHODS[name](pair)[0, 0].numpy() for name in ("t1w", "t2w", "t2w_standardised")}
    for idea, change in IDEAS.items():
        if change or idea == "PGMIF+":
            images[idea] = fuse_plus(pair, replace(settings, **change))[0, 0].numpy()
    return images
