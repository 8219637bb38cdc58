"""Steps 02-05 for one patient or method of a run: train, fuse, measure."""

import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pgmif_core.architecture import architecture_figure, layer_table
from pgmif_core.evaluation import (
    NOT_IN_COMPARISON,
    cnr,
    fidelity,
    fuse_volume,
    sobel_against,
    validation_row,
)
from pgmif_core.figures import save_figure
from pgmif_core.files import replacing
from pgmif_core.fingerprints import code_fingerprint, file_hash
from pgmif_core.fused import fused_details, read_fused, write_fused
from pgmif_core.losses import pixelwise_gradient_loss, relative_alignment
from pgmif_core.methods import METHODS, T2W, Method, compared_methods, load_generator
from pgmif_core.networks import Generator
from pgmif_core.parameters import modality_weights
from pgmif_core.patients import each_patient
from pgmif_core.regions import head_mask
from pgmif_core.slices import PatientSlices, TrainingSlices, store_fingerprint
from pgmif_core.steps import Run, write_table
from pgmif_core.training import TrainingSettings, train, write_weights

LEARNED = tuple(name for name, method in METHODS.items() if method.kind == "learned")


def training_settings(run: Run, method: str) -> TrainingSettings:
    """What a learned method trains with, from the run's parameters."""
    p = run.parameters
    modalities = run.cohort().modalities
    scale = {"gmmci": p.maximum_scale, "dlmwl": p.mse_scale}.get(method, p.gradient_scale)
    return TrainingSettings(
        method=method,
        modalities=len(modalities),
        channels=p.channels,
        start="none" if method == "pgmif_literal" else p.start,
        epsilon=p.epsilon,
        gradient_weights=modality_weights(p.gradient_weights, modalities),
        content_scale=scale,
        adversarial=p.adversarial,
        iterations=p.iterations,
        batch_size=p.batch_size,
        crop=p.crop,
        learning_rate=p.learning_rate_dlmwl if method == "dlmwl" else p.learning_rate,
        discriminator_rate=p.discriminator_rate,
        anneal=p.anneal,
        average_weights=p.average_weights,
        checkpoint_every=p.checkpoint_every,
        seed=p.seed,
        device=p.device,
    )


def split_training(run: Run) -> tuple[list[str], list[str]]:
    """Training patients to fit on, and those to watch: never a test patient.

    `validation_patients` are held out where three times as many are there. A smaller cohort can
    spare none: then they are fitted and watched both. The training itself sees no tumour contour.
    """
    subjects = run.cohort().subjects("train")
    wanted = run.parameters.validation_patients
    return subjects[wanted if len(subjects) >= 3 * wanted else 0 :], subjects[:wanted]


def train_method(run: Run, method: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train a learned method of a run; returns its history and its validation table."""
    folder = run.folder(f"02_training/{method}")
    fit, watched = split_training(run)
    slices = TrainingSlices(run.store, fit, run.parameters.crop, run.parameters.seed)
    # a training patient may lack a reference region or a covered tumour: no CNR to watch then
    patients = [p for p in map(run.patient, watched) if p.reference.any() and p.gtv.any()]
    how = "held out" if set(watched).isdisjoint(fit) else "fitted too, patients are few"
    print(f"{method}: {len(slices)} slices of {len(fit)} patients; {len(patients)} watched ({how})")
    validation = watched_training(run, training_settings(run, method), slices, patients, folder)
    return pd.read_csv(folder / "history.csv"), validation


def watched_training(
    run: Run, settings: TrainingSettings, slices: TrainingSlices,
    patients: Sequence[PatientSlices], folder: Path,
) -> pd.DataFrame:
    """Train, score every checkpoint on validation patients, keep the best as the weights.

    Without validation patients, or with `select_checkpoint: false`, the last weights count. Returns
    one row per checkpoint; `kept` marks the one whose weights count.
    """
    log, best = folder / "validation_log.csv", folder / "best.safetensors"
    epsilon = run.parameters.epsilon

    def watch(iteration: int, generator: Generator) -> None:
        if not patients:
            return
        row = {"iteration": iteration, **validation_row(generator, patients, epsilon)}
        earlier = pd.read_csv(log) if log.exists() and iteration > settings.checkpoint_every else None
        rows = pd.DataFrame([row])
        if earlier is not None:
            rows = pd.concat([earlier[earlier["iteration"] < iteration], rows])
        write_table(rows, log)
        if row["score"] >= rows["score"].max():
            write_weights(generator, settings, best, iteration)

    watched = store_fingerprint(run.store, [p.subject for p in patients]) + code_fingerprint(
        "evaluation", "metrics", "regions"
    )
    weights = train(settings, slices, folder, watch, watched)
    if not patients:
        return pd.DataFrame({"iteration": []})
    table = pd.read_csv(log)
    chosen = table["score"].idxmax() if run.parameters.select_checkpoint else len(table) - 1
    if run.parameters.select_checkpoint:
        with replacing(weights) as temporary:
            shutil.copyfile(best, temporary)
    return table.assign(kept=table.index == chosen)


def fuse_patient(run: Run, weights: dict[str, Path], subject: str) -> list[dict[str, Any]]:
    """Fuse one test patient with every method and write the volumes; returns fidelity rows.

    A volume that was made from the same slices, weights and code is kept.
    """
    patient, epsilon = run.patient(subject), run.parameters.epsilon
    code = code_fingerprint(
        "methods", "networks", "evaluation", "metrics", "regions", "losses", "gradients"
    )
    head = head_mask(np.moveaxis(np.asarray(patient.sources), 1, 0))
    rows = []
    for name, method in compared_methods(run.cohort().modalities).items():
        if method.kind == "learned" and name not in weights:
            continue
        details = {"WeightsSHA256": file_hash(weights[name])} if name in weights else {}
        details |= {"Slices": store_fingerprint(run.store, [subject]), "Code": code, "Epsilon": epsilon}
        known = fused_details(run, subject, name)
        if {key: known.get(key) for key in details} != details:
            generator = load_generator(weights[name]) if name in weights else None
            volume = fuse_volume(method, patient, generator)
            known = details | {"Fidelity": fidelity(volume, patient, epsilon, head)}
            write_fused(run, patient, name, volume, known)
        rows.append({"subject": subject, "method": name, **known["Fidelity"]})
    return rows


def trained_weights(run: Run) -> dict[str, Path]:
    """The weights of every learned method that has been trained."""
    return {name: run.weights(name) for name in LEARNED if run.weights(name).exists()}


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
    generator = load_generator(run.weights(method))
    patient = run.patient(run.cohort().subjects("test")[0])
    pair = torch.from_numpy(np.array(patient.sources[:1]))
    METHODS[method](pair, generator)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        METHODS[method](pair, generator)
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


def _methods_present(run: Run) -> list[str]:
    known: dict[str, Method] = compared_methods(run.cohort().modalities)
    return [n for n, m in known.items() if m.kind != "learned" or run.weights(n).exists()]


def cnr_table(run: Run) -> pd.DataFrame:
    """Tidy CNR: subject, method, cnr, for all test patients and methods."""
    rows = []
    for subject in run.cohort().subjects("test"):
        patient = run.patient(subject)
        rows += [
            {"subject": subject, "method": name, "cnr": cnr(read_fused(run, subject, name), patient)}
            for name in _methods_present(run)
        ]
    return pd.DataFrame(rows)


def sobel_table(run: Run) -> pd.DataFrame:
    """Tidy Q: subject, method, reference (a modality), q, for all test patients and methods."""
    cohort = run.cohort()
    rows = []
    for subject in cohort.subjects("test"):
        patient = run.patient(subject)
        for name in _methods_present(run):
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
    names = [n for n in _methods_present(run) if n not in NOT_IN_COMPARISON]
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


ARCHITECTURE_FIGURES = {
    "pgmif": ("figure_1_pgmif_architecture", "PGMIF: encoders, decoder and discriminators",
              "−Σ wₘ (nₘ·n)², Eq. 2"),
    "dlmwl": ("figure_2_dlmwl_architecture", "DLMWL: encoders, decoder and discriminators",
              "Σ xₘ (fused − xₘ)², Eq. 5"),
}


def save_architecture(run: Run, method: str, generator: Generator) -> Figure | None:
    """Figure 1 (PGMIF) or 2 (DLMWL) from the live generator; None for the other methods."""
    if method not in ARCHITECTURE_FIGURES:
        return None
    name, title, content = ARCHITECTURE_FIGURES[method]
    size = run.parameters.slice_size
    figure = architecture_figure(generator, run.cohort().modalities, content, title, size)
    save_figure(figure, run.figures, name, layer_table(generator, size), run.parameters.dpi)
    return figure
