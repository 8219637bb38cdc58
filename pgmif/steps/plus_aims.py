"""Step 10: the aims of PGMIF+, set before it was built, and whether it reached them."""

import pandas as pd

from pgmif_core.evaluation.summary import says_nothing
from pgmif_core.methods.names import method_named

PLUS = "pgmif_plus"
PLUS_CNR_RATIO = 1.15  # aim: median CNR over the better untouched source's
PLUS_Q = {"T1w": 0.594, "T2w": 0.692}  # aim: the medians that the paper prints for PGMIF


def plus_aims(
    cnr_summary: pd.DataFrame, sobel_summary: pd.DataFrame, standing: pd.DataFrame,
    fidelity: pd.DataFrame, seconds: pd.Series,
) -> pd.DataFrame:
    """What PGMIF+ set out to reach on test patients, and whether it did.

    `standing` as from `frontier.standing_table`, `fidelity` with columns method and correlation, one row
    per patient, `seconds` per pair by method.
    """
    cnr = cnr_summary.set_index("method")
    sources = [n for n in cnr.index if method_named(n).kind == "source"]
    mine = cnr.loc[PLUS]
    better = cnr.loc[sources, "median"].idxmax()
    ratio = mine["median"] / cnr.loc[better, "median"]
    rows = [_aim("median CNR over the better source's", f"≥ {PLUS_CNR_RATIO}", f"{ratio:.2f}",
                 ratio >= PLUS_CNR_RATIO, f"{mine['median']:.3g} : {method_named(better).label} "
                 f"{cnr.loc[better, 'median']:.3g}")]
    control = "t2w_standardised"
    rows.append(_aim(
        f"median CNR above the control {method_named(control).label}",
        f"> {cnr.loc[control, 'median']:.3g}",
        f"{mine['median']:.3g}", mine["median"] > cnr.loc[control, "median"],
        "what bringing slices to one scale gives, without fusion",
    ))
    for reference, aim in PLUS_Q.items():
        part = sobel_summary[sobel_summary["reference"] == reference].set_index("method")
        q = part.loc[PLUS, "median"]
        rows.append(_aim(f"median Q against {reference}", f"≥ {aim}", f"{q:.3f}", q >= aim,
                         "the paper's PGMIF"))
    spread = cnr["cv_percent"].mask(says_nothing(cnr["cv_percent"], cnr["n"]))
    least = spread[sources].min()
    rows.append(_aim("inter-patient CV of CNR below every source's", f"< {least:.3g} %",
                     f"{mine['cv_percent']:.3g} %", spread[PLUS] < least,
                     "of sources with a positive mean CNR"))
    own = fidelity[fidelity["method"] == PLUS]["correlation"]
    rows.append(_aim("patients inverted", "0", f"{int((own < 0).sum())} of {len(own)}", (own >= 0).all(),
                     "correlation with the mean of the sources below 0"))
    margins = standing[standing["method"] == PLUS].set_index("against")
    few = (margins["verdict"] == "too few patients").all()
    above = (margins["margin"] > 0) if few else (margins["verdict"] == "above")
    rows.append(_aim(
        "above the trivial frontier in every Q", "above", f"least margin {margins['margin'].min():.2f}",
        above.all(), "by medians alone: too few patients" if few else "in 95 % of resampled groups",
    ))
    rows.append(_aim("seconds per pair of slices, as PGMIF's or less",
                     f"≤ {seconds['pgmif'] * 1000:.0f} ms", f"{seconds[PLUS] * 1000:.0f} ms",
                     seconds[PLUS] <= seconds["pgmif"], "median of 15 runs, batch 1, CPU, same threads"))
    return pd.DataFrame(rows)


def _aim(aim: str, wanted: str, here: str, reached: bool, note: str) -> dict[str, str]:
    return {"aim": aim, "wanted": wanted, "here": here,
            "verdict": "reached" if reached else "missed", "note": note}
