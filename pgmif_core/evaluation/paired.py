"""Tables that set methods beside each other and beside the paper, with the tests reviewers ask for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pgmif_core.evaluation.measures import TARGET
from pgmif_core.evaluation.printed import exact_p, largest_u_below, possible_u
from pgmif_core.evaluation.statistics import (
    bootstrap_interval,
    holm,
    mann_whitney,
    paired_wilcoxon,
    quartiles,
)
from pgmif_core.methods.registry import NOT_IN_COMPARISON, method_named, ordered_methods
from pgmif_core.metrics.paper import inter_patient_cv

COMPARED = ("t1w", "t2w", "gmmci", "dlmwl", "pwa", "moi")  # what the paper compares PGMIF with


def summarize_cnr(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """One row per method: median, quartiles, inter-patient CV, P against PGMIF; ours and printed.

    `table` has columns subject, method, cnr. `median_low` … `cv_high` are 95 % BCa bootstrap
    intervals. With fewer than two patients CV and P are NaN, with fewer than five the intervals.
    """
    target = table.loc[table["method"] == TARGET, "cnr"]
    rows = []
    for name in ordered_methods(table["method"]):
        values = table.loc[table["method"] == name, "cnr"]
        cv = bootstrap_interval(values, _cv)
        rows.append({
            "method": name,
            **_spread(values),
            "cv_percent": inter_patient_cv(values) if len(values) > 1 else np.nan,
            "cv_low": cv.low,
            "cv_high": cv.high,
            "p_versus_pgmif": _p_value(target, values, name),
        })
    return _beside_published(pd.DataFrame(rows), published[published["metric"] == "cnr"])


def says_nothing(cv_percent: pd.Series, n: pd.Series) -> pd.Series:
    """Where a CV (%) of n patients says nothing: its mean is negative, or near 0.

    Near: within two standard errors, which is a CV above 100·√n / 2. There σ / μ is as large as
    one likes, whatever the patients.
    """
    return (cv_percent <= 0) | (cv_percent > 50 * np.sqrt(n))


def shown_summary(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A summary to be read, without each CV that says nothing, and the sentence that names these."""
    empty = says_nothing(summary["cv_percent"], summary["n"])
    columns = [c for c in ("cv_percent", "cv_low", "cv_high") if c in summary]
    shown = summary.astype(dict.fromkeys(columns, float))
    shown.loc[empty, columns] = np.nan
    if not empty.any():
        return shown, ""
    return shown, ("No CV is shown where it says nothing, the mean CNR being negative or within two "
                   f"standard errors of 0: {', '.join(summary.loc[empty, 'label'])}.")


def summarize_sobel(
    table: pd.DataFrame, published: pd.DataFrame, reference: str
) -> pd.DataFrame:
    """Like `summarize_cnr` for Q against one source; `table`: subject, method, reference, q."""
    table = table[table["reference"] == reference]
    target = table.loc[table["method"] == TARGET, "q"]
    rows = []
    for name in ordered_methods(table["method"]):
        values = table.loc[table["method"] == name, "q"]
        rows.append({
            "method": name, **_spread(values), "p_versus_pgmif": _p_value(target, values, name)
        })
    printed = published[(published["metric"] == "sobel") & (published["reference"] == reference)]
    return _beside_published(pd.DataFrame(rows), printed)


def _cv(values: NDArray, axis: int = -1) -> NDArray:
    return values.std(ddof=1, axis=axis) / values.mean(axis=axis) * 100


def _spread(values: pd.Series) -> dict[str, float]:
    low, middle, high = quartiles(values)
    interval = bootstrap_interval(values, np.median)
    return {"n": len(values), "median": middle, "q1": low, "q3": high,
            "median_low": interval.low, "median_high": interval.high}


def _p_value(target: pd.Series, values: pd.Series, name: str) -> float:
    if name == TARGET or len(target) < 2 or len(values) < 2:
        return np.nan
    return mann_whitney(target, values).p


def _beside_published(ours: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    columns = ["median", "q1", "q3", "p_versus_pgmif"]
    if printed["cv_percent"].notna().any():
        columns.append("cv_percent")
    theirs = printed.set_index("method")[columns].add_prefix("paper_")
    table = ours.join(theirs, on="method")
    table.insert(1, "label", [method_named(name).label for name in table["method"]])
    return table


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
    method, n, median_difference (target minus method), p_mann_whitney (as the paper tests),
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
                "p_wilcoxon": paired.p,
                "rank_biserial": paired.rank_biserial,
            })
    table = pd.DataFrame(rows)
    # the paper compares sources in CNR only
    fused = table["method"].map(lambda name: method_named(name).kind != "source")
    papers = table["method"].isin(COMPARED) & (fused | (table["measure"] == "cnr"))
    table.insert(6, "p_holm", holm(table["p_wilcoxon"].where(papers)))
    table.insert(7, "p_holm_all", holm(table["p_wilcoxon"]))
    return table


def printed_consistency(published: pd.DataFrame, patients: int = 10) -> pd.DataFrame:
    """Whether the paper's printed P values can come from its printed medians and quartiles.

    U counts the pairs in which the other method exceeds PGMIF. `u_needed`: the largest U with an
    exact P below the printed one, `p_needed` and `p_next` the exact P at it and at the next U;
    `u_least` and `u_most`: what samples with the printed quartiles allow (`published.possible_u`).
    """
    rows = []
    for (metric, reference), group in published.groupby(["metric", "reference"], dropna=False):
        group = group.set_index("method")
        mine = _printed_quartiles(group.loc[TARGET])
        for name, row in group.drop(TARGET).iterrows():
            allowed = possible_u(mine, _printed_quartiles(row), patients)
            p = row["p_versus_pgmif"]
            needed = largest_u_below(p, patients) if p == p else np.nan
            rows.append({
                "metric": metric, "reference": reference, "method": name, "p_printed": p,
                "u_needed": needed,
                "p_needed": exact_p(needed, patients, patients) if p == p else np.nan,
                "p_next": exact_p(needed + 1, patients, patients) if p == p else np.nan,
                "u_least": allowed[0] if allowed else np.nan,
                "u_most": allowed[1] if allowed else np.nan,
                "verdict": _consistency(allowed, needed),
            })
    return pd.DataFrame(rows)


def _printed_quartiles(row: pd.Series) -> Sequence[float]:
    return tuple(float(row[c]) for c in ("q1", "median", "q3"))


def _consistency(allowed: tuple[int, int] | None, needed: float) -> str:
    if allowed is None:
        return "impossible: no sample has these quartiles"
    if needed != needed:
        return "no P printed"
    return "possible" if allowed[0] <= needed else "impossible: the quartiles overlap too much"
