"""The gradient loss of PGMIF beside the same written out term by term: time and memory."""

import torch
from speed.timing import Row, best_seconds, peak_bytes
from torch import Tensor

from pgmif_core.gradients import normalized_gradient
from pgmif_core.losses import weighted_gradient_loss

BATCH, SIDE, EPSILON = 32, 192, 0.03  # of params/paper.yaml


def naive(fused: Tensor, sources: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Eq. 2 for every source on its own, each with its own gradient of the fused image."""
    total = fused.new_zeros(())
    for m, weight in enumerate(weights):
        n_fused = normalized_gradient(fused, EPSILON)
        n_source = normalized_gradient(sources[:, m : m + 1], EPSILON)
        total = total - weight * (n_fused * n_source).sum(dim=-3).square().mean()
    return total


def rows() -> list[Row]:
    """Forward and backward on a batch of the paper's size, with two and four sources."""
    found = []
    for sources_count in (2, 4):
        weights = (1.0, 8.0, 1.0, 1.0)[:sources_count]
        fused = torch.rand(BATCH, 1, SIDE, SIDE, requires_grad=True)
        sources = torch.rand(BATCH, sources_count, SIDE, SIDE)
        works = [
            lambda f=fused, s=sources, w=weights: weighted_gradient_loss(f, s, w, EPSILON).backward(),
            lambda f=fused, s=sources, w=weights: naive(f, s, w).backward(),
        ]
        ours, plain = best_seconds(works, 5, 2)
        least, most = map(peak_bytes, works)
        name = f"losses: gradient term, {sources_count} sources, batch {BATCH} of {SIDE}×{SIDE}"
        found += [
            Row(f"{name}, over term by term", ours * 1e3, "ms", ours / plain, "≤ 1"),
            Row(f"{name}, peak memory over term by term", least / 2**20, "MiB", least / most, "≤ 1"),
        ]
    return found
