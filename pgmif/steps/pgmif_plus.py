"""Step 03: PGMIF+ fitted on its training patients, and every idea judged on those left out."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pgmif.runs.parallel import each_patient
from pgmif.runs.released import released_ideas
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import cnr, sobel_against
from pgmif_core.images.patient import PatientSlices, measured_slices
from pgmif_core.images.regions import head_mask
from pgmif_core.methods.classical import solve_screened_poisson
from pgmif_core.methods.pgmif_plus import (
    PlusSettings,
    fuse_plus,
    mixed,
    standardised,
    steepened,
    write_settings,
)
from pgmif_core.methods.rules import t1w, t2w, t2w_standardised
from pgmif_core.metrics.paper import contrast_correlation

SEEDS = 5


def _ideas_of(run: Run, subject: str) -> list[dict]:
    patient = run.patient(subject)
    if not (patient.gtv.any() and patient.reference.any()):
        return []  # no CNR to fit by
    rows = []
    for idea in IDEAS:
        base, shares = idea_settings(idea, run.cohort.modalities)
        rows += [{"idea": idea, **row} for row in fitting_rows(patient, base, shares)]
    return rows


def ideas_rows(run: Run) -> pd.DataFrame:
    """Every training patient under every idea's ablation and every choice of shares.

    With the parameter `released`, those of the release. Raises ValueError where no training patient
    has both a tumour and a reference region.
    """
    if run.parameters.released:
        return released_ideas(run)
    p, subjects = run.parameters, run.cohort.subjects("train")
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
        base, _ = idea_settings(idea, run.cohort.modalities)
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
    base, _ = idea_settings("PGMIF+", run.cohort.modalities)
    mine = rows[rows["idea"] == "PGMIF+"]
    for seed, settings in enumerate(resampled(mine, base, SEEDS)):
        write_settings(settings, seed_settings(run, seed))
    settings = best_settings(mine, base)
    write_settings(settings, run.weights("pgmif_plus"))
    return settings


def seed_settings(run: Run, seed: int) -> Path:
    """Settings fitted on the training patients drawn with a seed."""
    return run.folder("03_pgmif_plus") / f"settings_seed_{seed}.json"


def idea_images(patient: PatientSlices, settings: PlusSettings) -> dict[str, NDArray]:
    """The slice with the most tumour: sources, T2w standardised, and PGMIF+ with and without each idea.

    All with the same shares, so that only the idea differs.
    """
    k = patient.largest
    pair = torch.from_numpy(np.array(patient.sources[k : k + 1]))
    rules = {"t1w": t1w, "t2w": t2w, "t2w_standardised": t2w_standardised}
    images = {name: rule(pair)[0, 0].numpy() for name, rule in rules.items()}
    for idea, change in IDEAS.items():
        if change or idea == "PGMIF+":
            images[idea] = fuse_plus(pair, replace(settings, **change))[0, 0].numpy()
    return images


MOST_SLICES = 10  # of a patient: neighbours say much the same
MARGIN = 2  # pixels around the tumour and reference that the Sobel operator needs
FOLDS = 5
# the Q of the paper's PGMIF against T1w and T2w, and room for other patients
AIMS = {"q_t1w": 0.594 + 0.015, "q_t2w": 0.692 + 0.015}
MOST_CUT = 0.2  # of the tissue that may lie at 0 or 1
SHORTFALL_WEIGHT = 5.0  # 0.02 short in Q costs as much as a tenth of the better source's CNR
# what each idea of PGMIF+ is worth: the method without it
IDEAS: dict[str, dict[str, Any]] = {
    "PGMIF+": {},
    "slices as they are": {"standardised": False},
    "edges kept steep": {"compressed": False},
    "one gain everywhere": {"calm_gain": PlusSettings.gain},
    "no gain": {"gain": 1.0, "calm_gain": 1.0},
    "gradients of the mean": {"tensor": False},
    "equal shares": {},
}


def share_grid(modalities: int) -> list[tuple[float, ...]]:
    """All shares on a grid that sum to 1: tenths for two sources, fifths for more."""
    steps = 10 if modalities == 2 else 5
    whole = (c for c in itertools.product(range(steps + 1), repeat=modalities) if sum(c) == steps)
    return [tuple(k / steps for k in c) for c in whole]


def idea_settings(idea: str, modalities: Sequence[str]) -> tuple[PlusSettings, list[tuple[float, ...]]]:
    """The settings of an idea's ablation, with equal shares, and the shares to choose from."""
    equal = (1 / len(modalities),) * len(modalities)
    base = PlusSettings(equal, sequences=tuple(modalities), **IDEAS[idea])
    return base, [equal] if idea == "equal shares" else share_grid(len(modalities))


def _some_slices(patient: PatientSlices) -> PatientSlices:
    part = measured_slices(patient)
    chosen = np.unique(np.linspace(0, len(part.sources) - 1, MOST_SLICES).round().astype(int))
    arrays = {n: getattr(part, n)[chosen] for n in ("sources", "gtv", "reference")}
    return part._replace(**arrays) if arrays["gtv"].any() and arrays["reference"].any() else part


def _cropped(patient: PatientSlices) -> tuple[PatientSlices, tuple[slice, ...]]:
    seen = (patient.gtv | patient.reference).any(axis=0)
    rows, columns = (np.flatnonzero(seen.any(axis=a)) for a in (1, 0))
    box = tuple(slice(max(0, i[0] - MARGIN), i[-1] + MARGIN + 1) for i in (rows, columns))
    inside = (slice(None), *box)
    return patient._replace(
        sources=patient.sources[:, :, *box], gtv=patient.gtv[inside],
        reference=patient.reference[inside],
    ), inside


def _measured(volume: NDArray, part: PatientSlices, box: tuple[slice, ...], tissue: NDArray,
              sources: NDArray) -> dict[str, float]:
    near = volume[box]
    # a reference cut to one grey has no noise: not a good image, whatever its contrast
    flat = np.ptp(near[part.reference]) == 0
    cut = (volume[tissue] <= 0) | (volume[tissue] >= 1)
    return {
        "cnr": 0.0 if flat else cnr(near, part),
        "q_t1w": sobel_against(near, part, 0), "q_t2w": sobel_against(near, part, 1),
        "correlation": contrast_correlation(volume, sources, tissue), "cut": float(cut.mean()),
    }


def fitting_rows(
    patient: PatientSlices, base: PlusSettings, shares: Iterable[tuple[float, ...]]
) -> list[dict[str, Any]]:
    """One training patient under every choice of shares: CNR, Q, correlation, share of tissue cut off.

    Up to ten of the slices with tumour or reference. `cnr_source`: of the better untouched source. The
    gradients do not depend on the shares: they are solved for once.
    """
    whole = _some_slices(patient)
    images = torch.from_numpy(np.array(whole.sources))
    untouched = max(cnr(whole.sources[:, k], whole) for k in range(images.shape[1]))
    if base.standardised:
        images = standardised(images)
    part, box = _cropped(whole)
    sources = np.moveaxis(whole.sources, 1, 0)
    tissue = head_mask(sources)
    nothing, flat = torch.zeros_like(images[:, :1]), images.new_zeros(len(images), 2, *images.shape[2:])
    steep = solve_screened_poisson(steepened(images, base), nothing, base.screening)
    rows = []
    for own in shares:
        mix = mixed(images, replace(base, shares=own))
        volume = (steep + solve_screened_poisson(flat, mix, base.screening)).clamp(0, 1)[:, 0].numpy()
        rows.append({"subject": patient.subject, "shares": own, "cnr_source": untouched,
                     **_measured(volume, part, box, tissue, sources)})
    return rows


def candidates(rows: pd.DataFrame) -> pd.DataFrame:
    """Every choice of shares over the patients in `rows`, best first.

    `score`: the lower quartile of the CNR (the worse patients must be served too) over the median CNR of
    the better untouched sources, less 5 times the `shortfall`: what the median Q lack to `AIMS`, tissue
    cut off beyond a fifth (median), and the lowest correlation where it is negative.
    """
    groups = rows.groupby("shares")
    table = groups[["cnr", *AIMS, "cut"]].median()
    table["lower_cnr"] = groups["cnr"].quantile(0.25)
    table["shortfall"] = (
        sum((aim - table[q]).clip(lower=0) for q, aim in AIMS.items())
        + (table["cut"] - MOST_CUT).clip(lower=0) + (-groups["correlation"].min()).clip(lower=0)
    )
    untouched = abs(rows.groupby("subject")["cnr_source"].first().median())
    table["score"] = table["lower_cnr"] / untouched - SHORTFALL_WEIGHT * table["shortfall"]
    return table.sort_values("score", ascending=False).reset_index()


def best_settings(rows: pd.DataFrame, base: PlusSettings) -> PlusSettings:
    """`base` with the shares that `candidates` puts first."""
    return replace(base, shares=candidates(rows).iloc[0]["shares"])


def left_out(rows: pd.DataFrame, base: PlusSettings) -> pd.DataFrame:
    """Every patient under shares fitted without it and its fold, of five: an estimate for new patients.

    A single patient is its own yardstick: the column `left_out` is False then.
    """
    subjects = sorted(rows["subject"].unique())
    parts = []
    for fold in range(min(FOLDS, len(subjects))):
        away = rows["subject"].isin(subjects[fold::FOLDS])
        chosen = best_settings(rows if away.all() else rows[~away], base)
        mine = rows[away]
        parts.append(mine[mine["shares"] == chosen.shares].assign(left_out=not away.all()))
    return pd.concat(parts).sort_values("subject").reset_index(drop=True)


def resampled(rows: pd.DataFrame, base: PlusSettings, seeds: int = 5) -> list[PlusSettings]:
    """Settings fitted on `seeds` groups of patients drawn with replacement: what chance does."""
    subjects = sorted(rows["subject"].unique())
    by_subject = dict(tuple(rows.groupby("subject")))
    found = []
    for seed in range(seeds):
        drawn = np.random.default_rng(seed).choice(subjects, len(subjects))
        # a patient drawn twice counts twice
        parts = [by_subject[s].assign(subject=f"{s}/{k}") for k, s in enumerate(drawn)]
        found.append(best_settings(pd.concat(parts), base))
    return found
