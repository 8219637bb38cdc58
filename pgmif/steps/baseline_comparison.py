"""Steps 03-05 for one patient or method of a run: fuse, measure."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pgmif.runs.code_of import code_of
from pgmif.runs.fused import fused_details, read_fused, write_fused
from pgmif.runs.outside import check_measurable, outside_file, read_outside
from pgmif.runs.parallel import each_patient
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import cnr, fidelity, fuse_volume, slices_of, sobel_against
from pgmif_core.fingerprints import file_hash
from pgmif_core.images.regions import head_mask
from pgmif_core.images.slices import store_fingerprint
from pgmif_core.losses import pixelwise_gradient_loss, relative_alignment
from pgmif_core.methods.pgmif_plus import read_settings
from pgmif_core.methods.registry import (
    METHODS,
    NOT_IN_COMPARISON,
    T2W,
    Method,
    compared_methods,
    load_generator,
    method_named,
)
from pgmif_core.networks.folded import FoldedGenerator

WITH_WEIGHTS = tuple(name for name, method in METHODS.items() if method.needs_weights)


def fuse_patient(run: Run, weights: dict[str, Path], subject: str) -> list[dict[str, Any]]:
    """Fuse one test patient with every method and write the volumes; returns fidelity rows.

    A volume that was made from the same slices, weights and code is kept.
    """
    patient, epsilon = run.patient(subject), run.parameters.epsilon
    code = code_of(fuse_volume, fidelity, read_outside, write_fused)
    head = head_mask(np.moveaxis(np.asarray(patient.sources), 1, 0))
    outside = outside_files(run, subject)
    rows = []
    for name, method in run_methods(run).items():
        made_from = weights | outside
        details = {"MadeFromSHA256": file_hash(made_from[name])} if name in made_from else {}
        details |= {"Slices": store_fingerprint(run.store, [subject]), "Code": code, "Epsilon": epsilon}
        known = fused_details(run, subject, name)
        if {key: known.get(key) for key in details} != details:
            if name in outside:
                trust = run.cohort().trust._replace(within=None)
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


def outside_files(run: Run, subject: str) -> dict[str, Path]:
    """What other programs made of a subject, by method."""
    folders = run.parameters.outside_methods
    return {name: outside_file(run.root / folder, subject) for name, folder in folders.items()}


def run_methods(run: Run) -> dict[str, Method]:
    """The methods of a run: sources, everything that can be computed or was trained, outside ones."""
    known = compared_methods(run.cohort().modalities)
    ready = {n: m for n, m in known.items() if not m.needs_weights or run.weights(n).exists()}
    return ready | {name: method_named(name) for name in run.parameters.outside_methods}


def trained_weights(run: Run) -> dict[str, Path]:
    """The weights of every learned method that was trained, the settings of every fitted one."""
    return {name: run.weights(name) for name in WITH_WEIGHTS if run.weights(name).exists()}


def fuse_cohort(run: Run) -> pd.DataFrame:
    """Fuse all test patients with every method; one row per patient and method."""
    weights = trained_weights(run)
    subjects = run.cohort().subjects("test")
    p, work = run.parameters, partial(fuse_patient, run, weights)
    done = each_patient(work, subjects, p.workers, p.dask_scheduler)
    return pd.DataFrame([row for rows in done for row in rows])


def starts_table(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Fraction of patients whose contrast is inverted, for both starts of PGMIF."""
    starts = {"pgmif": run.parameters.start, "pgmif_literal": "none"}
    rows = []
    for name, start in starts.items():
        part = table[table["method"] == name]
        if len(part):
            rows.append({
                "start": start,
                "patients": len(part),
                "inverted_fraction": float((part["correlation"] < 0).mean()),
                "median_correlation": float(part["correlation"].median()),
                "median_alignment_t2w": float(part["alignment_t2w"].median()),
                "median_ssim_t2w": float(part["ssim_t2w"].median()),
            })
    return pd.DataFrame(rows)


def seconds_per_pair(run: Run, method: str = "pgmif", repeats: int = 15) -> dict[str, float]:
    """Median seconds to fuse one pair of slices, batch 1, on the CPU, and the threads in use."""
    path = run.weights(method)
    fitted = METHODS[method].kind == "fitted"
    weights = read_settings(path) if fitted else FoldedGenerator(load_generator(path))
    patient = run.patient(run.cohort().subjects("test")[0])
    middle = len(patient.sources) // 2  # the first slices may be empty
    pair = torch.from_numpy(np.array(patient.sources[middle : middle + 1]))
    METHODS[method](pair, weights)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        METHODS[method](pair, weights)
        times.append(time.perf_counter() - start)
    return {"seconds_per_pair": float(np.median(times)), "threads": torch.get_num_threads()}


def epsilon_table(run: Run, epsilons: Sequence[float] = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)) -> pd.DataFrame:
    """How much ε decides: self-alignment of T2w and relative alignment of PGMIF, medians."""
    rows = []
    for subject in run.cohort().subjects("test"):
        t2w = torch.from_numpy(np.array(run.patient(subject).sources[:, T2W : T2W + 1]))
        fused = torch.from_numpy(read_fused(run, subject, "pgmif")[:, None])
        rows += [
            {"epsilon": e,
             "t2w_with_itself": -float(pixelwise_gradient_loss(t2w, t2w, e)),
             "pgmif_relative_to_that": relative_alignment(fused, t2w, e)}
            for e in epsilons
        ]
    return pd.DataFrame(rows).groupby("epsilon").median().reset_index()


def cnr_table(run: Run) -> pd.DataFrame:
    """Tidy CNR: subject, method, cnr, for all test patients and methods."""
    rows = []
    for subject in run.cohort().subjects("test"):
        patient = run.patient(subject)
        rows += [
            {"subject": subject, "method": name, "cnr": cnr(read_fused(run, subject, name), patient)}
            for name in run_methods(run)
        ]
    return pd.DataFrame(rows)


def sobel_table(run: Run) -> pd.DataFrame:
    """Tidy Q: subject, method, reference (a modality), q, for all test patients and methods."""
    cohort = run.cohort()
    rows = []
    for subject in cohort.subjects("test"):
        patient = run.patient(subject)
        for name in run_methods(run):
            volume = read_fused(run, subject, name)
            rows += [
                {"subject": subject, "method": name, "reference": modality,
                 "q": sobel_against(volume, patient, m)}
                for m, modality in enumerate(cohort.modalities)
            ]
    return pd.DataFrame(rows)


def fused_slices(run: Run, subject: str) -> dict[str, np.ndarray]:
    """The largest tumour slice of a patient under every method of the comparison."""
    k = int(np.argmax(run.patient(subject).gtv.sum(axis=(1, 2))))
    names = [n for n in run_methods(run) if n not in NOT_IN_COMPARISON]
    return {name: read_fused(run, subject, name)[k] for name in names}


def patient_rows(run: Run, subjects: list[str]) -> dict[str, tuple[dict[str, np.ndarray], np.ndarray]]:
    """Per subject the sources and PGMIF at the largest tumour slice, and the GTV: figure 4."""
    rows = {}
    modalities = run.cohort().modalities
    for subject in subjects:
        patient = run.patient(subject)
        k = int(np.argmax(patient.gtv.sum(axis=(1, 2))))
        images = {m: np.array(patient.sources[k, i]) for i, m in enumerate(modalities)}
        images["pgmif"] = read_fused(run, subject, "pgmif")[k]
        rows[subject] = (images, np.array(patient.gtv[k]))
    return rows
