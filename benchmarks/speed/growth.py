"""Time and memory of training as cohorts and images grow; every size in a process of its own.

python benchmarks/speed/growth.py SLICES   prints seconds to open, seconds of a batch, MiB
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from pgmif_core.images.store import TrainingSlices
from pgmif_core.training.settings import TrainingSettings
from pgmif_core.training.step import Trainer

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from speed.timing import Row, best_seconds

SIDE, PER_PATIENT, CROP, BATCH = 192, 44, 96, 8
COUNTS = (1_000, 10_000, 100_000)
SIDES = (96, 192, 384)


def make_store(folder: Path, slices: int) -> list[str]:
    """A slice store of so many slices whose files take no room on the disk (sparse)."""
    subjects = [f"s{k:05d}" for k in range(-(-slices // PER_PATIENT))]
    details = {"geometry": {"size": [SIDE, SIDE, PER_PATIENT]},
               "slices_with_signal": list(range(PER_PATIENT))}
    text = json.dumps(details)
    for subject in subjects:
        shape = (PER_PATIENT, 2, SIDE, SIDE)
        np.lib.format.open_memmap(folder / f"{subject}_sources.npy", "w+", np.float32, shape)
        (folder / f"{subject}.json").write_text(text)
    return subjects


def measure(slices: int) -> dict[str, float]:
    """Open a store of so many slices and draw batches from all of it."""
    with tempfile.TemporaryDirectory() as folder:
        subjects = make_store(Path(folder), slices)
        start = time.perf_counter()
        store = TrainingSlices(Path(folder), subjects, CROP, 0)
        opened = time.perf_counter() - start
        before = most = psutil.Process().memory_info().rss
        times = []
        for iteration in range(200):
            start = time.perf_counter()
            store.batch(iteration, BATCH)
            times.append(time.perf_counter() - start)
            most = max(most, psutil.Process().memory_info().rss)
    return {"open": opened, "batch": float(np.median(times)), "mib": most / 2**20,
            "grown_mib": (most - before) / 2**20}


def _in_a_process(slices: int) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, str(slices)], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise RuntimeError(f"{slices} slices: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def rows() -> list[Row]:
    """Slices: opening, one batch, memory. Pixels: one iteration, each over the smallest."""
    found = []
    measured = [_in_a_process(n) for n in COUNTS]
    for count, one in zip(COUNTS, measured, strict=True):
        name, first = f"growth: {count:,} slices", measured[0]
        found += [
            Row(f"{name}, opening the store", one["open"], "s"),
            Row(f"{name}, a batch of {BATCH} crops, over {COUNTS[0]:,} slices", one["batch"] * 1e3, "ms",
                one["batch"] / first["batch"]),
            Row(f"{name}, memory that 200 batches add", one["grown_mib"], "MiB"),
            Row(f"{name}, memory of the process, over {COUNTS[0]:,} slices", one["mib"], "MiB",
                one["mib"] / first["mib"], "≤ 1.2"),
        ]
    trainers = {s: Trainer(TrainingSettings(iterations=10**6, crop=s, batch_size=4)) for s in SIDES}
    batches = {s: torch.rand(4, 2, s, s) for s in SIDES}
    times = best_seconds([lambda s=s: trainers[s].step(batches[s]) for s in SIDES], 3, 2)
    for side, seconds in zip(SIDES, times, strict=True):
        pixels = (side / SIDES[0]) ** 2
        found.append(Row(f"growth: iteration of 4 slices of {side}×{side}, over its share of pixels",
                         seconds * 1e3, "ms", seconds / times[0] / pixels))
    return found


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
