"""Preprocessing of many patients: patients per minute by processes, peak memory by patients.

python benchmarks/studies/scaling.py [--output figures/phantom/table_scaling.csv]

All in one run on the same phantoms. Memory is the largest sum of PSS (shared pages counted once) over
this process and its workers; the volumes of `smoke` keep 80 patients within minutes.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from joblib.externals.loky import get_reusable_executor

from pgmif.cohort.manifest import Cohort, read_manifest
from pgmif.runs.parallel import each_patient
from pgmif.runs.parameter_files import read_parameters
from pgmif.runs.parameters import Parameters
from pgmif.runs.root import find_root
from pgmif.steps.cohort import make_patient, resolve_manifest
from pgmif.steps.preprocessing import preprocess_patient
from pgmif_core.files import write_table

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from speed.peak_memory import watched

CASES = (  # profile, training patients, test patients, processes
    ("quick", 6, 2, 1), ("quick", 6, 2, 2), ("smoke", 8, 2, 2), ("smoke", 70, 10, 2),
)


def phantom_cohort(folder: Path, parameters: Parameters) -> Cohort:
    """The first phantoms of the embedded manifest, their volumes in `folder`."""
    embedded = read_manifest(find_root() / "data_manifest.csv")
    manifest = resolve_manifest(embedded, parameters, folder)
    subjects = pd.read_csv(manifest, dtype=str)["subject"].tolist()
    each_patient(partial(make_patient, embedded, folder / "volumes", parameters), subjects)
    get_reusable_executor().shutdown(wait=True)
    return read_manifest(manifest)


def preprocess(folder: Path, profile: str, train: int, test: int, processes: int) -> dict:
    """Seconds and peak memory of one cohort over so many processes, their start included."""
    parameters = read_parameters(
        find_root() / "params" / f"{profile}.yaml", phantom_train=train, phantom_test=test
    )
    cohort = phantom_cohort(folder, parameters)
    work = partial(preprocess_patient, cohort, folder / "slices", parameters, folder / "registered")
    peaks: list[float] = []
    start = time.perf_counter()
    with watched(peaks):
        each_patient(work, cohort.table["subject"].tolist(), processes)
    minutes = (time.perf_counter() - start) / 60
    get_reusable_executor().shutdown(wait=True)
    patients = len(cohort.table)
    return {"profile": profile, "patients": patients, "processes": processes,
            "patients_per_minute": patients / minutes, "peak_memory_mb": peaks[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = []
    for case in CASES:
        with TemporaryDirectory() as folder:
            rows.append(preprocess(Path(folder), *case))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    first, second, few, many = (table.loc[k] for k in range(4))
    print(f"two processes against one: {second.patients_per_minute / first.patients_per_minute:.2f} × "
          f"the patients per minute; {many.patients} against {few.patients} patients: "
          f"{many.peak_memory_mb / few.peak_memory_mb:.2f} × the memory")
    write_table(table.round(2), options.output or find_root() / "figures/phantom/table_scaling.csv")


if __name__ == "__main__":
    main()
