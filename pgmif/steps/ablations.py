"""Step 09: one decision varied, everything else kept, all test patients measured.

Nothing is chosen from these numbers: they show how much each decision matters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from pgmif.runs.parallel import each_patient
from pgmif.runs.run import Run
from pgmif.steps.preprocessing import registered_to_t2w
from pgmif.steps.training import train_variant, training_settings
from pgmif_core.evaluation.measures import cnr, fuse_volume, sobel_against
from pgmif_core.images.modalities import Minmax
from pgmif_core.images.patient import PatientSlices, measured_slices, place_sources, with_reference
from pgmif_core.images.regions import Choice
from pgmif_core.methods.registry import METHODS
from pgmif_core.metrics.paper import contrast_correlation

CHOICES = get_args(Choice)[::-1]  # of the reference region, as the values 0 and 1
ORDERS = get_args(Minmax)  # likewise
UNTRAINED = ("t1w", "t2w", "moi")  # beside PGMIF where the measurement is varied, not the training


@dataclass(frozen=True)
class Ablation:
    """One decision: its values, the methods looked at, and what a value changes.

    `change` gives the parameters of a training; None where a value changes the patients instead.
    """

    title: str
    values: tuple[float, ...]
    methods: tuple[str, ...] = ("pgmif",)
    change: Callable[[float], dict[str, Any]] | None = None
    logarithmic: bool = False


def _balance(value: float) -> dict[str, Any]:
    return {"gradient_scale": value, "adversarial": True} if value else {"adversarial": False}


ABLATIONS: dict[str, Ablation] = {
    "epsilon": Ablation(
        "edge parameter ε", (3e-2, 1e-1, 3e-1),
        change=lambda v: {"epsilon": v}, logarithmic=True,
    ),
    "weight": Ablation(
        "gradient weight of T2w, T1w = 1", (1.0, 8.0, 16.0),
        change=lambda v: {"gradient_weights": [1.0, v]}, logarithmic=True,
    ),
    "adversarial": Ablation(
        "gradient term : adversarial terms, 0: without these", (0.0, 0.1, 0.3, 1.0),
        change=_balance, logarithmic=True,
    ),
    "penalty": Ablation(
        "gradient penalty γ of the discriminators, 0: none", (0.0, 1.0),
        change=lambda v: {"gradient_penalty": v}, logarithmic=True,
    ),
    "window": Ablation(
        "side of the reference window (mm)", (6.0, 8.0, 10.0, 12.0, 15.0), (*UNTRAINED, "pgmif")
    ),
    "distance": Ablation(
        "largest distance of the reference window (mm)", (10.0, 15.0, 25.0, 40.0),
        (*UNTRAINED, "pgmif"),
    ),
    "reference": Ablation(
        "reference region, 0: the calmest window of each slice, 1: one tissue", (0.0, 1.0),
        (*UNTRAINED, "t2w_blurred", "pgmif", "pgmif_plus", "gmmci", "dlmwl"),
    ),
    "registration": Ablation(
        "registration of T1w, 0: off, 1: on", (0.0, 1.0), (*UNTRAINED, "average", "pgmif")
    ),
    "minmax": Ablation(
        "min-max, 0: of the slices placed on T2w's, 1: of those acquired", (0.0, 1.0),
        (*UNTRAINED, "average", "pgmif", "pgmif_plus", "gmmci", "dlmwl"),
    ),
}


def _changed(run: Run, change: dict[str, Any]) -> Run:
    return replace(run, parameters=run.parameters.model_copy(update=change))


def variant_weights(run: Run, name: str, value: float, method: str) -> Path:
    """Weights of a method trained with one value of an ablation; the run's own where nothing differs."""
    other = _changed(run, ABLATIONS[name].change(value))
    settings = training_settings(other, method)
    if settings == training_settings(run, method) and run.weights(method).exists():
        return run.weights(method)
    folder = run.folder(f"09_ablations/{name}/{value:g}/{method}")
    return train_variant(run, settings, folder, f"{name} = {value:g}")


def _with_reference(run: Run, patient: PatientSlices, name: str, value: float) -> PatientSlices | None:
    if run.cohort.value(patient.subject, "reference"):
        return None  # drawn by hand: there is no window to vary
    p = run.parameters
    window = value if name == "window" else p.reference_window_mm
    farthest = value if name == "distance" else p.reference_farthest_mm
    choice = CHOICES[int(value)] if name == "reference" else p.reference_choice
    try:
        return with_reference(patient, window, p.reference_nearest_mm, farthest, choice=choice)
    except ValueError:  # no such window: this patient cannot be measured like that
        return None


def _placed_again(run: Run, patient: PatientSlices, moved: bool) -> PatientSlices:
    """The same patient, its sequences placed anew: `moved` by a registration under the run's parameters,
    or where the scanner put them."""
    cohort, minmax = run.cohort, run.parameters.minmax_slices
    images = {modality: cohort.image(patient.subject, modality) for modality in cohort.modalities}
    transforms = {m: registered_to_t2w(images, m, run.parameters).moves
                  for m in images if m != "T2w"} if moved else {}
    placed = place_sources(images, patient.grid, transforms, minmax)
    return patient._replace(sources=placed.sources, imaged=placed.imaged, ranges=placed.ranges)


def _varied(run: Run, name: str, value: float, patient: PatientSlices) -> PatientSlices | None:
    if name in ("window", "distance", "reference"):
        return _with_reference(run, patient, name, value)
    if name == "registration" and not value:
        return _placed_again(run, patient, moved=False)
    if name == "minmax" and (order := ORDERS[int(value)]) != run.parameters.minmax_slices:
        return _placed_again(_changed(run, {"minmax_slices": order}), patient, moved=True)
    return patient


def measured_variant(
    run: Run, name: str, value: float, weights: dict[str, Path], subject: str,
    methods: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """One test patient under one value of an ablation: CNR, Q, correlation with the sources.

    `methods`: those of the ablation if not given.
    """
    whole = _varied(run, name, value, run.patient(subject))
    if whole is None:
        return []
    patient = measured_slices(whole)
    sources, head = patient.volumes, patient.head
    truth = patient if name != "registration" else measured_slices(
        run.patient(subject)._replace(reference=whole.reference))
    rows = []
    for method in methods or ABLATIONS[name].methods:
        volume = fuse_volume(method, patient, weights.get(method))
        row = {"ablation": name, "value": value, "method": method, "subject": subject,
               "cnr": cnr(volume, patient), "cnr_within": cnr(volume, patient, pooled=False)}
        # against the registered sources: a shifted T1w must not be its own yardstick
        row |= {f"q_{modality.lower()}": sobel_against(volume, truth, m, run.parameters.sobel_reading)
                for m, modality in enumerate(run.cohort.modalities)}
        rows.append(row | {"correlation": contrast_correlation(volume, sources, head)})
    return rows


def ablation_table(run: Run, name: str, values: Sequence[float] = ()) -> pd.DataFrame:
    """All values of an ablation on all test patients; trains what has to be trained.

    Tidy: ablation, value, method, subject, cnr, cnr_within, q_<modality>, correlation. A training that
    was killed goes on from its checkpoint.
    """
    ablation = ABLATIONS[name]
    rows: list[dict[str, Any]] = []
    methods = [m for m in ablation.methods
               if METHODS[m].kind != "fitted" or run.weights(m).exists()]
    for absent in set(ablation.methods) - set(methods):
        print(f"left out: {METHODS[absent].label}; notebooks/03_pgmif_plus.ipynb fits it")
    learned = [m for m in methods if METHODS[m].needs_weights]
    for value in values or ablation.values:
        trained = {
            m: variant_weights(run, name, value, m) if ablation.change else run.weights(m)
            for m in learned
        }

        def work(subject: str, value=value, trained=trained) -> list[dict[str, Any]]:
            return measured_variant(run, name, value, trained, subject, methods)

        done = each_patient(work, run.cohort.subjects("test"), 1, say=lambda _: None)
        rows += [row for part in done for row in part]
    return _measured_at_every_value(pd.DataFrame(rows), name, run.cohort.subjects("test"))


def _measured_at_every_value(table: pd.DataFrame, name: str, subjects: Sequence[str]) -> pd.DataFrame:
    """Only patients that have a row at every value: medians along a curve are of the same patients."""
    counts = table.groupby("subject")["value"].nunique() if len(table) else pd.Series(dtype=int)
    whole = set(counts.index[counts == table["value"].nunique()]) if len(table) else set()
    if not whole:
        raise ValueError(
            f"{name}: no test patient can be measured at every value; is the reference region drawn "
            "by hand, or a window too large? Name other values (ablation_values)."
        )
    left_out = [s for s in subjects if s not in whole]
    if left_out:
        print(f"{name}: not measurable at every value and left out: {', '.join(left_out)}")
    return table[table["subject"].isin(whole)].reset_index(drop=True)


def in_force(run: Run, name: str) -> float | None:
    """The value of an ablation that the run itself has; None where none is alike."""
    ablation, p = ABLATIONS[name], run.parameters
    if ablation.change is None:
        return {"window": p.reference_window_mm, "distance": p.reference_farthest_mm,
                "reference": float(CHOICES.index(p.reference_choice)), "registration": 1.0,
                "minmax": float(ORDERS.index(p.minmax_slices))}[name]
    method = ablation.methods[0]
    mine = training_settings(run, method)
    alike = [v for v in ablation.values
             if training_settings(_changed(run, ablation.change(v)), method) == mine]
    return alike[0] if alike else None


def untouched_sources(run: Run) -> pd.DataFrame:
    """Medians over test patients of CNR and Q of T1w and T2w as they are: columns method, measures."""
    rows = [row for subject in run.cohort.subjects("test")
            for row in measured_variant(run, "registration", 1.0, {}, subject, ("t1w", "t2w"))]
    table = pd.DataFrame(rows)
    return table.groupby("method").median(numeric_only=True).drop(columns="value").reset_index()


def value_spread(table: pd.DataFrame) -> pd.DataFrame:
    """How far the cohort's median moves over the values, beside that between patients, per measure.

    `value_sd`: sample SD of the medians of the values; `patient_sd`: sample SD over patients of their
    mean over values; `lowest` and `highest` median of any value.
    """
    rows = []
    for measure in [c for c in table if c == "cnr" or c.startswith("q_")]:
        for method, part in table.groupby("method", sort=False):
            medians = part.groupby("value")[measure].median()
            patients = part.groupby("subject")[measure].mean()
            rows.append({
                "measure": measure, "method": method, "values": len(medians), "median": medians.median(),
                "lowest": medians.min(), "highest": medians.max(), "value_sd": medians.std(),
                "patient_sd": patients.std(),
            })
    return pd.DataFrame(rows)
