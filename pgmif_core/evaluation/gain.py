"""What fusion itself gives: a method on all sources against the same method on one of them alone."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from pgmif_core.evaluation.measures import cnr, fuse_volume, sobel_against
from pgmif_core.images.patient import PatientSlices, measured_slices
from pgmif_core.methods.names import method_named, ordered_methods
from pgmif_core.methods.registry import Method, Weights
from pgmif_core.metrics.contrast import generalized_cnr, linear_limit
from pgmif_core.metrics.separation import separation

ALL = "all"  # sources, each in its place


def _fed(patient: PatientSlices, modalities: Sequence[str]) -> Iterator[tuple[str, PatientSlices]]:
    yield ALL, patient
    for m, modality in enumerate(modalities):
        copies = np.repeat(patient.sources[:, m : m + 1], len(modalities), axis=1)
        yield modality, patient._replace(sources=copies)


def gain_rows(
    patient: PatientSlices, modalities: Sequence[str], methods: dict[str, tuple[Method, Weights | None]]
) -> list[dict]:
    """One patient under every method, fed with all sources and with each source in every place.

    `methods` by name, with their weights. Columns subject, method, fed ("all" or a modality), cnr,
    cnr_within, gcnr, auc, and Q against every source. On the measured slices.
    """
    part = measured_slices(patient)
    rows = []
    for name, (method, weights) in methods.items():
        for fed, own in _fed(part, modalities):
            volume = fuse_volume(method, own, weights)
            row = {"subject": patient.subject, "method": name, "fed": fed, "cnr": cnr(volume, part),
                   "cnr_within": cnr(volume, part, pooled=False),
                   "gcnr": generalized_cnr(volume, part.gtv, part.reference),
                   "auc": separation(volume, part.gtv, part.reference).auc}
            row |= {f"q_{m.lower()}": sobel_against(volume, part, k) for k, m in enumerate(modalities)}
            rows.append(row)
    return rows


def gains_by_patient(rows: pd.DataFrame) -> pd.DataFrame:
    """CNR with all sources, and what they gain over the better one alone, by patient and method.

    `rows` as of `gain_rows`. Index subject, method; columns cnr, cnr_within (of all sources), gain,
    gain_within: that minus the larger with one of the sources alone.
    """
    keys, measures = ["subject", "method"], ["cnr", "cnr_within"]
    whole = rows[rows["fed"] == ALL].set_index(keys)[measures]
    alone = rows[rows["fed"] != ALL].groupby(keys)[measures].max()
    return whole.join((whole - alone).set_axis(["gain", "gain_within"], axis=1))


def gain_summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians over patients, one row per method: what all sources give, what one alone gives, the gain.

    `gain`: of each patient the CNR with all sources minus the better CNR with one of them alone; its
    median. `gained` counts the patients with a positive one. `gain_within` with σ within slices.
    """
    alone = rows[rows["fed"] != ALL]
    by_method = gains_by_patient(rows)[["gain", "gain_within"]].groupby("method")
    whole = rows[rows["fed"] == ALL].groupby("method")
    medians = whole[["cnr", "cnr_within", "gcnr", "auc"]].median()
    single = alone.pivot_table(index="method", columns="fed", values="cnr", aggfunc="median")
    single.columns = [f"cnr_{name.lower()}_alone" for name in single]
    summary = medians.join(single).join(by_method.median())
    summary["gained"] = by_method["gain"].agg(lambda values: int((values > 0).sum()))
    summary["n"] = by_method.size()
    summary = summary.loc[ordered_methods(summary.index)].reset_index()
    summary.insert(1, "label", [method_named(name).label for name in summary["method"]])
    return summary


def limit_row(patient: PatientSlices, modalities: Sequence[str]) -> dict:
    """The CNR of a patient's sources, of the best linear mix of them, and that mix over the better;
    `limit_within` with σ within slices."""
    part = measured_slices(patient)
    own = {m: cnr(part.sources[:, k], part) for k, m in enumerate(modalities)}
    masks = np.asarray(part.gtv), np.asarray(part.reference)
    limit = linear_limit(part.volumes, *masks)
    better = max(own.values(), key=abs)
    return {"subject": patient.subject, **{f"cnr_{m.lower()}": value for m, value in own.items()},
            "limit": limit.cnr, "over_better": limit.cnr / abs(better),
            "limit_within": linear_limit(part.volumes, *masks, pooled=False).cnr,
            **{f"weight_{m.lower()}": w for m, w in zip(modalities, limit.weights, strict=True)}}
