"""Does the short training say what the paper's own length says? Medians and verdicts side by side.

python benchmarks/studies/agreement.py [--profile quick] [--full phantom-paper]

Needs both runs in results/ and 12 of both in figures/. Generators of the full run fuse the test patients
of the short one, so that nothing but the training differs; beside them the full run's own test patients.
Writes to figures/<full>/:

table_quick_patients.csv, the short run's test patients under the full training, first seed.

table_quick_medians.csv, a row per method and measure: median, lowest and highest over the seeds of the
short run (`_short`); the same of the full training on the same patients (`_full`); `agree`, whether its
median lies within the short run's seeds; `outside_percent`, by how much not; its own patients (`_own`).

table_quick_verdicts.csv, a row per claim: verdict and number of seeds of the three; `agree`: "yes" where
the verdict is the same, "no" where one holds and the other is not reproduced, else "not contradicted".
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from pgmif.runs.order import REPLICATES
from pgmif.runs.parameters import check_parameters
from pgmif.runs.root import find_root
from pgmif.runs.run import AS_WRITTEN, Run, open_run
from pgmif.steps.claims import FAILS, HOLDS
from pgmif.steps.claims_over_seeds import (
    claims_over_seeds,
    made_again,
    patient_measures,
    seed_medians,
    seed_spread,
    seed_tables,
)
from pgmif.steps.seeds import replicate_tables
from pgmif_core.files import write_table
from pgmif_core.methods.names import LEARNED

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.run_options import chosen_run, run_parser

PATIENTS, MEDIANS = "table_quick_patients.csv", "table_quick_medians.csv"
VERDICTS = "table_quick_verdicts.csv"
RANGE = ["seeds", "median", "lowest", "highest"]
ROUNDED = 1e-5  # tables are written with six digits


def full_weights(full: Run) -> dict[int, dict[str, Path]]:
    """By seed the weights of the full run: of all methods, then of those trained again."""
    known = (*LEARNED, "pgmif_plus")
    weights = {full.parameters.seed: {m: full.weights(m) for m in known if full.weights(m).exists()}}
    for replicate in REPLICATES:
        paths = {m: full.folder(f"11_seeds/{replicate}/{m}") / "weights.safetensors" for m in LEARNED}
        if found := {m: path for m, path in paths.items() if path.exists()}:
            weights[full.parameters.seed + int(replicate)] = found
    return weights


def full_tables(short: Run, full: Run) -> dict[int, dict[str, pd.DataFrame]]:
    """`seed_tables` of the short run's test patients with the full run's generators in place; what was
    not trained again is the first seed's."""
    again = {seed: {name: table.assign(seed=seed)
                    for name, table in replicate_tables(short, weights).items()}
             for seed, weights in full_weights(full).items()}
    first = made_again(seed_tables(short)[short.parameters.seed], again[full.parameters.seed])
    return {seed: made_again(first, tables) for seed, tables in again.items()}


def side_by_side(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables as `seed_spread` gives them side by side, their names as suffixes; of the first two
    `agree`, whether the second's median lies within the first's seeds, and `outside_percent`."""
    first, second, *others = (
        table.set_index(["method", "measure"])[RANGE].add_suffix(f"_{name}")
        for name, table in tables.items())
    table = first.join(second, validate="1:1")
    one, other, *_ = tables
    median, size = table[f"median_{other}"], table[f"median_{one}"].abs()
    beyond = np.maximum(table[f"lowest_{one}"] - median, median - table[f"highest_{one}"]).clip(lower=0)
    table["agree"] = np.where(beyond > ROUNDED * size, "no", "yes")
    table["outside_percent"] = 100 * beyond / size
    for more in others:
        table = table.join(more, validate="1:1")
    return table.reset_index()


def median_rows(short: pd.DataFrame, full: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Rows of table_quick_medians.csv of three tables as `seed_spread` gives them."""
    return side_by_side({"short": short, "full": full, "own": own})


def agreement(verdict: str, other: str) -> str:
    """ "yes", "no" or "not contradicted" of two verdicts.

    >>> agreement("holds", "holds"), agreement("holds", "not reproduced")
    ('yes', 'no')
    >>> agreement("depends on the seed", "holds")
    'not contradicted'
    """
    if verdict == other:
        return "yes"
    return "no" if {verdict, other} == {HOLDS, FAILS} else "not contradicted"


def claim_by_claim(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables as `claims_over_seeds` gives them side by side, their names as suffixes; `agree` of the
    first two, `agree_<name>` of the first and each further one."""
    first, second, *others = tables
    table = tables[first][["claim", "counts"]]
    for name, claims in tables.items():
        part = claims[["claim", "verdict", "holds_in"]].rename(
            columns={"verdict": f"verdict_{name}", "holds_in": f"holds_in_{name}"})
        table = table.merge(part, on="claim", validate="1:1")
    for column, name in {"agree": second, **{f"agree_{name}": name for name in others}}.items():
        table[column] = [agreement(*pair) for pair in
                         zip(table[f"verdict_{first}"], table[f"verdict_{name}"], strict=True)]
    return table


def verdict_rows(short: pd.DataFrame, full: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Rows of table_quick_verdicts.csv of three tables as `claims_over_seeds` gives them."""
    return claim_by_claim({"short": short, "full": full, "own": own})


def check_comparable(short: Run, full: Run) -> None:
    """Raise ValueError where the full run is of another cohort or was fitted to the test patients."""
    if full.label != short.label:
        raise ValueError(f"{full.name}: expected a run of {short.label}, found one of {full.label}")
    fitted = sorted(set(short.cohort.subjects("test")) & set(full.cohort.subjects("train")))
    if fitted:
        raise ValueError(f"{full.name}: expected none of the test patients of {short.name} among its "
                         f"training patients, found {', '.join(fitted)}; take runs with the same split")


def main() -> None:
    parser = run_parser(__doc__.split("\n")[0])
    parser.add_argument("--full", default="phantom-paper", help="name of the run at the paper's length")
    options = parser.parse_args()
    short, root = chosen_run(options), find_root()
    given = root / "results" / options.full / "parameters.yaml"
    if not given.is_file():
        raise SystemExit(f"{given}: expected a finished run, found none; first: "
                         f"make reproduce PROFILE=paper ARGS='--set run={options.full}'")
    full = open_run(check_parameters(yaml.safe_load(given.read_text())), "12_claims_over_seeds")
    short.check("10_claims")
    check_comparable(short, full)
    tables = full_tables(short, full)
    patients = patient_measures(tables[full.parameters.seed])
    patients = patients[patients["method"].isin(full_weights(full)[full.parameters.seed])]
    spread = seed_spread(seed_medians(tables), patients)
    limits = pd.read_csv(short.folder("07_frontier") / "limit.csv", **AS_WRITTEN)
    speed = pd.read_csv(short.folder("04_baseline_comparison") / "speed.csv")["seconds_per_pair"].iloc[0]
    claims = claims_over_seeds(short, tables, limits, speed)
    read = partial(pd.read_csv, keep_default_na=False)
    names = ("seed_spread.csv", "claims_over_seeds.csv")
    spreads, verdicts = ([read(run.figures / ("table_" + name)) for run in (short, full)]
                         for name in names)
    medians = median_rows(spreads[0], spread, spreads[1])
    turned = verdict_rows(verdicts[0], claims, verdicts[1])
    write_table(patients, full.figures / PATIENTS)
    write_table(medians, full.figures / MEDIANS)
    write_table(turned, full.figures / VERDICTS)
    print(medians.round(3).to_string(index=False), turned.to_string(index=False), sep="\n\n")


if __name__ == "__main__":
    main()
