"""Step 08: does an image help to draw the tumour? By its grey values alone, and by a U-Net on it."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pgmif.runs.code_of import code_of
from pgmif.runs.fused import (
    LOOKED_UP,
    fused_methods,
    method_code,
    read_fused,
    run_methods,
    trained_weights,
)
from pgmif.runs.parallel import each_patient, over_test_patients
from pgmif.runs.run import Run
from pgmif.steps.unet import Drawn, UNetSettings, agreement, draw, train_unet
from pgmif_core.evaluation.measures import fuse_volume
from pgmif_core.files import file_hash, write_json
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import store_fingerprint
from pgmif_core.methods.names import NOT_IN_COMPARISON, method_named
from pgmif_core.metrics.separation import separation, surroundings


def all_channels(run: Run) -> str:
    """Name of the input that has every source as a channel of its own."""
    return " + ".join(run.cohort.modalities)


def unet_inputs(run: Run) -> list[str]:
    """What a U-Net is trained on, one after the other: every source, all as channels, every fused image.

    Images of other programs are left out: those of training patients are not known.
    """
    names = [n for n in fused_methods(run)
             if n not in NOT_IN_COMPARISON and method_named(n).kind != "outside"]
    sources = len(run.cohort.modalities)
    return [*names[:sources], all_channels(run), *names[sources:]]


def _images(run: Run, patient: PatientSlices, name: str) -> np.ndarray:
    if name == all_channels(run):
        return np.array(patient.sources)
    weights = trained_weights(run).get(name)
    return fuse_volume(run_methods(run)[name], patient, weights)[:, None]


def _test_images(run: Run, patient: PatientSlices, name: str) -> np.ndarray:
    if name == all_channels(run):
        return np.array(patient.sources)
    return read_fused(run, patient.subject, name)[:, None]


def _training_patients(run: Run, name: str) -> list[Drawn]:
    patients = map(run.patient, run.cohort.subjects("train"))
    return [Drawn(_images(run, p, name), np.array(p.gtv)) for p in patients if p.gtv.any()]


def _settings(run: Run, seed: int) -> UNetSettings:
    p = run.parameters
    return UNetSettings(p.unet_iterations, p.batch_size, p.crop, seed)


def _made_from(run: Run, name: str) -> dict:
    cohort, weights = run.cohort, trained_weights(run).get(name)
    tested = cohort.subjects("test")
    fused = name != all_channels(run)
    code = code_of(_rows_of, without=LOOKED_UP) + (method_code(run_methods(run)[name]) if fused else "")
    return {
        "settings": str(_settings(run, 0)), "seeds": run.parameters.unet_seeds,
        "slices": store_fingerprint(run.store, [*cohort.subjects("train"), *tested]), "code": code,
        "weights": file_hash(weights) if weights else "",
        "tested": [file_hash(run.fused(subject, name)) for subject in tested] if fused else [],
    }


def _kept(path: Path, made_from: dict) -> list[dict] | None:
    if not path.exists():
        return None
    known = json.loads(path.read_text())
    return known["rows"] if known["made_from"] == made_from else None


def _rows_of(run: Run, name: str) -> list[dict]:
    """One input: all seeds on all test patients. What was made from the same data and code is kept."""
    path = run.folder("08_delineation/unet") / f"{name.replace(' + ', '_')}.json"
    made_from = _made_from(run, name)
    rows = _kept(path, made_from)
    if rows is not None:
        return rows
    training, rows = _training_patients(run, name), []
    for seed in range(run.parameters.unet_seeds):
        unet = train_unet(training, _settings(run, seed))
        for subject in run.cohort.subjects("test"):
            patient = run.patient(subject)
            drawn = draw(unet, _test_images(run, patient, name))
            spacing = patient.spacing_mm
            rows.append({
                "subject": subject, "method": name, "seed": seed,
                **agreement(drawn, np.asarray(patient.gtv), spacing)._asdict(),
                "missed": not drawn.any(),
            })
    write_json({"made_from": made_from, "rows": rows}, path)
    return rows


def unet_table(run: Run) -> pd.DataFrame:
    """Tidy: subject, method (the input), seed, dice, hd95_mm, missed; trained on training patients only.

    A killed run goes on after the last input that was finished.
    """
    p = run.parameters
    done = each_patient(partial(_rows_of, run), unet_inputs(run), p.workers, p.dask_scheduler,
                        kind="methods")
    return pd.DataFrame([row for rows in done for row in rows])


def unet_summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per input, in the order of the table: median over patients of their mean over seeds.

    `seed_sd`: SD over seeds of the median Dice; `patient_sd`: over patients; `missed`: share of drawings
    that are empty.
    """
    rows = []
    for name, part in table.groupby("method", sort=False):
        means = part.groupby("subject")[["dice", "hd95_mm"]].mean()
        rows.append({
            "method": name, **means.median().to_dict(),
            "seed_sd": part.groupby("seed")["dice"].median().std(), "patient_sd": means["dice"].std(),
            "missed": part["missed"].mean(),
        })
    return pd.DataFrame(rows)


def seed_means(table: pd.DataFrame) -> pd.DataFrame:
    """One row per patient and input: Dice and HD95 averaged over seeds, for paired tests."""
    keys = ["subject", "method"]
    return table.groupby(keys, sort=False)[["dice", "hd95_mm"]].mean().reset_index()


def _separation_of(run: Run, subject: str) -> list[dict]:
    patient = run.patient(subject)
    gtv, spacing = np.asarray(patient.gtv), patient.spacing_mm
    around = surroundings(gtv, patient.head, spacing)
    # everything called tumour: what no skill at all reaches
    chance = 2 * gtv.sum() / (2 * gtv.sum() + around.sum())
    return [
        {"subject": subject, "method": name,
         **separation(read_fused(run, subject, name), gtv, around)._asdict(), "dice_chance": chance}
        for name in fused_methods(run)
    ]


def separation_table(run: Run) -> pd.DataFrame:
    """Tidy: subject, method, and the separation of tumour from its surroundings.

    Columns auc, separability, dice, and dice_chance, the Dice of calling everything tumour.
    """
    return over_test_patients(run, partial(_separation_of, run))
