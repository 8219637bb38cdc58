"""Step 10: the paper's claims, one row each: what it printed, what is found here, holds or not."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pgmif.steps.sobel_analysis import READING_WORDS
from pgmif_core.evaluation.gain import gains_by_patient
from pgmif_core.evaluation.statistics import paired_wilcoxon
from pgmif_core.evaluation.summary import says_nothing
from pgmif_core.methods.names import NOT_IN_COMPARISON, PRINTED, TARGET, method_named
from pgmif_core.metrics.paper import NO_CHANGE

HOLDS, FAILS, UNTESTABLE = "holds", "not reproduced", "cannot be tested"
COUNTED, IMPLIED = "yes", "no: the rows that compare two by two test it"
BEYOND = "no: the paper does not test it"
FUSING = "fusing adds to PGMIF's CNR of one source alone"
NOTHING = "nothing"  # of a verdict that depends on no other reading
SIGNIFICANCE = 0.05  # Methods, "Evaluation methods"
SMALLEST_SAMPLE = 4  # below 4 against 4 no Mann-Whitney P can fall under 0.05
SMALLEST_PAIRED = 6  # nor a signed-rank P of fewer pairs


NOT_MEASURED = (
    ("120,000 iterations are trained in about 2 h", "2 h",
     "asks for the paper's GPU; make bench PART=gpu measures it where one is"),
    ("no trial and error is needed", "none needed",
     "no number tests it; how far balance, ε, length and seed decide: make study NAME=length"),
    ("ripples of the sources are amplified", "seen", "a limitation that the paper sees by eye"),
)


def _row(
    claim: str, paper: str, here: str, verdict: str, why: str, at_printed_p: str = "",
    counts: str = COUNTED, value: float = np.nan,
) -> dict[str, Any]:
    return {"claim": claim, "paper": paper, "here": here, "value": value, "verdict": verdict,
            "at_printed_p": at_printed_p, "counts": counts, "why": why}


def counted(claims: pd.DataFrame) -> pd.DataFrame:
    """The rows that count: without those which others imply."""
    return claims[claims["counts"] == COUNTED]


def _label(name: str) -> str:
    return method_named(name).label


def _best(table: pd.DataFrame, column: str, names: tuple[str, ...], largest: bool) -> str:
    values = table.set_index("method").loc[list(names), column]
    return str(values.idxmax() if largest else values.idxmin())


def _rank_claim(
    table: pd.DataFrame, column: str, paper_column: str, quantity: str, names: tuple[str, ...],
    largest: bool = True, counts: str = COUNTED,
) -> dict[str, Any]:
    """PGMIF is best of `names` in a column; controls that beat it are named, unless by a CV that says
    nothing."""
    rows = table.set_index("method")
    absent = [_label(n) for n in names if n not in rows.index]
    names = tuple(n for n in names if n in rows.index)
    mine, winner = rows.loc[TARGET, column], _best(table, column, (TARGET, *names), largest)
    ahead = operator.gt if largest else operator.lt
    controls = [
        _label(n) for n in rows.index
        if method_named(n).kind == "control" and ahead(rows.loc[n, column], mine)
        and not (column == "cv_percent" and says_nothing(rows[column], rows["n"])[n])
    ]
    why = f"best of the compared: {_label(winner)} ({rows.loc[winner, column]:.3g})"
    if controls:
        why += f"; also beaten by the control {', '.join(controls)}"
    if absent:
        why = f"not made in this run: {', '.join(absent)}; {why}"
    printed = rows.loc[TARGET, paper_column]
    return _row(
        f"PGMIF has the {'highest' if largest else 'lowest'} {quantity}", f"{printed:.3g}",
        f"{mine:.3g}", UNTESTABLE if absent else HOLDS if winner == TARGET else FAILS, why,
        counts=counts, value=mine,
    )


def _p_claims(table: pd.DataFrame, quantity: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row per printed P value: PGMIF greater, and P < 0.05, as the paper concludes; `at_printed_p`:
    and P below the one that it prints."""
    rows = table.set_index("method")
    claims = []
    for name in (n for n in names if n in rows.index):
        printed = rows.loc[name, "paper_p_versus_pgmif"]
        p, n = rows.loc[name, "p_versus_pgmif"], int(rows.loc[name, "n"])
        greater = rows.loc[TARGET, "median"] > rows.loc[name, "median"]
        if n < SMALLEST_SAMPLE:
            verdict, why = UNTESTABLE, f"{n} test patients: no P below 0.05 is possible"
        elif greater and p < SIGNIFICANCE:
            verdict, why = HOLDS, "PGMIF's median is greater"
        elif greater:
            verdict, why = FAILS, "PGMIF's median is greater, but not significantly"
        else:
            verdict, why = FAILS, "PGMIF's median is not greater"
        paper = "not printed in Results" if np.isnan(printed) else f"P < {printed:.2g}"
        claims.append(_row(
            f"{quantity}: PGMIF above {_label(name)}", paper,
            "no test" if np.isnan(p) else f"P = {p:.2g}", verdict, why,
            _at_printed_p(greater, p, printed, n), value=p,
        ))
    return claims


def _at_printed_p(greater: bool, p: float, printed: float, n: int) -> str:
    if np.isnan(printed):
        return ""
    if n < SMALLEST_SAMPLE or np.isnan(p):
        return UNTESTABLE
    return HOLDS if greater and p < printed else FAILS


def _cv_claim(cnr_summary: pd.DataFrame) -> dict[str, Any]:
    signed = cnr_summary.set_index("method")["cv_percent"]
    printed = f"{cnr_summary.set_index('method').loc[TARGET, 'paper_cv_percent']:.3g} %"
    present = [n for n in (TARGET, *PRINTED) if n in signed.index]
    if signed[present].isna().any():
        return _row("PGMIF has the lowest inter-patient CV of CNR", printed, "none", UNTESTABLE,
                    "a spread between patients needs at least two test patients")
    empty = says_nothing(signed, cnr_summary.set_index("method")["n"])
    if empty[present].any():
        mixed = [_label(n) for n in present if empty[n]]
        return _row(
            "PGMIF has the lowest inter-patient CV of CNR", printed, f"{signed[TARGET]:.3g} %",
            UNTESTABLE,
            f"the mean CNR of {', '.join(mixed)} is negative or within two standard errors of 0, so its "
            "CV is not a spread", value=signed[TARGET],
        )
    claim = _rank_claim(
        cnr_summary, "cv_percent", "paper_cv_percent", "inter-patient CV of CNR", PRINTED, False
    )
    return claim | {"paper": printed, "here": f"{signed[TARGET]:.3g} %"}


def _cv_order_claim(cnr_summary: pd.DataFrame) -> dict[str, Any]:
    """The methods in the order of their inter-patient CV, as the paper prints it."""
    rows = cnr_summary.set_index("method").reindex([TARGET, *PRINTED])
    printed = rows["paper_cv_percent"].sort_values()
    claim, paper = "the order of the inter-patient CVs", " < ".join(map(_label, printed.index))
    if rows["cv_percent"].isna().any():
        return _row(claim, paper, "none", UNTESTABLE, "a method or a spread between patients is missing")
    empty = says_nothing(rows["cv_percent"], rows["n"])
    here = " < ".join(map(_label, rows["cv_percent"].sort_values().index))
    if empty.any():
        return _row(claim, paper, here, UNTESTABLE, "the CV of " + ", ".join(
            _label(n) for n in rows.index[empty]) + " is not a spread")
    tau = stats.kendalltau(rows["cv_percent"], rows["paper_cv_percent"]).statistic
    return _row(claim, paper, here, HOLDS if tau == 1 else FAILS,
                f"Kendall's τ between the two orders: {tau:.2f}", value=tau)


def _blur_claim(sobel_summary: pd.DataFrame) -> dict[str, Any]:
    """PWA loses edges of both sources."""
    own = sobel_summary[sobel_summary["method"] == "pwa"].set_index("reference")
    claim = "PWA is less sharp than each source"
    if own.empty:
        return _row(claim, "", "none", UNTESTABLE, "not made in this run: PWA")
    printed, here = (" / ".join(f"{x:.3f}" for x in own[c]) for c in ("paper_median", "median"))
    return _row(claim, printed, here, HOLDS if (own["median"] < NO_CHANGE).all() else FAILS,
                f"median Q against {' / '.join(own.index)}, of an unchanged image {NO_CHANGE:.3f}",
                value=own["median"].max())


def _check_target(table: pd.DataFrame) -> None:
    if TARGET not in set(table["method"]):
        raise ValueError(f"expected {_label(TARGET)} among the fused methods, found none of it; run "
                         "notebooks/04_baseline_comparison.ipynb, 05, 06 and 07 again")


def fusion_table(gains: pd.DataFrame, limits: pd.DataFrame) -> pd.DataFrame:
    """PGMIF's patients, one row each: cnr, gain (rows of `gain_rows`), limit (of `limit_row`), and the
    same with σ within slices: cnr_within, gain_within, limit_within. Raises as `claims_table`."""
    _check_target(gains)
    table = gains_by_patient(gains).xs(TARGET, level="method")
    return table.join(limits.set_index("subject")[["limit", "limit_within"]])


def _fusion_claims(fusion: pd.DataFrame, within: bool) -> list[dict[str, Any]]:
    """What fusing itself gives, which the paper does not ask, by the paired test over patients."""
    ending = "_within" if within else ""
    cnr, gain, limit = (fusion[name + ending] for name in ("cnr", "gain", "limit"))
    cases = (
        (FUSING, gain,
         f"{gain.median():+.2f}", "than with one source in every place, the better one"),
        ("PGMIF's CNR is above that of the best linear mix", cnr - limit,
         f"{cnr.median():.2f} : {limit.median():.2f}",
         "than any sum of the sources, its weights chosen with the contour known"),
    )
    rows = []
    for claim, difference, here, why in cases:
        p, median = paired_wilcoxon(difference, np.zeros(len(difference))).p, difference.median()
        higher = f"paired P = {p:.2g}; higher in {(difference > 0).sum()} of {len(difference)} patients"
        verdict = UNTESTABLE if len(difference) < SMALLEST_PAIRED else \
            HOLDS if median > 0 and p < SIGNIFICANCE else FAILS
        rows.append(_row(claim, "not tested", here, verdict, f"{higher} {why}", counts=BEYOND,
                         value=median))
    return rows


def claims_table(
    cnr_summary: pd.DataFrame, sobel_summary: pd.DataFrame, seconds_per_pair: float,
    fusion: pd.DataFrame | None = None, within: bool = False,
) -> pd.DataFrame:
    """All claims. `sobel_summary` has a column reference; seconds are CPU time of one pair, batch 1;
    `fusion` as of `fusion_table`, read with σ within slices or not: without it two rows are missing.

    Columns claim, paper, here, value (the number that decides: a median, a P, a CV in percent, τ,
    seconds; NaN where none does), verdict (P < 0.05), at_printed_p (P below the printed one; "" where
    none is), counts ("yes", or why a row is not counted), why.

    A claim of a method that was not made in this run is left out, and one that needs all methods cannot
    be tested. Raises ValueError where PGMIF itself was not fused.
    """
    _check_target(cnr_summary)
    cnr_summary = cnr_summary[~cnr_summary["method"].isin(NOT_IN_COMPARISON)]
    rows = [
        _rank_claim(cnr_summary, "median", "paper_median", "median CNR", PRINTED, counts=IMPLIED),
        _cv_claim(cnr_summary),
        _cv_order_claim(cnr_summary),
        *_p_claims(cnr_summary, "CNR", PRINTED),
    ]
    for reference in ("T1w", "T2w"):
        table = sobel_summary[sobel_summary["reference"] == reference]
        table = table[~table["method"].isin(NOT_IN_COMPARISON)]
        fused = tuple(n for n in PRINTED if method_named(n).kind != "source")
        rows.append(_rank_claim(
            table, "median", "paper_median", f"generalized Sobel against {reference}", fused,
            counts=IMPLIED,
        ))
        rows += _p_claims(table, f"Sobel against {reference}", fused)
    printed_sources = sobel_summary[sobel_summary["reference"].isin(("T1w", "T2w"))]
    rows.append(_blur_claim(printed_sources))
    rows.append(_row(
        "a pair is fused within 0.1 s", "0.1 s", f"{seconds_per_pair * 1000:.0f} ms (CPU)",
        HOLDS if seconds_per_pair <= 0.1 else FAILS,
        "median of 15 runs on one pair of slices, batch 1, on this machine", value=seconds_per_pair,
    ))
    rows += _fusion_claims(fusion, within) if fusion is not None else []
    rows += [_row(claim, paper, "not measured", UNTESTABLE, why) for claim, paper, why in NOT_MEASURED]
    return pd.DataFrame(rows)


def depends_on(claims: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> list[str]:
    """For every row of `claims_table` the other measurements under which its verdict is another one.

    `others`: the tables of the same claims, by what CNR or Q was measured with. "nothing" where none
    changes the verdict.
    """
    turned = pd.DataFrame({
        name: np.where(other["verdict"] == claims["verdict"], "", f"{name}: " + other["verdict"])
        for name, other in others.items()
    })
    return ["; ".join(filter(None, row)) or NOTHING for row in turned.to_numpy()]


def claims_under_readings(
    cnr: pd.DataFrame, within: pd.DataFrame, sobel: pd.DataFrame, readings: pd.DataFrame,
    seconds: float, fusion: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """The claims as the run reads σ and the Sobel operator, "", and by name as each other reading does.

    `cnr`, `within`: summaries of CNR, σ over all slices and within them; `sobel`: of Q; `readings`: of Q
    by every reading (column reading); `fusion` of `fusion_table`.
    """
    claims = {"": claims_table(cnr, sobel, seconds, fusion),
              "σ within slices": claims_table(within, sobel, seconds, fusion, within=True)}
    for reading, part in readings.groupby("reading"):
        claims[f"Sobel {READING_WORDS[reading]}"] = claims_table(cnr, part, seconds, fusion)
    return claims
