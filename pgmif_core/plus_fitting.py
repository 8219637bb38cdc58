"""Fit the few numbers of PGMIF+ on training patients; their contours are used here, never at fusion."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pgmif_core.comparators import solve_screened_poisson
from pgmif_core.evaluation import cnr, measured_slices, sobel_against
from pgmif_core.metrics import contrast_correlation
from pgmif_core.pgmif_plus import PlusSettings, mixed, standardised, target_gradient
from pgmif_core.regions import head_mask
from pgmif_core.slices import PatientSlices

GAINS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
SCREENINGS = (0.03, 0.1)
MOST_SLICES = 10  # of a patient: neighbours say much the same
MARGIN = 2  # pixels around the tumour and reference that the Sobel operator needs
# the Q of the paper's PGMIF against T1w and T2w, and room for other patients
AIMS = {"q_t1w": 0.594 + 0.015, "q_t2w": 0.692 + 0.015}
MOST_CUT = 0.2  # of the tissue that may lie at 0 or 1
NUMBERS = ["gain", "screening", "shares"]


def share_grid(modalities: int) -> list[tuple[float, ...]]:
    """All shares on a grid that sum to 1: tenths for two sources, fifths for more."""
    steps = 10 if modalities == 2 else 5
    whole = (c for c in itertools.product(range(steps + 1), repeat=modalities) if sum(c) == steps)
    return [tuple(k / steps for k in c) for c in whole]


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


def _row(volume: NDArray, part: PatientSlices, box: tuple[slice, ...], tissue: NDArray,
         sources: NDArray) -> dict[str, float]:
    near = volume[box]
    # a reference cut to one grey has no noise: not a good image, whatever its contrast
    flat = np.ptp(near[part.reference]) == 0
    cut = (volume[tissue] <= 0) | (volume[tissue] >= 1)
    return {
        "cnr": -np.inf if flat else cnr(near, part),
        "q_t1w": sobel_against(near, part, 0), "q_t2w": sobel_against(near, part, 1),
        "correlation": contrast_correlation(volume, sources, tissue), "cut": float(cut.mean()),
    }


def fitting_rows(
    patient: PatientSlices, base: PlusSettings, shares: Iterable[tuple[float, ...]] = (),
    screenings: Sequence[float] = SCREENINGS, gains: Sequence[float] = GAINS,
) -> list[dict]:
    """One training patient under every candidate: CNR, Q, correlation, share of tissue cut off.

    Up to ten of the slices with tumour. The problem is linear in the gain, so one solution serves all
    gains.
    """
    whole = _some_slices(patient)
    images = torch.from_numpy(np.array(whole.sources))
    if base.standardised:
        images = standardised(images)
    part, box = _cropped(whole)
    sources = np.moveaxis(whole.sources, 1, 0)
    tissue = head_mask(sources)
    nothing = torch.zeros_like(images[:, :1])
    rows = []
    for own, screening in itertools.product(shares or share_grid(images.shape[1]), screenings):
        settings = replace(base, shares=own, screening=screening)
        steep = solve_screened_poisson(target_gradient(images, settings), nothing, screening)
        flat_field = images.new_zeros(len(images), 2, *images.shape[-2:])
        base_image = solve_screened_poisson(flat_field, mixed(images, settings), screening)
        for gain in gains:
            volume = (gain * steep + base_image).clamp(0, 1)[:, 0].numpy()
            rows.append({
                "subject": patient.subject, "shares": own, "screening": screening, "gain": gain,
                **_row(volume, part, box, tissue, sources),
            })
    return rows


def candidates(rows: pd.DataFrame) -> pd.DataFrame:
    """Every candidate over the patients in `rows`, best first.

    Allowed are candidates whose median Q reach `AIMS`, that invert no patient and cut at most a fifth
    of the tissue (median). Among them the highest lower quartile of the CNR counts: the worse patients
    must be served too. Where none is allowed, those that fall short least come first. Columns: the
    candidate, `lower_cnr`, medians, `shortfall` (0: allowed).
    """
    groups = rows.groupby(NUMBERS)
    table = groups[["cnr", *AIMS, "cut"]].median()
    table["lower_cnr"] = groups["cnr"].quantile(0.25)
    table["lowest_correlation"] = groups["correlation"].min()
    table["shortfall"] = (
        sum((aim - table[q]).clip(lower=0) for q, aim in AIMS.items())
        + (table["cut"] - MOST_CUT).clip(lower=0) + (-table["lowest_correlation"]).clip(lower=0)
    )
    return table.sort_values(["shortfall", "lower_cnr"], ascending=[True, False]).reset_index()


def best_settings(rows: pd.DataFrame, base: PlusSettings) -> PlusSettings:
    """The settings that `candidates` puts first."""
    first = candidates(rows).iloc[0]
    return replace(base, **{name: first[name] for name in NUMBERS})


def left_out(rows: pd.DataFrame, base: PlusSettings, folds: int = 5) -> pd.DataFrame:
    """Every patient under the settings fitted without it (and its fold): an estimate for new patients.

    Raises ValueError with fewer than two patients.
    """
    subjects = sorted(rows["subject"].unique())
    if len(subjects) < 2:
        raise ValueError("leaving patients out needs at least two")
    parts = []
    for fold in range(min(folds, len(subjects))):
        away = rows["subject"].isin(subjects[fold::folds])
        chosen = best_settings(rows[~away], base)
        mine = rows[away]
        parts.append(mine[(mine["gain"] == chosen.gain) & (mine["screening"] == chosen.screening)
                          & (mine["shares"] == chosen.shares)])
    return pd.concat(parts).sort_values("subject").reset_index(drop=True)


def resampled(rows: pd.DataFrame, base: PlusSettings, seeds: int = 5) -> list[PlusSettings]:
    """Settings fitted on `seeds` groups of patients drawn with replacement: what chance does."""
    subjects = sorted(rows["subject"].unique())
    by_subject = dict(tuple(rows.groupby("subject")))
    found = []
    for seed in range(seeds):
        drawn = np.random.default_rng(seed).choice(subjects, len(subjects))
        found.append(best_settings(pd.concat([by_subject[s] for s in drawn]), base))
    return found
