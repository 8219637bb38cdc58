"""One training iteration against the bare convolutions it consists of; bf16; the paper's own batch."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from timing import Row, best_seconds, convolution_limit, peak_bytes

from pgmif_core.parameters import read_parameters
from pgmif_core.trainer import Trainer, TrainingSettings

TARGET = "≤ 1.4"


def _settings(root: Path) -> TrainingSettings:
    quick = read_parameters(root / "params" / "quick.yaml")
    return TrainingSettings(iterations=10**6, crop=quick.crop, batch_size=quick.batch_size)


def _batch(settings: TrainingSettings) -> torch.Tensor:
    shape = (settings.batch_size, settings.modalities, settings.crop, settings.crop)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def rows(root: Path) -> list[Row]:
    """Milliseconds of an iteration at `quick`, for every method, and what it is made of."""
    settings, threads = _settings(root), torch.get_num_threads()
    batch, ms = _batch(settings), f"ms, {threads} threads"
    found = []
    for method in ("pgmif", "gmmci", "dlmwl"):
        trainer = Trainer(replace(settings, method=method))
        whole, bare = convolution_limit(partial(trainer.step, batch))
        found.append(Row(f"training: iteration of {method}, over its bare convolutions", whole * 1e3, ms,
                         whole / bare, TARGET))
    full, half = (Trainer(replace(settings, precision=p)) for p in ("32-true", "bf16-mixed"))
    plain, mixed = best_seconds([lambda: full.step(batch), lambda: half.step(batch)])
    found.append(Row("training: iteration of pgmif in bf16, over float32", mixed * 1e3, ms,
                     mixed / plain))
    paper = replace(settings, batch_size=32, crop=192)
    trainer, large = Trainer(paper), _batch(paper)
    seconds, = best_seconds([lambda: trainer.step(large)], 1, 2)
    in_parts = Trainer(replace(paper, accumulate=8))
    whole, parted = (peak_bytes(partial(t.step, large)) for t in (trainer, in_parts))
    found.append(Row("training: iteration at paper size (32 of 192×192), over its share of pixels",
                     seconds * 1e3, ms, seconds / plain / (32 * 192**2 / batch[:, 0].numel())))
    found.append(Row("training: memory of an iteration at paper size", whole / 2**30, "GiB"))
    found.append(Row("training: memory of an iteration at paper size in 8 parts, over in one",
                     parted / 2**30, "GiB", parted / whole))
    return found
