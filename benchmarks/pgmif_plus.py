"""PGMIF+ in development: fitted on training patients, judged on those left out.

python benchmarks/pgmif_plus.py [--profile quick] [--manifest FILE]

Test patients are never opened. Needs 01_preprocessing of that run (`make reproduce`). Writes
figures/<run>/table_plus_left_out.csv: every training patient under settings fitted without it, beside
its untouched sources; prints the settings, and how far they move with the patients drawn.
"""

import argparse

import pandas as pd

from pgmif_core.evaluation import cnr
from pgmif_core.parameters import find_root, read_parameters
from pgmif_core.patients import each_patient
from pgmif_core.pgmif_plus import PlusSettings, write_settings
from pgmif_core.plus_fitting import AIMS, best_settings, candidates, fitting_rows, left_out, resampled
from pgmif_core.steps import open_run, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--manifest")
    options = parser.parse_args()
    named = {"manifest": options.manifest} if options.manifest else {}
    run = open_run(read_parameters(find_root() / "params" / f"{options.profile}.yaml", **named))
    modalities = run.cohort().modalities
    base = PlusSettings((1 / len(modalities),) * len(modalities), sequences=tuple(modalities))

    def work(subject: str) -> list[dict]:
        patient = run.patient(subject)
        if not (patient.gtv.any() and patient.reference.any()):
            return []
        sources = {f"cnr_{m.lower()}": cnr(patient.sources[:, k], patient)
                   for k, m in enumerate(modalities)}
        return [row | sources for row in fitting_rows(patient, base)]

    done = each_patient(work, run.cohort().subjects("train"), run.parameters.workers)
    rows = pd.DataFrame([row for part in done for row in part])
    first, chosen = candidates(rows).iloc[0], best_settings(rows, base)
    path = write_settings(chosen, run.folder("pgmif_plus") / "settings.json")
    print(f"{run.label}: shares {chosen.shares}, gain {chosen.gain:g}, screening {chosen.screening:g} "
          f"-> {path.relative_to(run.root)}")
    print("aims reached on the patients fitted" if first["shortfall"] == 0
          else f"no candidate reaches the aims {AIMS}; this one falls short by {first['shortfall']:.3f}")
    for seed, other in enumerate(resampled(rows, base)):
        print(f"  patients drawn with seed {seed}: shares {other.shares}, gain {other.gain:g}, "
              f"screening {other.screening:g}")
    table = left_out(rows, base)
    write_table(table, run.figures / "table_plus_left_out.csv")
    medians = table.median(numeric_only=True)
    better = max(medians[f"cnr_{m.lower()}"] for m in modalities)
    print("patients left out, medians:", medians.round(3).to_dict())
    print(f"CNR / better source: {medians['cnr'] / better:.2f}; inverted: "
          f"{int((table['correlation'] < 0).sum())} of {len(table)}; CV "
          f"{table['cnr'].std() / table['cnr'].mean():.0%}, sources "
          + ", ".join(f"{table[c].std() / table[c].mean():.0%}" for c in table if c.startswith("cnr_")))


if __name__ == "__main__":
    main()
