"""Where does a training settle? The map of length, balance, ε, recipe and seed, on patients left out.

python benchmarks/studies/length.py [--profile quick] [--manifest FILE] [--methods pgmif …]
    [--scales 0.3 1 3 5 10] [--epsilons 0.001 0.01 0.03 0.1] [--recipes paper warm-up] [--seeds 0 1 2]
    [--iterations 14000] [--lengths 100 200 …] [--anneal] [--precision bf16-mixed]

Trains every combination without annealing, so that one training passes all lengths; at each length of
a geometric grid both its generator and the running mean of it (`average_weights`) are measured on
training patients that were left out, never on test patients. `--anneal` adds a training of its own for
each length, its rates falling to 0 there. `--scales` weigh the content term against the adversarial
ones. RECIPES says how the discriminators are kept in check: as the paper prints it, slower ones, and
then one measure after the other added; and with all of them another width, rate or crop. A method
that fixes these itself (`own` of its row: the literal reading) is trained by them alone, whatever is
asked for.

Phantoms and slices are made where absent (results/length-<cohort>/), trainings run side by side, one
thread each, with the paper's learning rates, and go on from their checkpoints. Every finished length is
a row of figures/<cohort>/table_length.csv, from which figure_length.(png|pdf) is drawn; what it has,
made with the same code and data, is not measured again; `--iterations 0` only draws what it has.
table_length_seeds.csv says where seeds agree.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from joblib import Parallel, delayed

from pgmif.figures.style import save_figure
from pgmif.runs.parallel import each_patient
from pgmif.runs.parameter_files import read_parameters
from pgmif.runs.root import find_root
from pgmif.runs.run import Run, open_run, source_cohort
from pgmif.steps.cohort import make_patient, resolve_manifest
from pgmif.steps.preprocessing import preprocess_patient
from pgmif.steps.training import training_code, training_settings
from pgmif_core.evaluation.measures import baseline_row, patient_rows
from pgmif_core.files import digest, taken, write_table
from pgmif_core.images.store import TrainingSlices
from pgmif_core.methods.names import LEARNED, NAMES
from pgmif_core.networks.generator import Generator
from pgmif_core.training.checkpoints import load_checkpoint, save_checkpoint
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.length_figure import length_figures
from studies.length_phases import phase_figure, phase_table
from studies.length_tables import agreement
from studies.run_options import run_parser

LENGTHS = (100, 200, 500, 1000, 1500, 2000, 3000, 4000, 7000, 10000, 14000)
PREFIX = "length-"
SAVED_EVERY = 250
PHANTOMS, FITTED = 50, 20  # training phantoms of the study; as many as `quick` fits, the rest left out
CROP = 64  # less than half the cost of 96
RATES = {"learning_rate", "learning_rate_dlmwl"}
PAPER = {"gradient_penalty": 0.0, "discriminator_rate": 2e-4, "warm_up": 0}
WARM_UP = {"gradient_penalty": 1.0, "discriminator_rate": 1e-3, "warm_up": 400}
RECIPES: dict[str, dict[str, float]] = {
    "paper": PAPER,
    "slow judges": {**PAPER, "discriminator_rate": 5e-5},
    "penalty": {**PAPER, "gradient_penalty": 1.0},
    "fast judges": {**WARM_UP, "warm_up": 0},
    "warm-up": WARM_UP,
    "narrow": {**WARM_UP, "channels": 8},
    "wide": {**WARM_UP, "channels": 32},
    "half rate": {**WARM_UP, "learning_rate": 1e-4},
    "double rate": {**WARM_UP, "learning_rate": 4e-4},
    "large crops": {**WARM_UP, "crop": 96},
}
# figures: what checks the discriminators; what else could be otherwise
COLUMNS = {
    "figure_length_recipes": ("paper", "slow judges", "penalty", "fast judges", "warm-up"),
    "figure_length_settings": ("warm-up", "narrow", "wide", "half rate", "double rate", "large crops"),
}
CHOSEN = "warm-up"  # by this map; params/quick.yaml
KEYS = ["method", "scale", "epsilon", "recipe", "seed", "annealed", "iterations", "averaged"]
LITERALLY = {"scale": 1.0, "recipe": "paper", "annealed": False}  # of a method that fixes the rest


def study_run(options: argparse.Namespace) -> Run:
    """The study's own run: training patients only, made and preprocessed where absent."""
    values = {"manifest": options.manifest} if options.manifest else {}
    path = find_root() / "params" / f"{options.profile}.yaml"
    named = open_run(read_parameters(path, allow_outside=options.allow_outside, **values))
    rates = read_parameters(path.with_name("paper.yaml")).model_dump(include=RATES)
    run = replace(named, name=f"{PREFIX}{named.name}", parameters=named.parameters.model_copy(
        update={"phantom_train": PHANTOMS, "anneal": False, "average_weights": True,
                "precision": options.precision, "crop": CROP, **rates}))
    source, folder = source_cohort(run), run.folder("00_cohort")
    subjects = source.subjects("train")[: PHANTOMS if source.is_phantom else None]
    if source.is_phantom:
        each_patient(partial(make_patient, source, folder / "volumes", run.parameters), subjects)
    folder.mkdir(parents=True, exist_ok=True)
    resolve_manifest(source, run.parameters, folder)
    registered = run.folder("01_preprocessing") / "registered"
    work = partial(preprocess_patient, run.cohort, run.store, run.parameters, registered)
    each_patient(work, subjects)
    return run


def split(run: Run) -> tuple[list[str], list[str]]:
    """Training patients to fit on, and those left out, whose CNR can be had (of real ones a third).

    Raises ValueError where that leaves none to measure.
    """
    subjects = run.cohort.subjects("train")
    subjects = subjects[: PHANTOMS if run.cohort.is_phantom else None]
    whole = [s for s in subjects if run.patient(s).reference.any()]
    wanted = PHANTOMS - FITTED if run.cohort.is_phantom else len(subjects) // 3
    left_out = whole[max(0, len(whole) - wanted):]
    if not left_out:
        raise ValueError(f"expected at least 3 training patients, one of them with tumour and reference "
                         f"region, found {len(subjects)}, {len(whole)} of them with both")
    return [s for s in subjects if s not in left_out], left_out


def trajectory(
    trainer: Trainer, slices: TrainingSlices, folder: Path, lengths: list[int]
) -> Iterator[tuple[int, bool, Generator]]:
    """Train to the last length; yields (iterations, averaged, generator) at each; resumes."""
    state = load_checkpoint(folder, lambda s: "" if s.get("fingerprint") == trainer.fingerprint and
                            s["iteration"] <= lengths[0] else "is no beginning of this training", print)
    if state is not None:
        trainer.restore(state)
    while True:
        done = trainer.iteration
        if done in lengths:
            yield done, True, trainer.average.module.eval()
            yield done, False, trainer.generator.eval()
        if done and (done % SAVED_EVERY == 0 or done in lengths):
            save_checkpoint(trainer.state(), folder)
        if done >= lengths[-1]:
            return
        trainer.step(torch.from_numpy(slices.batch(done, trainer.settings.batch_size)))


def medians(generator: Generator, run: Run, left_out: list[str], epsilon: float) -> dict[str, float]:
    """Medians over the patients left out, and how many came out inverted."""
    rows = pd.DataFrame(patient_rows(generator, map(run.patient, left_out), epsilon))
    return {**rows.median(), "inverted": int((rows["correlation"] < 0).sum()), "patients": len(rows)}


def read(path: Path) -> pd.DataFrame:
    """Rows as they were written: a hash like 55472e11 is no number."""
    return pd.read_csv(path, dtype={"made_from": str})


def gathered(path: Path, folder: Path) -> pd.DataFrame:
    """The committed table with the rows of every training of this machine, in order."""
    known = [path, *sorted(folder.glob("*/rows.csv"))]
    table = pd.concat([read(p) for p in known if p.exists()] or [pd.DataFrame(columns=KEYS)])
    return table.drop_duplicates(KEYS, keep="last").sort_values(KEYS, ignore_index=True)


def training_keys(options: argparse.Namespace) -> list[dict]:
    """One key per training that is asked for."""
    keys: list[dict] = []
    for seed, method, recipe, epsilon, scale in itertools.product(
            options.seeds, options.methods, options.recipes, options.epsilons, options.scales):
        key = {"method": method, "scale": scale, "epsilon": epsilon, "recipe": recipe, "seed": seed,
               "annealed": options.anneal}
        if own := NAMES[method].own:
            key |= {**LITERALLY, "epsilon": own["epsilon"]}
        keys += [key] if key not in keys else []
    return keys


def key_settings(run: Run, key: dict, iterations: int) -> TrainingSettings:
    """What the training of a row's key is made with; of every one the mean is kept, to be measured."""
    parameters = run.parameters.model_copy(update={
        **RECIPES[key["recipe"]], "epsilon": key["epsilon"], "seed": key["seed"],
        "anneal": key["annealed"], "iterations": iterations, "checkpoint_every": SAVED_EVERY,
        "device": "cpu"})
    settings = training_settings(replace(run, parameters=parameters), key["method"])
    return replace(settings, content_scale=key["scale"], average_weights=True)


def train_one(run: Run, path: Path, key: dict, lengths: list[int]) -> None:
    """One training along its lengths: a row in its folder as each is reached."""
    torch.set_num_threads(1)
    settings = key_settings(run, key, lengths[-1])
    fit, left_out = split(run)
    slices = TrainingSlices(run.store, fit, settings.crop, settings.seed)
    trainer = Trainer(settings, slices.fingerprint + training_code(settings.method, patient_rows))
    made_from = digest(trainer.fingerprint)[:8]
    name = "-".join(f"{value:g}" if isinstance(value, float) else str(value) for value in key.values())
    folder = run.folder(f"trainings/{name}-{lengths[-1] if key['annealed'] else 'open'}")
    table = gathered(path, folder.parent)
    written = {**key, "scale": float(f"{key['scale']:.6g}")}  # as tables have it
    same = (table[list(key)] == pd.Series(written)).all(axis=1) & (table.get("made_from") == made_from)
    missing = sorted(set(lengths) - set(table.loc[same, "iterations"]))
    if not missing:
        return
    with taken(folder):
        own = folder / "rows.csv"
        for iterations, averaged, generator in trajectory(trainer, slices, folder, missing):
            found = medians(generator, run, left_out, settings.epsilon)
            rows = [read(own)] if own.exists() else []
            rows.append(pd.DataFrame([{
                **key, "iterations": iterations, "averaged": averaged, **found,
                "precision": settings.precision, "made_from": made_from}]))
            write_table(pd.concat(rows), own)
            generator.train()
            print(f"{name} at {iterations}{', averaged' if averaged else ''}: CNR {found['cnr']:.3f}, "
                  f"Q {found['q_t1w']:.3f} / {found['q_t2w']:.3f}, SSIM {found['ssim_t2w']:.3f}",
                  flush=True)


def main() -> None:
    arguments = run_parser(__doc__.split("\n")[0])
    arguments.add_argument("--methods", nargs="+", choices=LEARNED, default=["pgmif"])
    arguments.add_argument("--scales", type=float, nargs="+", default=[0.3, 1.0, 3.0, 5.0, 10.0])
    arguments.add_argument("--epsilons", type=float, nargs="+", default=[1e-3, 1e-2, 3e-2, 1e-1])
    arguments.add_argument("--recipes", nargs="+", choices=RECIPES, default=["paper", "warm-up"])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument("--iterations", type=int, default=LENGTHS[-1])
    arguments.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    arguments.add_argument("--precision", default="32-true")
    arguments.add_argument("--anneal", action="store_true")
    arguments.add_argument("--processes", type=int, default=os.cpu_count())
    options = arguments.parse_args()
    run = study_run(options)
    path = run.root / "figures" / run.name.removeprefix(PREFIX) / "table_length.csv"
    lengths = [n for n in sorted(options.lengths) if n <= options.iterations]
    ends = [[n] for n in lengths] if options.anneal else [lengths]
    jobs = [delayed(train_one)(run, path, key, own)
            for own in filter(None, ends) for key in training_keys(options)]
    trainings = run.folder("trainings")
    for _ in Parallel(options.processes, return_as="generator_unordered")(jobs):
        write_table(gathered(path, trainings), path)
    table = gathered(path, trainings)
    write_table(agreement(table), path.with_name("table_length_seeds.csv"))
    t2w = baseline_row(map(run.patient, split(run)[1]))
    for stem, figure in length_figures(table, t2w, run.label, COLUMNS).items():
        save_figure(figure, path.parent, stem)
    phases = phase_table(table[(table["method"] == "pgmif") & table["averaged"] & ~table["annealed"]])
    if len(phases) and phases["epsilon"].nunique() > 2:  # fewer are no plane
        used = {"recipe": CHOSEN, "epsilon": run.parameters.epsilon,
                "scale": run.parameters.gradient_scale}
        save_figure(phase_figure(phases, used, run.label), path.parent, "figure_length_phases")


if __name__ == "__main__":
    main()
