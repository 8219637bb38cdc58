"""Step 06: the generalized Sobel Q of every method on every test patient."""

import pandas as pd

from pgmif.runs.fused import read_fused, run_methods
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import sobel_against
from pgmif_core.evaluation.summary import beside_published, p_versus, spread_of
from pgmif_core.methods.names import TARGET, ordered_methods


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
            "method": name, **spread_of(values), "p_versus_pgmif": p_versus(target, values, name)
        })
    printed = published[(published["metric"] == "sobel") & (published["reference"] == reference)]
    return beside_published(pd.DataFrame(rows), printed)


def sobel_table(run: Run) -> pd.DataFrame:
    """Tidy Q: subject, method, reference (a modality), q, for all test patients and methods."""
    cohort = run.cohort()
    rows = []
    for subject in cohort.subjects("test"):
        patient = run.patient(subject)
        for name in run_methods(run):
            volume = read_fused(run, subject, name)
            rows += [
                {"subject": subject, "method": name, "reference": modality,
                 "q": sobel_against(volume, patient, m)}
                for m, modality in enumerate(cohort.modalities)
            ]
    return pd.DataFrame(rows)
