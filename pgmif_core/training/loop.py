"""One visible training loop for PGMIF, GMMCI and DLMWL: batches, history, checkpoints, weights.

A run can be killed at any moment: it goes on from its last checkpoint and ends with the weights of
an uninterrupted run, because every batch depends on the seed and the iteration alone.
"""

import csv
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from pgmif_core.files import replace_file, taken
from pgmif_core.images.store import TrainingSlices
from pgmif_core.networks.generator import Generator
from pgmif_core.networks.weights import write_weights
from pgmif_core.training.checkpoints import load_checkpoint, save_checkpoint
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import TERMS, Trainer

HISTORY_COLUMNS = ("iteration", *TERMS)


def _resume(trainer: Trainer, folder: Path, say: Callable[[str], None]) -> None:
    """Set every process to the state that the first one finds: one folder, one answer."""
    def fits(state: dict) -> str:
        if state.get("fingerprint") != trainer.fingerprint:
            return "was made with other settings, data or code"
        if state["iteration"] > trainer.settings.iterations:
            return "has more iterations than asked for"
        return ""

    state = load_checkpoint(folder, fits, say) if trainer.part[0] == 0 else None
    state = trainer.fabric.broadcast(state)
    if state is not None:
        trainer.restore(state)
        say(f"resuming at iteration {trainer.iteration} of {trainer.settings.iterations}")


def _open_history(path: Path, iteration: int):
    """History file cut back to the checkpoint, open for appending."""
    if path == Path(os.devnull):
        return path.open("a", newline="")
    rows: list[list[str]] = []
    if path.exists() and iteration:
        with path.open(newline="") as file:
            whole = [r for r in list(csv.reader(file))[1:] if len(r) == len(HISTORY_COLUMNS)]
            rows = [r for k, r in enumerate(whole[:iteration]) if r[0] == str(k + 1)]

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            csv.writer(file).writerows([HISTORY_COLUMNS, *rows])

    replace_file(path, write)
    return path.open("a", newline="", buffering=1)


def train(
    settings: TrainingSettings,
    slices: TrainingSlices,
    folder: Path,
    watch: Callable[[int, Generator], None] | None = None,
    made_from: str = "",
    say: Callable[[str], None] = print,
) -> Path:
    """Train and return `folder`/weights.safetensors; also writes history.csv and checkpoints.

    Resumes from the last undamaged checkpoint of the same settings and slices. `watch(iteration,
    generator)` is called at every checkpoint with the generator in evaluation mode. `made_from` says
    what else decides the result (code, what is watched): training starts over when that changes. In a
    terminal a bar shows progress; elsewhere one line per epoch. Started by `torchrun` or `fabric run`,
    every process takes a part of each batch, and the first one alone watches, writes and says. Raises
    FloatingPointError on divergence, ValueError where a batch cannot be shared evenly, FolderTaken
    where another process trains in `folder`.
    """
    trainer = Trainer(settings, slices.fingerprint + made_from)
    first, processes = trainer.part[0] == 0, trainer.part[1]
    if settings.batch_size % processes:
        raise ValueError(
            f"expected a batch size that {processes} processes share evenly, found "
            f"{settings.batch_size}; choose a multiple of {processes}"
        )
    with taken(folder) if first else nullcontext():
        _loop(trainer, slices, folder, watch, say if first else (lambda _: None))
        trainer.fabric.barrier()
    return folder / "weights.safetensors"


def _loop(
    trainer: Trainer, slices: TrainingSlices, folder: Path,
    watch: Callable[[int, Generator], None] | None, tell: Callable[[str], None],
) -> None:
    settings, first = trainer.settings, trainer.part[0] == 0
    _resume(trainer, folder, tell)
    if first and not trainer.iteration:
        (folder / "weights.safetensors").unlink(missing_ok=True)  # of an older training
    epoch = max(1, len(slices) // settings.batch_size)
    bar = tqdm(
        total=settings.iterations, initial=trainer.iteration, desc=settings.method,
        disable=not (first and sys.stderr.isatty()),
    )
    place = folder / "history.csv" if first else Path(os.devnull)
    with bar, _open_history(place, trainer.iteration) as file:
        history = csv.writer(file)
        while trainer.iteration < settings.iterations:
            part = slices.batch(trainer.iteration, settings.batch_size, trainer.part)
            terms = trainer.step(torch.from_numpy(part))
            done = trainer.iteration
            history.writerow([done, *(f"{terms[name]:.8g}" for name in HISTORY_COLUMNS[1:])])
            bar.update()
            if bar.disable and (done % epoch == 0 or done == settings.iterations):
                shown = "  ".join(f"{name} {value:+.4f}" for name, value in terms.items())
                tell(f"epoch {-(-done // epoch):3d}  iteration {done:6d}  {shown}")
            if first and (done % settings.checkpoint_every == 0 or done == settings.iterations):
                if watch is not None:
                    watch(done, trainer.result.eval())
                save_checkpoint(trainer.state(), folder)
    if first:
        write_weights(trainer.result, asdict(settings), folder / "weights.safetensors",
                      settings.iterations)


