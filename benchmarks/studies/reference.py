"""Which reference region is one tissue? Every choice of it on training patients, against the truth.

python benchmarks/studies/reference.py [--profile quick] [--manifest FILE]

Needs 01_preprocessing of that run, whose training patients alone are looked at, and only their sources:
no fused image. Of phantoms the tissue of every voxel is known. Writes figures/<run>/table_reference.csv,
a row per choice, window and distance: `purest` and `least_pure` are the median and least share of the
region that is its commonest tissue (in percent, phantoms), `tissues` which ones and in how many
patients, `slices` the median share of the tumour's slices that have a region, `between_*` the median
share of its variance that lies between slices (percent), `cnr_*` the sources' median CNR with it.
"""

import sys
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pgmif.runs.parallel import each_patient
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import cnr
from pgmif_core.files import write_table
from pgmif_core.images.patient import PatientSlices, with_reference
from pgmif_core.images.regions import Choice
from pgmif_core.metrics.paper import between_slices_share
from pgmif_core.phantom import tissue_map
from pgmif_core.phantom.tissues import tissue_labels

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.run_options import chosen_run, run_parser

WINDOWS_MM, FARTHEST_MM = (7.0, 10.0, 15.0), (12.0, 15.0, 20.0, 25.0, 30.0)


def measured(patient: PatientSlices, truth: NDArray | None, modalities: tuple[str, ...]) -> dict:
    """What one region of a patient is made of."""
    region = np.asarray(patient.reference)
    row = {"slices": 100 * (region.any(axis=(1, 2)).sum() / patient.gtv.any(axis=(1, 2)).sum())}
    if truth is not None:
        shares = np.bincount(truth[region], minlength=len(tissue_labels())) / region.sum()
        row |= {"purest": 100 * shares.max(), "tissue": list(tissue_labels())[shares.argmax()]}
    for m, modality in enumerate(modalities):
        volume = np.asarray(patient.sources[:, m])
        row[f"between_{modality.lower()}"] = 100 * between_slices_share(volume, region)
        row[f"cnr_{modality.lower()}"] = cnr(volume, patient)
    return row


def patient_rows(run: Run, subject: str) -> list[dict]:
    """One training patient under every choice of region that it allows."""
    patient = run.patient(subject)
    seed = run.cohort.value(subject, "phantom_seed") if run.cohort.is_phantom else ""
    truth = tissue_map(int(seed), patient.grid) if seed else None
    rows = []
    for choice in get_args(Choice):
        for window in WINDOWS_MM:
            for farthest in FARTHEST_MM:
                try:
                    own = with_reference(patient, window, 3.0, farthest, choice=choice)
                except ValueError:
                    continue  # no such window near this tumour
                rows.append({"choice": choice, "window_mm": window, "farthest_mm": farthest,
                             **measured(own, truth, run.cohort.modalities)})
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians over patients, a row per choice, window and distance."""
    groups = rows.groupby(["choice", "window_mm", "farthest_mm"], sort=False)
    table = groups.median(numeric_only=True).round(3)
    table.insert(0, "patients", groups.size())
    if "tissue" in rows:
        table.insert(2, "least_pure", groups["purest"].min().round(3))
        table["tissues"] = groups["tissue"].agg(
            lambda names: "; ".join(f"{n} {k}" for n, k in names.value_counts().items()))
    return table.reset_index()


def main() -> None:
    options = run_parser(__doc__.split("\n")[0]).parse_args()
    run = chosen_run(options)
    subjects = [s for s in run.cohort.subjects("train") if run.patient(s).gtv.any()]
    done = each_patient(partial(patient_rows, run), subjects)
    table = summary(pd.DataFrame([row for part in done for row in part]))
    write_table(table, run.figures / "table_reference.csv")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
