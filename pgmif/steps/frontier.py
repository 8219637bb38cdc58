"""Step 07: trivial filters of the sources, and the standard metrics of every method."""

from functools import partial

import numpy as np
import pandas as pd

from pgmif.runs.fused import fused_methods, read_fused, trained_weights
from pgmif.runs.parallel import over_test_patients
from pgmif.runs.run import Run
from pgmif_core.evaluation.frontier import trivial_rows
from pgmif_core.evaluation.gain import gain_rows, limit_row
from pgmif_core.methods.names import ordered_methods
from pgmif_core.methods.registry import compared_methods
from pgmif_core.metrics.standard import FUSION_METRICS, measure_fusion

MOST_SLICES = 12  # of a patient, for the standard metrics


def _trivial_of(run: Run, subject: str) -> list[dict]:
    return trivial_rows(run.patient(subject), run.cohort.modalities, run.parameters.sobel_reading)


def trivial_table(run: Run) -> pd.DataFrame:
    """CNR and Q of every source under every trivial filter; one row per patient and filter."""
    return over_test_patients(run, partial(_trivial_of, run))


def _gain_of(run: Run, subject: str) -> list[dict]:
    known, weights = compared_methods(run.cohort.modalities), trained_weights(run)
    methods = {name: (known[name], weights.get(name)) for name in fused_methods(run)
               if name in known and known[name].kind not in ("source", "control")}
    return gain_rows(run.patient(subject), run.cohort.modalities, methods)


def gain_table(run: Run) -> pd.DataFrame:
    """Every method on all sources and on each of them alone; one row per patient, method and feeding.

    Untouched sources and controls, which look at one source, and images of other programs are left out.
    """
    return over_test_patients(run, partial(_gain_of, run))


def _limit_of(run: Run, subject: str) -> list[dict]:
    return [limit_row(run.patient(subject), run.cohort.modalities)]


def limit_table(run: Run) -> pd.DataFrame:
    """The CNR of the best linear mix of the sources, contour known, one row per test patient."""
    return over_test_patients(run, partial(_limit_of, run))


def _fusion_metrics_of(run: Run, subject: str) -> list[dict]:
    patient = run.patient(subject)
    area = patient.gtv.sum(axis=(1, 2))
    planes = [k for k in np.argsort(-area, kind="stable")[:MOST_SLICES] if area[k]]
    volumes = {name: read_fused(run, subject, name)[planes] for name in fused_methods(run)}
    values = pd.DataFrame([  # slice by slice: what is computed of the sources is remembered
        {"method": name, **measure_fusion(volume[i], patient.sources[k])}
        for i, k in enumerate(planes) for name, volume in volumes.items()
    ])
    means = values.groupby("method", sort=False).mean()
    return [{"subject": subject, "method": name, "metric": metric, "value": value}
            for name, row in means.iterrows() for metric, value in row.items()]


def fusion_metrics_table(run: Run) -> pd.DataFrame:
    """Tidy standard metrics: subject, method, metric, value; mean over slices with tumour.

    The 12 slices with the most tumour, all where there are fewer: neighbours say much the same.

    Sources are rows too. Metrics that need larger slices than the run's are left out.
    """
    return over_test_patients(run, partial(_fusion_metrics_of, run))


def metric_medians(table: pd.DataFrame) -> pd.DataFrame:
    """Median over patients: one row per method, one column per metric, in their own order."""
    wide = table.pivot_table(index="method", columns="metric", values="value", aggfunc="median")
    return wide.loc[ordered_methods(wide.index), [n for n in FUSION_METRICS if n in wide]]


def metric_directions() -> pd.DataFrame:
    """What every standard metric measures, its direction, and its range for two sources."""
    return pd.DataFrame([
        {"metric": m.name, "better": "higher" if m.higher_is_better else "lower", "low": m.low,
         "high": m.high, "unit": m.unit, "what": m.description}
        for m in FUSION_METRICS.values()
    ])


