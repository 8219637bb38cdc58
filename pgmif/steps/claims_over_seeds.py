"""Step 12: the claims over all seeds, and how far the medians of trained methods move between them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pgmif.runs.order import REPLICATES
from pgmif.runs.run import AS_WRITTEN, Run
from pgmif.steps.claims import (
    HOLDS,
    UNTESTABLE,
    claims_under_readings,
    depends_on,
    fusion_table,
)
from pgmif.steps.cnr_boxplots import summarize_cnr
from pgmif.steps.sobel_analysis import readings_table, summarize_sobel
from pgmif_core.methods.names import method_named, ordered_methods

DEPENDS = "depends on the seed"
MEASURES = ("cnr", "cnr_within", "q_t1w", "q_t2w", "ssim_t2w")
TABLES = {"fidelity": "04_baseline_comparison", "cnr": "05_cnr_boxplots", "sobel": "06_sobel_analysis",
          "gain": "07_frontier"}
SETTLED = 0.05  # between-seed CV of a median up to which seeds are said to agree


def seed_tables(run: Run) -> dict[int, dict[str, pd.DataFrame]]:
    """By seed the tidy tables of fidelity, CNR, Q and gain of all methods: the run's own, and for each
    replicate that was made the same with what was made again in its place. Column seed: of the training
    that a row is of."""
    first = run.parameters.seed
    own = {name: pd.read_csv(run.folder(step) / f"{name}.csv", **AS_WRITTEN).assign(seed=first)
           for name, step in TABLES.items()}
    tables = {first: own}
    for replicate in map(int, REPLICATES):
        folder = run.folder(f"11_seeds/{replicate}")
        if not (folder / "sobel.csv").exists():
            print(f"left out: replicate {replicate}; notebooks/11_seeds.ipynb makes it")
            continue
        seed = first + replicate
        again = {name: pd.read_csv(folder / f"{name}.csv", **AS_WRITTEN).assign(seed=seed)
                 for name in own}
        tables[seed] = made_again(own, again)
    return tables


def made_again(
    own: Mapping[str, pd.DataFrame], again: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The tables of a run with the methods of `again` in the place of the same ones."""
    return {name: pd.concat([table[~table["method"].isin(again[name]["method"])], again[name]])
            for name, table in own.items()}


def patient_measures(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """MEASURES of every patient and method of one seed: columns method, subject, seed (of the training),
    MEASURES."""
    key = ["method", "subject", "seed"]
    q = tables["sobel"].pivot(index=key, columns="reference", values="q")
    q = q.rename(columns=lambda name: f"q_{name.lower()}")
    cnr = tables["cnr"].set_index(key)[["cnr", "cnr_within"]]
    table = cnr.join([q, tables["fidelity"].set_index(key)["ssim_t2w"]])
    return table[list(MEASURES)].reset_index()


def seed_medians(tables: Mapping[int, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Medians over test patients: method, seed, then MEASURES; only of methods that seeds change, and of
    seeds that they were trained with."""
    table = pd.concat([
        patient_measures(of).query("seed == @seed").groupby("method")[list(MEASURES)].median()
        .assign(seed=seed).reset_index() for seed, of in tables.items()])
    known = [name for name in ordered_methods(table["method"].unique())
             if method_named(name).kind in ("learned", "fitted")]
    table = table[table["method"].isin(known)].sort_values(
        ["method", "seed"], key=lambda c: c.map(known.index) if c.name == "method" else c)
    return table[["method", "seed", *MEASURES]].reset_index(drop=True)


def seed_spread(medians: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """One row per method and measure: median of the seeds' medians, lowest, highest, CV between seeds in
    percent (sample SD ÷ |mean|), whether they agree (CV at most 5 %; of one seed nothing is said), and
    `patient_sd`, the SD between `patients` of one seed."""
    rows = []
    for method, part in medians.groupby("method", sort=False):
        own = patients[patients["method"] == method]
        for measure in MEASURES:
            values = part[measure]
            cv = values.std() / abs(values.mean())
            rows.append({
                "method": method, "measure": measure, "seeds": len(values), "median": values.median(),
                "lowest": values.min(), "highest": values.max(), "cv_percent": 100 * cv,
                "agree": "" if len(values) < 2 else "yes" if cv <= SETTLED else "no",
                "patient_sd": own[measure].std()})
    return pd.DataFrame(rows)


def claims_by_reading(
    run: Run, tables: Mapping[str, pd.DataFrame], limits: pd.DataFrame, seconds: float
) -> dict[str, pd.DataFrame]:
    """All claims on one seed's tables: as the run reads σ and the Sobel operator, "", and otherwise.
    `limits`: of 07, which no seed moves."""
    published = run.published()
    sobel = pd.concat([summarize_sobel(tables["sobel"], published, m).assign(reference=m)
                       for m in run.cohort.modalities])
    cnr, within = (summarize_cnr(tables["cnr"], published, c) for c in ("cnr", "cnr_within"))
    readings, fusion = readings_table(tables["sobel"], published), fusion_table(tables["gain"], limits)
    return claims_under_readings(cnr, within, sobel, readings, seconds, fusion)


def over_seeds(claims: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of claims of the tables of all seeds, whose rows are the same claims.

    `holds_in`, `at_printed_in`: in how many seeds, of how many; `median`, `lowest`, `highest` of the
    number that decides; verdict "holds" where it holds with every seed, "not reproduced" where with
    none, "cannot be tested" where with one it cannot, else "depends on the seed". `why`: the first
    seed's. Raises ValueError where the tables' claims differ.
    """
    first = claims[0]
    for other in claims[1:]:
        if list(other["claim"]) != list(first["claim"]):
            raise ValueError("expected the same claims with every seed, found others: a method is "
                             "missing with one of them; run notebooks/11_seeds.ipynb again")
    verdicts = np.array([table["verdict"] for table in claims])
    printed = np.array([table["at_printed_p"] for table in claims])
    values = np.array([table["value"] for table in claims], float)
    rows = first[["claim", "paper"]].copy()
    rows["median"], rows["lowest"], rows["highest"] = (
        f(values, axis=0) for f in (np.median, np.min, np.max))
    rows["verdict"] = [_verdict(column) for column in verdicts.T]
    rows["holds_in"] = [_count(column) for column in verdicts.T]
    rows["at_printed_in"] = [_count(column) if column[0] else "" for column in printed.T]
    return rows.assign(counts=first["counts"], why=first["why"])


def _verdict(verdicts: Sequence[str]) -> str:
    if UNTESTABLE in verdicts:
        return UNTESTABLE
    return verdicts[0] if len(set(verdicts)) == 1 else DEPENDS


def _count(verdicts: Sequence[str]) -> str:
    return f"{sum(v == HOLDS for v in verdicts)} of {len(verdicts)}"


def claims_over_seeds(
    run: Run, tables: Mapping[int, Mapping[str, pd.DataFrame]], limits: pd.DataFrame, seconds: float
) -> pd.DataFrame:
    """`over_seeds` of a run's claims, with `depends_on`: the readings that turn a verdict over seeds."""
    every = [claims_by_reading(run, of, limits, seconds) for of in tables.values()]
    by_reading = {name: over_seeds([claims[name] for claims in every]) for name in every[0]}
    table = by_reading.pop("")
    return table.assign(depends_on=depends_on(table, by_reading))
