"""Fusion by a trained generator, whichever method trained it (a new one: a loss, a row in `names`)."""

from pathlib import Path

import torch

from pgmif_core.chunks import in_chunks
from pgmif_core.methods.rules import Fused, Sources
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.networks.generator import Generator
from pgmif_core.networks.weights import load_generator

GPU_BATCH = 32  # slices


def fuse_learned(
    sources: Sources, weights: str | Path | Generator | FoldedGenerator, batch: int = 0
) -> Fused:
    """Fuse slices with a trained generator, `batch` at a time; 0 chooses what the device does best.

    On a CPU that is one: the maps of a single slice stay in its cache.

    >>> sources = torch.tensor([0.2, 0.6]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    >>> round(fuse_learned(sources, Generator(channels=4)).mean().item(), 3)  # untrained: the average
    0.4
    """
    if isinstance(weights, str | Path):
        weights = load_generator(weights)
    folded = weights if isinstance(weights, FoldedGenerator) else FoldedGenerator(weights)
    device = folded.device
    with torch.inference_mode():
        return in_chunks(lambda part: folded(part.to(device)).to(sources.device), sources,
                         batch or (1 if device.type == "cpu" else GPU_BATCH))
