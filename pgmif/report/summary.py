"""What a run came to: the numbers at the top of the report, from the run's own tables."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pgmif_core.evaluation.summary import shown_summary
from pgmif_core.methods.names import NOT_IN_COMPARISON, method_named
from pgmif_core.metrics.paper import NO_CHANGE


def methods_above(frontier: pd.DataFrame, verdict: str = "verdict") -> list[str]:
    """Labels of the methods above what trivial filters reach, in every Q, in 95 % of resamples."""
    above = frontier.assign(above=frontier[verdict] == "above")
    above = above.groupby("method", sort=False)["above"].all()
    return [method_named(n).label for n in above[above].index if n not in NOT_IN_COMPARISON]


def method_table(figures: Path) -> tuple[pd.DataFrame, str]:
    """CNR with quartiles and CV and Q against each source, medians per method, and the paper's medians;
    what to know of the CVs."""
    cnr, sobel = (pd.read_csv(figures / f"table_{name}.csv") for name in ("cnr", "sobel"))
    cnr, note = shown_summary(cnr[~cnr["method"].isin(NOT_IN_COMPARISON)])
    table = pd.DataFrame({
        "method": cnr["label"], "kind": [method_named(n).kind for n in cnr["method"]],
        "CNR": cnr["median"].round(2), "CNR quartiles": [
            f"{low:.2f} to {high:.2f}" for low, high in zip(cnr["q1"], cnr["q3"], strict=True)
        ], "CV of CNR, %": cnr["cv_percent"].round(0), "CNR printed": cnr["paper_median"],
    })
    for source, part in sobel.groupby("reference", sort=False):
        by_method = part.set_index("method")
        table[f"Q {source}"] = cnr["method"].map(by_method["median"].round(3))
        table[f"Q {source} printed"] = cnr["method"].map(by_method["paper_median"])
    return table.dropna(axis="columns", how="all"), note


def busy_seconds(begun: Iterable[float], seconds: Iterable[float]) -> float:
    """Time in which at least one notebook ran: pauses of a run made in parts do not count."""
    total, end = 0.0, 0.0
    for start, took in sorted(zip(begun, seconds, strict=True)):
        total += max(0.0, start + took - max(start, end))
        end = max(end, start + took)
    return total


def key_numbers(figures: Path, patients: pd.DataFrame, flagged: int) -> list[tuple[str, str, str]]:
    """(what, number, beside it) of the report's first lines."""
    cnr = pd.read_csv(figures / "table_cnr.csv").set_index("method")["median"]
    sobel = pd.read_csv(figures / "table_sobel.csv").set_index(["method", "reference"])["median"]
    claims = pd.read_csv(figures / "table_claims.csv")
    verdicts = claims.loc[claims["counts"] == "yes", "verdict"].value_counts()
    q = [f"{sobel[('pgmif', source)]:.2f}" for source in sobel["pgmif"].index]
    seconds = pd.read_csv(figures / "table_seconds.csv")
    minutes = busy_seconds(seconds["begun"], seconds["seconds"]) / 60
    splits = patients["split"].value_counts()
    return [
        ("test patients", str(splits.get("test", 0)), f"{splits.get('train', 0)} for training"),
        ("claims of the paper that hold", f"{verdicts.get('holds', 0)} of {verdicts.sum()}",
         f"{verdicts.get('not reproduced', 0)} not reproduced, "
         f"{verdicts.get('cannot be tested', 0)} cannot be tested"),
        ("median CNR of PGMIF", f"{cnr['pgmif']:.2f}", f"T2w untouched {cnr['t2w']:.2f}"),
        ("median Q of PGMIF", " / ".join(q),
         f"against {' / '.join(sobel['pgmif'].index)}; unchanged {NO_CHANGE:.2f}"),
        ("patients flagged", str(flagged), f"of {len(patients)} registered"),
        ("minutes", f"{minutes:.1f}", "all notebooks of the run"),
    ]


def findings(figures: Path) -> list[str]:
    """Sentences on the frontier and on PGMIF+, where the run has their tables."""
    said = []
    if not (figures / "table_frontier.csv").exists():
        return said
    frontier = pd.read_csv(figures / "table_frontier.csv")
    if (frontier["verdict"] == "too few patients").all():
        said.append("Too few patients for a verdict on which methods stand above trivial filters.")
    else:
        said.append("Above everything that blurring or sharpening a source gives, in every Q: "
                    f"{', '.join(methods_above(frontier)) or 'no method'}.")
    if not (figures / "table_plus_aims.csv").exists():
        return said
    aims = pd.read_csv(figures / "table_plus_aims.csv")
    reached = int((aims["verdict"] == "reached").sum())
    said.append(f"PGMIF+ reaches {reached} of the {len(aims)} aims that were set for it.")
    return said
