"""What every benchmark shares: best times taken in turns, bare convolutions, peak memory, rows."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# as autograd sees them, and as inference mode does
CONVOLUTIONS = (
    torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default,
    torch.ops.aten.conv2d.default, torch.ops.aten.conv_transpose2d.input,
)
LAYOUTS = (torch.contiguous_format, torch.channels_last)


@dataclass(frozen=True)
class Row:
    """One line of results.csv. `ratio` is compared with `target` ("≤ 1.4", "≥ 5"), if there is one."""

    name: str
    value: float
    unit: str
    ratio: float = math.nan
    target: str = ""

    @property
    def holds(self) -> str:
        """yes or no where there is a target and a ratio."""
        if not self.target or math.isnan(self.ratio):
            return ""
        sign, bound = self.target.split()
        return "yes" if (self.ratio <= float(bound)) == (sign == "≤") else "no"


def best_seconds(
    works: Iterable[Callable[[], object]], rounds: int = 7, each: int = 4
) -> list[float]:
    """The shortest time of each piece of work, all taken in turns: a slow minute slows all alike.

    In a turn each runs `each` times, so that all find their data in the caches.
    """
    works = list(works)
    best = [math.inf] * len(works)
    for _ in range(rounds):
        for i, work in enumerate(works):
            for _ in range(each):
                start = time.perf_counter()
                work()
                best[i] = min(best[i], time.perf_counter() - start)
    return best


class ConvolutionRecorder(TorchDispatchMode):
    """Collects every convolution, forward and backward, that runs inside the block."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if function in CONVOLUTIONS:
            self.calls.append((function, arguments))
        return function(*arguments, **(named or {}))


def _signature(call: tuple) -> tuple:
    function, arguments = call
    return (function, *(tuple(a.shape) if isinstance(a, Tensor) else repr(a) for a in arguments))


def _alone(call: tuple, layout: torch.memory_format) -> Callable[[], object]:
    function, arguments = call
    laid_out = [
        a.detach().contiguous(memory_format=layout) if isinstance(a, Tensor) and a.ndim == 4 else a
        for a in arguments
    ]

    def run() -> object:
        with torch.no_grad():
            return function(*laid_out)

    return run


def convolution_limit(work: Callable[[], object], rounds: int = 7) -> tuple[float, float]:
    """Best seconds of `work`, and the sum of the best times of its bare convolutions.

    Every convolution runs alone on tensors of the recorded shapes, in the faster of two memory
    layouts: what remains of the work is normalisation, activations, losses, optimiser, Python.
    """
    work()
    with ConvolutionRecorder() as recorder:
        work()
    counts: dict[tuple, int] = {}
    calls = {}
    for call in recorder.calls:
        signature = _signature(call)
        counts[signature] = counts.get(signature, 0) + 1
        calls[signature] = call
    alone = [_alone(calls[s], layout) for s in calls for layout in LAYOUTS]
    if not calls:
        raise ValueError("expected a piece of work with convolutions, found none")
    whole, *times = best_seconds([work, *alone], rounds)
    pairs = zip(calls, times[::2], times[1::2], strict=True)
    return whole, sum(counts[s] * min(a, b) for s, a, b in pairs)


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that tensors made inside `work` take at one time (CPU)."""
    work()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
