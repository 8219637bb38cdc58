"""Step 06: the generalized Sobel Q of every method on every test patient."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pgmif.runs.fused import fused_methods, read_fused
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import sobel_against
from pgmif_core.evaluation.summary import beside_published, p_versus, spread_of
from pgmif_core.images.modalities import T2W
from pgmif_core.images.patient import PatientSlices
from pgmif_core.losses import pixelwise_gradient_loss, relative_alignment
from pgmif_core.methods.names import TARGET, ordered_methods
from pgmif_core.metrics.paper import Reading

READINGS: tuple[Reading, ...] = get_args(Reading)
READING_WORDS = {
    "crop": "cropped, then filtered", "crop_mean": "cropped, filtered, the whole crop counted",
    "contour": "set to 0 outside the tumour, then filtered", "slice": "filtered, then cropped",
}


def summarize_sobel(
    table: pd.DataFrame, published: pd.DataFrame, reference: str, column: str = "q"
) -> pd.DataFrame:
    """Like `summarize_cnr` for Q against one source; `table`: subject, method, reference, `column`."""
    table = table[table["reference"] == reference]
    target = table.loc[table["method"] == TARGET, column]
    rows = []
    for name in ordered_methods(table["method"]):
        values = table.loc[table["method"] == name, column]
        # a source against itself is the same in every patient: there is nothing to test
        p = np.nan if name == reference.lower() else p_versus(target, values, name)
        rows.append({"method": name, **spread_of(values), "p_versus_pgmif": p})
    printed = published[(published["metric"] == "sobel") & (published["reference"] == reference)]
    return beside_published(pd.DataFrame(rows), printed)


def sobel_table(run: Run) -> pd.DataFrame:
    """Tidy Q: subject, method, reference (a modality), q, for all test patients and methods.

    `q` is read as the parameter `sobel_reading` says; beside it a column per reading of "crop, then
    filter".
    """
    rows = []
    for subject in run.cohort.subjects("test"):
        patient = run.patient(subject)
        for name in fused_methods(run):
            read = sobel_rows(run, read_fused(run, subject, name), patient)
            rows += [{"subject": subject, "method": name, **row} for row in read]
    return pd.DataFrame(rows)


def sobel_rows(run: Run, volume: NDArray, patient: PatientSlices) -> list[dict[str, Any]]:
    """Columns reference, q and one per reading of `sobel_table` for one image, a row per source."""
    rows = []
    for m, modality in enumerate(run.cohort.modalities):
        read = {r: sobel_against(volume, patient, m, r) for r in READINGS}
        rows.append({"reference": modality, "q": read[run.parameters.sobel_reading], **read})
    return rows


def readings_table(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The summaries of Q under every reading, against every source: columns reading, reference, …"""
    return pd.concat([
        summarize_sobel(table, published, reference, reading).assign(
            reading=reading, reference=reference)
        for reading in READINGS for reference in table["reference"].unique()
    ], ignore_index=True)


def epsilon_table(run: Run, epsilons: Sequence[float] = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)) -> pd.DataFrame:
    """How much ε decides: medians of T2w's self-alignment and PGMIF's relative one, if it was fused."""
    rows, known = [], TARGET in fused_methods(run)
    for subject in run.cohort.subjects("test"):
        t2w = torch.from_numpy(np.array(run.patient(subject).sources[:, T2W : T2W + 1]))
        fused = torch.from_numpy(read_fused(run, subject, TARGET)[:, None]) if known else None
        for e in epsilons:
            row = {"epsilon": e, "t2w_with_itself": -float(pixelwise_gradient_loss(t2w, t2w, e))}
            if fused is not None:
                row["pgmif_relative_to_that"] = relative_alignment(fused, t2w, e)
            rows.append(row)
    return pd.DataFrame(rows).groupby("epsilon").median().reset_index()
