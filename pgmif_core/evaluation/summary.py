"""Distributions over patients in one row per method, beside the printed ones."""

import numpy as np
import pandas as pd

from pgmif_core.evaluation.statistics import bootstrap_interval, mann_whitney, quartiles
from pgmif_core.methods.names import TARGET, method_named


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


def spread_of(values: pd.Series) -> dict[str, float]:
    """Number of patients, median, quartiles, and the median's 95 % bootstrap interval."""
    low, middle, high = quartiles(values)
    interval = bootstrap_interval(values, np.median)
    return {"n": len(values), "median": middle, "q1": low, "q3": high,
            "median_low": interval.low, "median_high": interval.high}


def p_versus(target: pd.Series, values: pd.Series, name: str) -> float:
    """The paper's Mann-Whitney P of the target against method `name`; NaN against itself and of one."""
    if name == TARGET or len(target) < 2 or len(values) < 2:
        return np.nan
    return mann_whitney(target, values).p


def beside_published(ours: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    """A summary with labels and the paper's medians, quartiles and P values in columns paper_…"""
    columns = ["median", "q1", "q3", "p_versus_pgmif"]
    if printed["cv_percent"].notna().any():
        columns.append("cv_percent")
    theirs = printed.set_index("method")[columns].add_prefix("paper_")
    table = ours.join(theirs, on="method")
    table.insert(1, "label", [method_named(name).label for name in table["method"]])
    return table
