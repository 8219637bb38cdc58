"""Step 02: one method of a run, its settings, its patients, its training, its architecture."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pgmif.figures.architecture import architecture_figure, layer_table
from pgmif.figures.style import save_figure
from pgmif.runs.code_of import code_of
from pgmif.runs.parameters import modality_weights
from pgmif.runs.released import is_released, take_training
from pgmif.runs.run import Run
from pgmif_core.evaluation.measures import validation_row
from pgmif_core.files import replacing, write_table
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import TrainingSlices, read_patient, store_fingerprint
from pgmif_core.methods.names import NAMES
from pgmif_core.networks.generator import Generator
from pgmif_core.networks.weights import write_weights
from pgmif_core.training.loop import train
from pgmif_core.training.processes import is_first_process
from pgmif_core.training.settings import TrainingSettings, content_term

# tables in which a training finds its method: what it finds there is hashed by itself
LOOKED_UP = ("pgmif_core.methods.names:NAMES", "pgmif_core.losses")


def training_settings(run: Run, method: str) -> TrainingSettings:
    """What a learned method trains with, from the run's parameters."""
    p = run.parameters
    modalities = run.cohort.modalities
    row = NAMES[method]
    settings = TrainingSettings(
        method=method,
        modalities=len(modalities),
        sequences=modalities,
        channels=p.channels,
        start=p.start,
        epsilon=p.epsilon,
        gradient_weights=modality_weights(p.gradient_weights, modalities),
        content_scale=getattr(p, row.scale) if isinstance(row.scale, str) else row.scale,
        adversarial=p.adversarial,
        iterations=p.iterations,
        batch_size=p.batch_size,
        crop=p.crop,
        learning_rate=getattr(p, row.rate),
        discriminator_rate=p.discriminator_rate * getattr(p, row.rate) / p.learning_rate,
        gradient_penalty=p.gradient_penalty,
        warm_up=p.warm_up,
        anneal=p.anneal,
        average_weights=p.average_weights,
        checkpoint_every=p.checkpoint_every,
        seed=p.seed,
        device=p.device,
        precision=p.precision,
        compiled=p.compiled,
    )
    return replace(settings, **row.own)


def split_training(run: Run) -> tuple[list[str], list[str]]:
    """Training patients to fit on, and those to watch: never a test patient.

    `validation_patients` are held out where three times as many are there. A smaller cohort can
    spare none: then they are fitted and watched both. The training itself sees no tumour contour.
    """
    subjects = run.cohort.subjects("train")
    wanted = run.parameters.validation_patients
    return subjects[wanted if len(subjects) >= 3 * wanted else 0 :], subjects[:wanted]


def train_method(run: Run, method: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train a learned method of a run; returns its history and its validation table.

    With the parameter `released`, nothing is trained: weights and tables are those of weights/. A
    method of which none are released is trained all the same.
    """
    if run.parameters.released:
        if is_released(method, run.root):
            return take_training(run, method)
        print(f"{method}: no weights of it are released with this version; trained here")
    folder = run.folder(f"02_training/{method}")
    fit, watched = split_training(run)
    slices = TrainingSlices(run.store, fit, run.parameters.crop, run.parameters.seed)
    # a training patient may lack a reference region or a covered tumour: no CNR to watch then
    patients = [p for p in map(run.patient, watched) if p.reference.any() and p.gtv.any()]
    how = "held out" if set(watched).isdisjoint(fit) else "fitted too, patients are few"
    if is_first_process():
        print(f"{method}: {len(slices)} slices of {len(fit)} patients; {len(patients)} watched ({how})")
    validation = watched_training(run, training_settings(run, method), slices, patients, folder)
    return pd.read_csv(folder / "history.csv"), validation


@dataclass(frozen=True)
class Watch:
    """Scores the generator of every checkpoint on validation patients, and keeps the best one."""

    settings: TrainingSettings
    patients: Sequence[PatientSlices]
    folder: Path

    @property
    def log(self) -> Path:
        """One row per checkpoint so far."""
        return self.folder / "validation_log.csv"

    @property
    def best(self) -> Path:
        """Weights of the highest score so far."""
        return self.folder / "best.safetensors"

    def __call__(self, iteration: int, generator: Generator) -> None:
        row = {"iteration": iteration,
               **validation_row(generator, self.patients, self.settings.epsilon)}
        first = iteration <= self.settings.checkpoint_every or not self.log.exists()
        rows = pd.DataFrame([row])
        if not first:
            earlier = pd.read_csv(self.log)
            rows = pd.concat([earlier[earlier["iteration"] < iteration], rows])
        write_table(rows, self.log)
        if row["score"] >= rows["score"].max():
            write_weights(generator, asdict(self.settings), self.best, iteration)


def training_code(method: str, *watching: Callable) -> str:
    """Hash of the code that decides a method's weights; a change of another method's changes nothing."""
    return code_of(train, TrainingSlices, content_term(method), *watching, without=LOOKED_UP)


def train_variant(run: Run, settings: TrainingSettings, folder: Path, words: str) -> Path:
    """Weights of a training that differs from the run's in its settings, on the same patients; nobody
    watches it. `words` name it where it is told."""
    fit, _ = split_training(run)
    slices = TrainingSlices(run.store, fit, settings.crop, settings.seed)
    print(f"{settings.method}, {words}: {len(slices)} slices of {len(fit)} patients")
    return train(settings, slices, folder, made_from=training_code(settings.method))


def watched_training(
    run: Run, settings: TrainingSettings, slices: TrainingSlices,
    patients: Sequence[PatientSlices], folder: Path,
) -> pd.DataFrame:
    """Train, score every checkpoint on validation patients, keep the best as the weights.

    Without validation patients, or with `select_checkpoint: false`, the last weights count. Returns
    one row per checkpoint; `kept` marks the one whose weights count.
    """
    watch = Watch(settings, patients, folder)
    watched = store_fingerprint(run.store, [p.subject for p in patients])
    code = training_code(settings.method, Watch, read_patient)
    weights = train(settings, slices, folder, watch if patients else None, watched + code)
    if not patients:
        return pd.DataFrame({"iteration": []})
    table = pd.read_csv(watch.log)
    chosen = table["score"].idxmax() if run.parameters.select_checkpoint else len(table) - 1
    if run.parameters.select_checkpoint and is_first_process():
        with replacing(weights) as temporary:
            shutil.copyfile(watch.best, temporary)
    return table.assign(kept=table.index == chosen)


ARCHITECTURE_FIGURES = {
    "pgmif": ("figure_1_pgmif_architecture", "PGMIF: encoders, decoder and discriminators",
              "−Σ wₘ (nₘ·n)², Eq. 2"),
    "dlmwl": ("figure_2_dlmwl_architecture", "DLMWL: encoders, decoder and discriminators",
              "Σ xₘ (fused − xₘ)², Eq. 5"),
}


def save_architecture(run: Run, method: str, generator: Generator) -> Figure | None:
    """Figure 1 (PGMIF) or 2 (DLMWL) from the live generator; None for the other methods."""
    if method not in ARCHITECTURE_FIGURES:
        return None
    name, title, content = ARCHITECTURE_FIGURES[method]
    size = run.parameters.slice_size
    figure = architecture_figure(generator, run.cohort.modalities, content, title, size)
    save_figure(figure, run.figures, name, layer_table(generator, size), run.parameters.dpi)
    return figure
