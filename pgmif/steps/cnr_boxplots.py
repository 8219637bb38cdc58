"""Step 05: the tumour CNR of every method on every test patient."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pgmif.runs.fused import fused_methods, read_fused
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import cnr
from pgmif_core.evaluation.statistics import bootstrap_interval
from pgmif_core.evaluation.summary import beside_published, p_versus, spread_of
from pgmif_core.images.patient import PatientSlices
from pgmif_core.methods.names import TARGET, ordered_methods
from pgmif_core.metrics.paper import between_slices_share, inter_patient_cv


def summarize_cnr(
    table: pd.DataFrame, published: pd.DataFrame, column: str = "cnr"
) -> pd.DataFrame:
    """One row per method: median, quartiles, inter-patient CV, P against PGMIF; ours and printed.

    `table` has columns subject, method and `column`, a CNR. `median_low` … `cv_high` are 95 % BCa
    bootstrap intervals. With fewer than two patients CV and P are NaN, with fewer than five these.
    """
    target = table.loc[table["method"] == TARGET, column]
    rows = []
    for name in ordered_methods(table["method"]):
        values = table.loc[table["method"] == name, column]
        cv = bootstrap_interval(values, _cv)
        rows.append({
            "method": name,
            **spread_of(values),
            "cv_percent": inter_patient_cv(values) if len(values) > 1 else np.nan,
            "cv_low": cv.low,
            "cv_high": cv.high,
            "p_versus_pgmif": p_versus(target, values, name),
        })
    summary = pd.DataFrame(rows)
    if "between_percent" in table:
        between = table.groupby("method")["between_percent"].median()
        summary["between_percent"] = summary["method"].map(between)
    return beside_published(summary, published[published["metric"] == "cnr"])


def cnr_table(run: Run) -> pd.DataFrame:
    """Tidy CNR of all test patients and methods: subject, method, cnr (σ pooled over slices), cnr_within
    (σ within slices), between_percent (of the reference's pooled variance, what is between slices)."""
    rows = []
    for subject in run.cohort.subjects("test"):
        patient = run.patient(subject)
        for name in fused_methods(run):
            volume = read_fused(run, subject, name)
            rows.append({"subject": subject, "method": name, **cnr_row(volume, patient)})
    return pd.DataFrame(rows)


def cnr_row(volume: NDArray, patient: PatientSlices) -> dict[str, float]:
    """Columns cnr, cnr_within and between_percent of `cnr_table` for one image."""
    between = between_slices_share(volume, np.asarray(patient.reference))
    return {"cnr": cnr(volume, patient), "cnr_within": cnr(volume, patient, pooled=False),
            "between_percent": 100 * between}


def _cv(values: NDArray, axis: int = -1) -> NDArray:
    return values.std(ddof=1, axis=axis) / values.mean(axis=axis) * 100
