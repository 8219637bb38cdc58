"""Step 04: every test patient fused with every method, and whether each image is sane."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pgmif.runs.code_of import code_of
from pgmif.runs.fused import (
    LOOKED_UP,
    fused_details,
    fused_methods,
    method_code,
    outside_files,
    read_fused,
    run_methods,
    trained_weights,
    write_fused,
)
from pgmif.runs.outside import check_measurable, read_outside
from pgmif.runs.parallel import each_patient
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import fidelity, fuse_volume
from pgmif_core.files import file_hash
from pgmif_core.images.patient import slices_of
from pgmif_core.images.store import store_fingerprint
from pgmif_core.images.volumes import volume_files
from pgmif_core.methods.names import NAMES, NOT_IN_COMPARISON, TARGET
from pgmif_core.methods.pgmif_plus import read_settings
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.networks.weights import load_generator


def fuse_patient(run: Run, weights: dict[str, Path], subject: str) -> list[dict[str, Any]]:
    """Fuse one test patient with every method and write the volumes; returns fidelity rows.

    A volume that was made from the same slices, weights and code is kept.
    """
    patient, epsilon = run.patient(subject), run.parameters.epsilon
    code, trust = code_of(fuse_patient, without=LOOKED_UP), run.cohort.trust._replace(within=None)
    head = patient.head
    outside = outside_files(run, subject)
    rows = []
    for name, method in run_methods(run).items():
        made_from = weights | outside
        files = volume_files(made_from[name], trust) if name in made_from else []
        details = {"MadeFromSHA256": [file_hash(file) for file in files]} if files else {}
        details |= {"Slices": store_fingerprint(run.store, [subject]), "Epsilon": epsilon,
                    "Code": code + method_code(method)}
        known = fused_details(run, subject, name)
        if {key: known.get(key) for key in details} != details:
            if name in outside:
                volume = read_outside(outside[name], patient, trust)
                check_measurable(outside[name], volume, patient)
            else:
                volume = fuse_volume(method, patient, weights.get(name))
            given = ~np.isnan(volume).any(axis=(1, 2))
            if given.all():
                known = details | {"Fidelity": fidelity(volume, patient, epsilon, head)}
            else:
                part = slices_of(patient, given)
                known = details | {"Fidelity": fidelity(volume[given], part, epsilon, head[given]),
                                   "SlicesNotGiven": np.flatnonzero(~given).tolist()}
            write_fused(run, patient, name, np.nan_to_num(volume), known)
        rows.append({"subject": subject, "method": name, **known["Fidelity"]})
    return rows


def fuse_cohort(run: Run) -> pd.DataFrame:
    """Fuse all test patients with every method; one row per patient and method."""
    weights = trained_weights(run)
    subjects = run.cohort.subjects("test")
    p, work = run.parameters, partial(fuse_patient, run, weights)
    done = each_patient(work, subjects, p.workers, p.dask_scheduler)
    return pd.DataFrame([row for rows in done for row in rows])


def starts_table(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Fraction of patients with inverted contrast, for PGMIF and its literal reading, by their start."""
    rows = []
    for name, row in NAMES.items():
        part = table[table["method"] == name]
        if row.loss == NAMES[TARGET].loss and len(part):
            rows.append({
                "start": row.own.get("start", run.parameters.start),
                "patients": len(part),
                "inverted_fraction": float((part["correlation"] < 0).mean()),
                "median_correlation": float(part["correlation"].median()),
                "median_alignment_t2w": float(part["alignment_t2w"].median()),
                "median_ssim_t2w": float(part["ssim_t2w"].median()),
            })
    return pd.DataFrame(rows, columns=[
        "start", "patients", "inverted_fraction", "median_correlation", "median_alignment_t2w",
        "median_ssim_t2w",
    ])


def speed_table(run: Run) -> pd.DataFrame:
    """Seconds per pair of PGMIF and PGMIF+, if they were made: method, seconds_per_pair, threads."""
    there = [n for n in (TARGET, "pgmif_plus") if run.weights(n).exists()]
    rows = [{"method": name, **seconds_per_pair(run, name)} for name in there]
    return pd.DataFrame(rows, columns=["method", "seconds_per_pair", "threads"])


def seconds_per_pair(run: Run, method: str = "pgmif", repeats: int = 15) -> dict[str, float]:
    """Median seconds to fuse one pair of slices, batch 1, on the CPU, and the threads in use."""
    path = run.weights(method)
    fitted = METHODS[method].kind == "fitted"
    weights = read_settings(path) if fitted else FoldedGenerator(load_generator(path))
    patient = run.patient(run.cohort.subjects("test")[0])
    middle = len(patient.sources) // 2  # the first slices may be empty
    pair = torch.from_numpy(np.array(patient.sources[middle : middle + 1]))
    METHODS[method](pair, weights)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        METHODS[method](pair, weights)
        times.append(time.perf_counter() - start)
    return {"seconds_per_pair": float(np.median(times)), "threads": torch.get_num_threads()}


def fused_slices(run: Run, subject: str) -> dict[str, np.ndarray]:
    """The largest tumour slice of a patient under every method of the comparison."""
    k = run.patient(subject).largest
    names = [n for n in fused_methods(run) if n not in NOT_IN_COMPARISON]
    return {name: read_fused(run, subject, name)[k] for name in names}


def patient_rows(run: Run, subjects: list[str]) -> dict[str, tuple[dict[str, np.ndarray], np.ndarray]]:
    """Per subject the sources and PGMIF, if there, at the largest tumour slice, and the GTV."""
    rows = {}
    modalities = run.cohort.modalities
    for subject in subjects:
        patient = run.patient(subject)
        k = patient.largest
        images = {m: np.array(patient.sources[k, i]) for i, m in enumerate(modalities)}
        if TARGET in fused_methods(run):
            images[TARGET] = read_fused(run, subject, TARGET)[k]
        rows[subject] = (images, np.array(patient.gtv[k]))
    return rows
