"""Fusing a pair of slices and a patient: against bare convolutions, published networks."""

import torch
from speed.published_fusers import FUSERS
from speed.timing import LAYOUTS, Row, best_seconds, convolution_limit

from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.networks.generator import Generator

SIDE, SLICES = 192, 44
MILLISECONDS = 1e3


def _generator() -> Generator:
    torch.manual_seed(0)
    return Generator().eval()


def _rules() -> list[Row]:
    """Rules on a volume of 155 slices, on one thread: a few slices at a time over all at once."""
    volume, threads = torch.rand(155, 2, SIDE, SIDE), torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    for name in ("guided", "laplacian", "poisson", "t2w_blurred"):
        method = METHODS[name]
        times = best_seconds([lambda m=method: m(volume), lambda m=method: m.rule(volume)], 2, 1)
        found.append(Row(f"inference: {method.label} of 155 slices, 8 at a time over at once, 1 thread",
                         times[0], "s", times[0] / times[1], "≤ 1"))
    torch.set_num_threads(threads)
    return found


def rows() -> list[Row]:
    """Milliseconds of one pair and of a patient, batch 1 and whole volume."""
    pair, patient = torch.rand(1, 2, SIDE, SIDE), torch.rand(SLICES, 2, SIDE, SIDE)
    folded, plain = FoldedGenerator(_generator()), _generator().to(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    published = {
        f"{name}{layout}": network().eval().to(memory_format=layout)
        for name, network in FUSERS.items() for layout in LAYOUTS
    }
    with torch.inference_mode():
        whole, bare = convolution_limit(lambda: folded(pair))
        works = [lambda: folded(pair), lambda: plain(pair)]
        works += [lambda network=network: network(pair) for network in published.values()]
        ours, unfolded, *others = best_seconds(works)
        slices, volume = best_seconds(
            [lambda: [folded(part) for part in patient.split(1)], lambda: folded(patient)], 7, 2)
    stacks = {name: min(others[2 * k : 2 * k + 2]) for k, name in enumerate(FUSERS)}
    fastest = min(stacks, key=stacks.get)
    ms = f"ms, {threads} threads"
    return [
        Row("inference: pair, over its bare convolutions", whole * MILLISECONDS, ms, whole / bare,
            "≤ 1.3"),
        Row(f"inference: pair, speed against {fastest}, the fastest published stack",
            ours * MILLISECONDS, ms, stacks[fastest] / ours, "≥ 5"),
        Row("inference: pair, not folded", unfolded * MILLISECONDS, ms, unfolded / ours),
        *(Row(f"inference: pair, {name}, bare stack", seconds * MILLISECONDS, ms, seconds / ours)
          for name, seconds in stacks.items()),
        Row(f"inference: patient of {SLICES} slices, one by one", slices, "s", slices / (SLICES * bare),
            "≤ 1.3"),
        Row(f"inference: patient of {SLICES} slices, as one batch", volume, "s", volume / slices),
        *_rules(),
    ]
