"""PGMIF on a GPU beside the paper's figures: python benchmarks/speed/gpu.py [--device cuda] [--compiled]

Iterations a second at the paper's size (32 whole slices of 192×192), in float32 and bf16; the time of
its 14,000 iterations; inference of one pair. Writes benchmarks/gpu.csv; without a GPU it says so and
writes nothing.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import torch

from pgmif.runs.root import find_root
from pgmif_core.files import write_table
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer

ITERATIONS = 14_000  # the paper, Methods
PAPER_TRAINING, PAPER_PAIR = 0.060, 0.1  # RTX 3090: 2 h for 120,000 iterations; "up to 0.1 s" a pair
# cuDNN convolves float32 in TF32 where the GPU has it
NAMES = {"32-true": "float32 (TF32 convolutions)", "bf16-mixed": "bf16"}
PAPER = TrainingSettings(batch_size=32, crop=192, iterations=10**6)


def seconds_each(work: Callable[[], object], device: torch.device, count: int) -> float:
    """Mean seconds of `work` after a warm-up, the device's queue empty before and after."""
    for _ in range(5):
        work()
    torch.accelerator.synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        work()
    torch.accelerator.synchronize(device)
    return (time.perf_counter() - start) / count


def rows(device: str, compiled: bool = False) -> list[dict]:
    """One row per measurement; `paper` is the printed value, where there is one."""
    found = []
    suffix = ", compiled" if compiled else ""
    for precision in ("32-true", "bf16-mixed"):
        trainer = Trainer(replace(PAPER, device=device, precision=precision, compiled=compiled))
        place = trainer.fabric.device
        batch = torch.rand(32, 2, 192, 192, device=place)
        each = seconds_each(lambda t=trainer, b=batch: t.step(b), place, 50)
        found += [
            {"name": f"training iteration, {NAMES[precision]}{suffix}", "value": each * 1e3,
             "unit": "ms", "paper": PAPER_TRAINING * 1e3},
            {"name": f"{ITERATIONS:,} iterations, {NAMES[precision]}{suffix}",
             "value": each * ITERATIONS / 60, "unit": "min"},
        ]
    folded = FoldedGenerator(trainer.generator.eval())
    for slices in (1, 44):
        sources = torch.rand(slices, 2, 192, 192, device=place)
        with torch.inference_mode():
            each = seconds_each(lambda s=sources: folded(s), place, 200)
        found.append({"name": f"fusing {slices} pair{'s' * (slices > 1)}", "value": each * 1e3,
                      "unit": "ms", "paper": PAPER_PAIR * 1e3 if slices == 1 else None})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "mps"])
    parser.add_argument("--compiled", action="store_true", help="measure torch.compile's training")
    options = parser.parse_args()
    if not getattr(torch, options.device).is_available():
        print(f"expected a GPU ({options.device}), found none: not measured", file=sys.stderr)
        return 2
    table = pd.DataFrame(rows(options.device, options.compiled))
    named = torch.cuda.get_device_name() if options.device == "cuda" else "Apple GPU"
    table = table.assign(device=named, torch=torch.__version__)
    print(table.to_string(index=False))
    write_table(table, find_root() / "benchmarks" / "gpu.csv")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
