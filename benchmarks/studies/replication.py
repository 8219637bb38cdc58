"""Does this machine say what the committed tables say? The same seeds, on another processor.

python benchmarks/studies/replication.py [--profile quick] [--manifest FILE] [--commit HEAD]

After `make evidence`: compares what it wrote to figures/<run>/ with the same tables at a commit. Another
processor rounds otherwise, and adversarial training makes another image of that, as another seed does;
this says how much of what is printed depends on it. Writes to figures/<run>/:

table_replication_medians.csv, a row per method and measure: median, lowest and highest over the seeds
as committed (`_committed`) and here (`_here`); `agree`, whether the median of here lies within the
committed seeds; `outside_percent`, by how much not; `same_seed_percent`, how far a seed moved from there
to here, the median over the seeds; `between_percent`, how far two of the committed seeds lie apart, the
median over their pairs; both of the committed median.

table_replication_verdicts.csv, a row per claim: verdict and number of seeds of both; `agree` as in
table_quick_verdicts.csv.
"""

import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pgmif.runs.run import Run
from pgmif_core.files import write_table

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.agreement import claim_by_claim, side_by_side
from studies.run_options import chosen_run, run_parser

SPREAD, CLAIMS, SEEDS = (f"{kind}_{name}.csv" for kind, name in (  # of 12, which writes them
    ("table", "seed_spread"), ("table", "claims_over_seeds"), ("figure", "12_seeds")))
MEDIANS, VERDICTS = "table_replication_medians.csv", "table_replication_verdicts.csv"


def committed(run: Run, commit: str, name: str) -> pd.DataFrame:
    """A table of the run's figures as it is at a commit; exits where it is not there."""
    path = (run.figures / name).relative_to(run.root).as_posix()
    shown = subprocess.run(["git", "show", f"{commit}:{path}"], cwd=run.root, text=True,
                           capture_output=True)
    if shown.returncode:
        raise SystemExit(f"{path}: expected it at commit {commit}, found: {shown.stderr.strip()}")
    return read(io.StringIO(shown.stdout))


def read(source: Path | io.StringIO) -> pd.DataFrame:
    """A table of figures/ with its empty cells as they are."""
    return pd.read_csv(source, keep_default_na=False)


def steps(there: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """`same_seed_percent` and `between_percent` by method and measure, of the committed median.

    Both tables as figure_12_seeds.csv: method, seed, measures. NaN between where one seed is there.
    """
    rows = []
    for method, part in there.groupby("method", sort=False):
        first = part.set_index("seed").drop(columns="method")
        again = here[here["method"] == method].set_index("seed")[first.columns].reindex(first.index)
        pairs = [(first.loc[a] - first.loc[b]).abs() for a, b in itertools.combinations(first.index, 2)]
        between = pd.DataFrame(pairs, columns=first.columns).median()
        size = first.median().abs() / 100
        rows += [{"method": method, "measure": m, "same_seed_percent": same, "between_percent": apart}
                 for m, same, apart in zip(first, (again - first).abs().median() / size,
                                           between / size, strict=True)]
    return pd.DataFrame(rows)


def replication(table: Callable[[str], pd.DataFrame], again: Callable[[str], pd.DataFrame]
                ) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables; `table` and `again` read a table as committed and as made here."""
    medians = side_by_side({"committed": table(SPREAD), "here": again(SPREAD)})
    moved = steps(table(SEEDS), again(SEEDS))
    medians = medians.merge(moved, on=["method", "measure"], validate="1:1", how="left")
    return medians, claim_by_claim({"committed": table(CLAIMS), "here": again(CLAIMS)})


def main() -> None:
    parser = run_parser(__doc__.split("\n")[0])
    parser.add_argument("--commit", default="HEAD", help="whose tables are compared with")
    options = parser.parse_args()
    run = chosen_run(options)
    made = run.folder("12_claims_over_seeds") / "claims.csv"
    if not made.is_file():
        raise SystemExit(f"{made}: expected what this machine made, found none; first: make evidence")
    medians, verdicts = replication(lambda name: committed(run, options.commit, name),
                                    lambda name: read(run.figures / name))
    if not np.any(medians["same_seed_percent"] > 0):
        print("Every median is as committed: this machine rounds alike, or nothing was trained here.")
    write_table(medians, run.figures / MEDIANS)
    write_table(verdicts, run.figures / VERDICTS)
    print(medians.round(3).to_string(index=False), verdicts.to_string(index=False), sep="\n\n")


if __name__ == "__main__":
    main()
