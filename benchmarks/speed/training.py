"""One training iteration against the bare convolutions it consists of; variants; paper size."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from speed.timing import Row, best_seconds, convolution_limit, peak_bytes

from pgmif.runs.parameter_files import read_parameters
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer

TARGET = "≤ 1.4"


def _settings(root: Path) -> TrainingSettings:
    quick = read_parameters(root / "params" / "quick.yaml")
    return TrainingSettings(iterations=10**6, crop=quick.crop, batch_size=quick.batch_size)


def _batch(settings: TrainingSettings) -> torch.Tensor:
    shape = (settings.batch_size, settings.modalities, settings.crop, settings.crop)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _against_limit(settings: TrainingSettings, batch: torch.Tensor, threads: int) -> list[Row]:
    found, before = [], torch.get_num_threads()
    torch.set_num_threads(threads)
    named = f"on {threads} thread{'s' * (threads > 1)}"
    try:
        for method in ("pgmif", "gmmci", "dlmwl"):
            trainer = Trainer(replace(settings, method=method))
            whole, bare = convolution_limit(partial(trainer.step, batch))
            found.append(Row(f"training: iteration of {method} {named}, over its bare convolutions",
                             whole * 1e3, "ms", whole / bare, TARGET))
    finally:
        torch.set_num_threads(before)
    return found


def _variants(settings: TrainingSettings, batch: torch.Tensor) -> list[Row]:
    """bf16, and compiled where there is a C++ compiler, over plain float32."""
    variants = {"in bf16": {"precision": "bf16-mixed"}}
    if shutil.which("c++") or shutil.which("g++"):
        variants["compiled"] = {"compiled": True}
    trainers = [Trainer(replace(settings, **values)) for values in ({}, *variants.values())]
    plain, *others = best_seconds([partial(trainer.step, batch) for trainer in trainers])
    return [Row(f"training: iteration of pgmif {name}, over float32", seconds * 1e3, "ms",
                seconds / plain)
            for name, seconds in zip(variants, others, strict=True)]


def _paper_size(settings: TrainingSettings, batch: torch.Tensor) -> list[Row]:
    paper = replace(settings, batch_size=32, crop=192)
    quick, large = Trainer(settings), _batch(paper)
    trainer = Trainer(paper)
    plain, = best_seconds([partial(quick.step, batch)])
    seconds, = best_seconds([partial(trainer.step, large)], 1, 2)
    whole = peak_bytes(partial(trainer.step, large))
    return [
        Row("training: iteration at paper size (32 of 192×192), over its share of pixels",
            seconds * 1e3, "ms", seconds / plain / (32 * 192**2 / batch[:, 0].numel())),
        Row("training: memory of an iteration at paper size", whole / 2**30, "GiB"),
    ]


def rows(root: Path) -> list[Row]:
    """Milliseconds of an iteration at `quick`, for every method, and what it is made of.

    On one thread, as the pipeline trains two methods side by side, and on all there are.
    """
    settings, cores = _settings(root), torch.get_num_threads()
    batch = _batch(settings)
    return [
        *(row for threads in sorted({1, cores}) for row in _against_limit(settings, batch, threads)),
        *_variants(settings, batch), *_paper_size(settings, batch),
    ]
