"""Tables that set methods beside each other and beside the paper, with the tests reviewers ask for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pgmif_core.evaluation.statistics import (
    holm,
    mann_whitney,
    paired_wilcoxon,
    ranksum,
)
from pgmif_core.methods.names import NOT_IN_COMPARISON, PRINTED, TARGET, method_named, ordered_methods


def measures_by_patient(cnr: pd.DataFrame, sobel: pd.DataFrame) -> pd.DataFrame:
    """Tidy CNR and Q joined: one row per subject and method, columns cnr, q_<modality> in lower case."""
    q = sobel.pivot(index=["subject", "method"], columns="reference", values="q")
    q.columns = [f"q_{name.lower()}" for name in q.columns]
    return cnr.merge(q.reset_index(), on=["subject", "method"], validate="one_to_one")


def paired_comparisons(
    measures: pd.DataFrame, target: str = TARGET, columns: Sequence[str] = ()
) -> pd.DataFrame:
    """The target against every other method on the same patients, in every measure.

    `measures` as from `measures_by_patient`, or with other `columns` of measures. Columns: measure,
    method, n, median_difference (target minus method), p_mann_whitney (as the paper tests, exact),
    p_ranksum (the same as MATLAB's function gives it),
    p_wilcoxon (paired: the right test), p_holm (adjusted over the methods that the paper compares
    with; NaN for others), p_holm_all (over all rows, which with few patients none can pass: the least
    P is 2^(1−n)), rank_biserial. An untouched source is not compared in Q against itself, which is
    the same for every patient.
    """
    columns = list(columns) or [c for c in measures if c == "cnr" or c.startswith("q_")]
    wide = measures.pivot(index="subject", columns="method", values=columns)
    rows = []
    for measure in columns:
        for name in ordered_methods(measures["method"]):
            if name in (target, *NOT_IN_COMPARISON) or measure == f"q_{name}":
                continue
            mine, theirs = wide[measure, target].to_numpy(), wide[measure, name].to_numpy()
            paired = paired_wilcoxon(mine, theirs)
            rows.append({
                "measure": measure, "method": name, "n": len(mine),
                "median_difference": float(np.median(mine - theirs)),
                "p_mann_whitney": mann_whitney(mine, theirs).p if len(mine) > 1 else np.nan,
                "p_ranksum": ranksum(mine, theirs) if len(mine) > 1 else np.nan,
                "p_wilcoxon": paired.p,
                "rank_biserial": paired.rank_biserial,
            })
    table = pd.DataFrame(rows)
    # the paper compares sources in CNR only
    fused = table["method"].map(lambda name: method_named(name).kind != "source")
    papers = table["method"].isin(PRINTED) & (fused | (table["measure"] == "cnr"))
    table.insert(7, "p_holm", holm(table["p_wilcoxon"].where(papers)))
    table.insert(8, "p_holm_all", holm(table["p_wilcoxon"]))
    return table


