"""Step 11: another seed. Every learned method trained again, and the test patients measured again."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pgmif.runs.run import Run
from pgmif.steps.cnr_boxplots import cnr_row
from pgmif.steps.pgmif_plus import seed_settings
from pgmif.steps.sobel_analysis import sobel_rows
from pgmif.steps.training import train_variant, training_settings
from pgmif_core.evaluation.gain import gain_rows
from pgmif_core.evaluation.measures import fidelity, fuse_volume
from pgmif_core.methods.names import LEARNED, TARGET
from pgmif_core.methods.registry import METHODS


def replicate_weights(run: Run, replicate: int) -> dict[str, Path]:
    """Weights of every learned method trained with the run's seed + `replicate`, and the settings that
    PGMIF+ was fitted to on that draw of training patients; only methods that the run itself has, and
    of the learned ones those of the parameter `replicate_methods`."""
    seed = run.parameters.seed + replicate
    other = replace(run, parameters=run.parameters.model_copy(update={"seed": seed}))
    made = {}
    for method in (m for m in run.parameters.replicate_methods or LEARNED if run.weights(m).exists()):
        folder = run.folder(f"11_seeds/{replicate}/{method}")
        made[method] = train_variant(run, training_settings(other, method), folder, f"seed {seed}")
    if run.weights("pgmif_plus").exists() and seed_settings(run, replicate).exists():
        made["pgmif_plus"] = seed_settings(run, replicate)
    return made


def replicate_tables(run: Run, weights: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Rows of 04's fidelity, 05's CNR, 06's Q of what was made again, and of PGMIF 07's gain."""
    found: dict[str, list[dict]] = {"fidelity": [], "cnr": [], "gain": [], "sobel": []}
    target = {TARGET: (METHODS[TARGET], weights[TARGET])} if TARGET in weights else {}
    for subject in run.cohort.subjects("test"):
        patient = run.patient(subject)
        found["gain"] += gain_rows(patient, run.cohort.modalities, target)
        for method, path in weights.items():
            volume, of = fuse_volume(method, patient, path), {"subject": subject, "method": method}
            found["fidelity"].append({**of, **fidelity(volume, patient, run.parameters.epsilon)})
            found["cnr"].append({**of, **cnr_row(volume, patient)})
            found["sobel"] += [{**of, **row} for row in sobel_rows(run, volume, patient)]
    return {name: pd.DataFrame(rows, columns=None if rows else ["subject", "method"])
            for name, rows in found.items()}
