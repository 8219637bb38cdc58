"""Tables of a run as people read them: labels for names, words and units for headings."""

from pathlib import Path

import pandas as pd

from pgmif_core.methods.names import method_named

TESTS = {  # tables of figures/<run>/ that the claims rest on
    "table_paired": "Paired tests, PGMIF against every method",
    "table_printed": "Can the paper's printed P values come from its printed quartiles?",
    "table_frontier": "Margins over what trivial filters reach",
    "table_plus_aims": "The aims of PGMIF+",
    "table_fidelity": "Is each image sane? Medians",
    "table_fusion_metrics": "Standard fusion metrics, medians",
    "table_separation": "Tumour against its surroundings by grey value alone, medians",
    "table_unet": "A small U-Net on each image, medians",
}
HEADINGS = {
    "n": "patients", "q": "Q", "cnr": "CNR", "sobel": "Q", "auc": "AUC", "dice": "Dice",
    "reference": "against", "median_difference": "PGMIF − method, median",
    "p_mann_whitney": "P, Mann-Whitney", "p_ranksum": "P, MATLAB's ranksum", "p_wilcoxon": "P, Wilcoxon",
    "p_holm": "P, Holm, the paper's comparisons", "p_holm_all": "P, Holm, all",
    "rank_biserial": "effect, rank-biserial", "p_printed": "P printed", "u_needed": "U it needs",
    "p_needed": "P of that U", "p_next": "P of the next U", "u_least": "least U possible",
    "u_most": "largest U possible", "above_share": "resamples above", "below_share": "resamples below",
    "margin_stretched": "margin, greys stretched too",
    "verdict_stretched": "verdict, greys stretched too", "alignment_t2w": "alignment with T2w",
    "ssim_t2w": "SSIM with T2w", "correlation": "correlation with the sources' mean",
    "dice_chance": "Dice by chance", "hd95_mm": "Hausdorff 95 %, mm", "seed_sd": "SD over seeds",
    "patient_sd": "SD over patients", "missed": "tumours missed",
    "mi_before": "mutual information before", "mi_after": "mutual information after",
}
UNITS = {"mm": "mm", "ml": "ml", "deg": "°", "percent": "%", "seconds": "s"}


def heading(column: str) -> str:
    """A column's name in words, its unit behind a comma: rigid_mm → "rigid, mm"."""
    if column in HEADINGS:
        return HEADINGS[column]
    stem, _, unit = column.rpartition("_")
    words = f"{stem}, {UNITS[unit]}" if stem and unit in UNITS else column
    return words.replace("_", " ")


def _measure(name: str) -> str:
    return f"Q {method_named(name[2:]).label}" if name.startswith("q_") else HEADINGS.get(name, name)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Methods and measures by their labels, headings in words; no `cohort`, which the page names."""
    table = table.drop(columns="cohort", errors="ignore").dropna(axis="columns", how="all")
    says = {"method": lambda name: method_named(name).label, "measure": _measure, "metric": _measure,
            "against": _measure}
    named = {c: table[c].map(say) for c, say in says.items() if c in table}
    return table.assign(**named).rename(columns=heading)


def tables_behind_claims(figures: Path) -> list[tuple[str, pd.DataFrame]]:
    """(caption, table) of those of TESTS that a run has."""
    there = {name: figures / f"{name}.csv" for name in TESTS}
    return [(TESTS[name], readable(pd.read_csv(path))) for name, path in there.items() if path.exists()]
