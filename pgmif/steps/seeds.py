"""Step 11: other seeds. Every learned method trained again, all measured, each claim over all seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from pgmif.runs.order import REPLICATES
from pgmif.runs.run import Run
from pgmif.steps.claims import HOLDS, UNTESTABLE, claims_under_readings, depends_on
from pgmif.steps.cnr_boxplots import cnr_row, summarize_cnr
from pgmif.steps.pgmif_plus import seed_settings
from pgmif.steps.sobel_analysis import readings_table, sobel_rows, summarize_sobel
from pgmif.steps.training import split_training, training_code, training_settings
from pgmif_core.evaluation.measures import fidelity, fuse_volume
from pgmif_core.images.store import TrainingSlices
from pgmif_core.methods.names import LEARNED, method_named, ordered_methods
from pgmif_core.training.loop import train

DEPENDS = "depends on the seed"
MEASURES = ("cnr", "cnr_within", "q_t1w", "q_t2w", "ssim_t2w")
TABLES = {"fidelity": "04_baseline_comparison", "cnr": "05_cnr_boxplots", "sobel": "06_sobel_analysis"}
SETTLED = 0.05  # between-seed CV of a median up to which seeds are said to agree


def replicate_weights(run: Run, replicate: int) -> dict[str, Path]:
    """Weights of every learned method trained with the run's seed + `replicate`, and the settings that
    PGMIF+ was fitted to on that draw of training patients; only methods that the run itself has."""
    seed = run.parameters.seed + replicate
    other = replace(run, parameters=run.parameters.model_copy(update={"seed": seed}))
    made = {}
    for method in (m for m in LEARNED if run.weights(m).exists()):
        settings = training_settings(other, method)
        fit, _ = split_training(other)
        slices = TrainingSlices(run.store, fit, settings.crop, settings.seed)
        print(f"{method}, seed {seed}: {len(slices)} slices of {len(fit)} patients")
        folder = run.folder(f"11_seeds/{replicate}/{method}")
        made[method] = train(settings, slices, folder, made_from=training_code(method))
    if run.weights("pgmif_plus").exists() and seed_settings(run, replicate).exists():
        made["pgmif_plus"] = seed_settings(run, replicate)
    return made


def replicate_tables(run: Run, weights: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Rows of 04's fidelity, 05's CNR and 06's Q of the methods that were made again."""
    found: dict[str, list[dict]] = {"fidelity": [], "cnr": [], "sobel": []}
    for subject in run.cohort.subjects("test"):
        patient = run.patient(subject)
        for method, path in weights.items():
            volume, of = fuse_volume(method, patient, path), {"subject": subject, "method": method}
            found["fidelity"].append({**of, **fidelity(volume, patient, run.parameters.epsilon)})
            found["cnr"].append({**of, **cnr_row(volume, patient)})
            found["sobel"] += [{**of, **row} for row in sobel_rows(run, volume, patient)]
    return {name: pd.DataFrame(rows) for name, rows in found.items()}


def seed_tables(run: Run) -> dict[int, dict[str, pd.DataFrame]]:
    """By seed the tidy tables of fidelity, CNR and Q of all methods: the run's own, and for each
    replicate that was made the same with what was made again in its place."""
    read = {"dtype": {"subject": str}, "keep_default_na": False, "na_values": [""]}
    own = {name: pd.read_csv(run.folder(step) / f"{name}.csv", **read) for name, step in TABLES.items()}
    tables = {run.parameters.seed: own}
    for replicate in map(int, REPLICATES):
        folder = run.folder(f"11_seeds/{replicate}")
        if not (folder / "sobel.csv").exists():
            print(f"left out: replicate {replicate}; notebooks/11_seeds.ipynb makes it")
            continue
        again = {name: pd.read_csv(folder / f"{name}.csv", **read) for name in own}
        tables[run.parameters.seed + replicate] = {
            name: pd.concat([table[~table["method"].isin(again[name]["method"])], again[name]])
            for name, table in own.items()}
    return tables


def patient_measures(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """MEASURES of every patient and method of one seed: columns method, subject, MEASURES."""
    key = ["method", "subject"]
    q = tables["sobel"].pivot(index=key, columns="reference", values="q")
    q = q.rename(columns=lambda name: f"q_{name.lower()}")
    cnr = tables["cnr"].set_index(key)[["cnr", "cnr_within"]]
    table = cnr.join([q, tables["fidelity"].set_index(key)["ssim_t2w"]])
    return table[list(MEASURES)].reset_index()


def seed_medians(tables: Mapping[int, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Medians over test patients: method, seed, then MEASURES; only of methods that seeds change."""
    table = pd.concat([
        patient_measures(of).groupby("method")[list(MEASURES)].median().assign(seed=seed).reset_index()
        for seed, of in tables.items()])
    known = [name for name in ordered_methods(table["method"].unique())
             if method_named(name).kind in ("learned", "fitted")]
    table = table[table["method"].isin(known)].sort_values(
        ["method", "seed"], key=lambda c: c.map(known.index) if c.name == "method" else c)
    return table[["method", "seed", *MEASURES]].reset_index(drop=True)


def seed_spread(medians: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """One row per method and measure: median of the seeds' medians, lowest, highest, CV between seeds in
    percent (sample SD ÷ |mean|), whether they agree (CV at most 5 %), and `patient_sd`, the SD between
    `patients` of one seed."""
    rows = []
    for method, part in medians.groupby("method", sort=False):
        own = patients[patients["method"] == method]
        for measure in MEASURES:
            values = part[measure]
            cv = values.std() / abs(values.mean())
            rows.append({
                "method": method, "measure": measure, "seeds": len(values), "median": values.median(),
                "lowest": values.min(), "highest": values.max(), "cv_percent": 100 * cv,
                "agree": "yes" if cv <= SETTLED else "no", "patient_sd": own[measure].std()})
    return pd.DataFrame(rows)


def claims_by_reading(
    run: Run, tables: Mapping[str, pd.DataFrame], seconds: float
) -> dict[str, pd.DataFrame]:
    """All claims on one seed's tables: as the run reads σ and the Sobel operator, "", and otherwise."""
    published = run.published()
    sobel = pd.concat([summarize_sobel(tables["sobel"], published, m).assign(reference=m)
                       for m in run.cohort.modalities])
    cnr, within = (summarize_cnr(tables["cnr"], published, c) for c in ("cnr", "cnr_within"))
    return claims_under_readings(cnr, within, sobel, readings_table(tables["sobel"], published), seconds)


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
    run: Run, tables: Mapping[int, Mapping[str, pd.DataFrame]], seconds: float
) -> pd.DataFrame:
    """`over_seeds` of a run's claims, with `depends_on`: the readings that turn a verdict over seeds."""
    every = [claims_by_reading(run, of, seconds) for of in tables.values()]
    by_reading = {name: over_seeds([claims[name] for claims in every]) for name in every[0]}
    table = by_reading.pop("")
    return table.assign(depends_on=depends_on(table, by_reading))
