"""Standard fusion metrics beside their literal versions: python benchmarks/speed/fusion_metrics.py

Seconds per 192×192 image with two sources, each metric against the literal version of its
publication, and images per second for the whole set over all cores; one run, so that a slow machine
slows both. Writes figures/phantom/table_fusion_metrics_benchmark.csv.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config

from pgmif.runs.root import find_root
from pgmif_core.files import write_table
from pgmif_core.images.slices import minmax_per_slice, place_on_slices, slice_grid
from pgmif_core.methods.registry import METHODS
from pgmif_core.metrics.remembered import forget
from pgmif_core.metrics.standard import FUSION_METRICS, measure_fusion
from pgmif_core.phantom import PhantomSize, make_phantom

sys.path.append(str(Path(__file__).parents[2] / "tests"))  # whose references are the literal versions
from references.literal_fusion_metrics import LITERAL


def phantom_slices():
    """Fused by maximum, and its sources: slices of an unregistered phantom at 192×192."""
    import SimpleITK as sitk

    phantom = make_phantom(1, PhantomSize(slices=20, thickness_mm=4.4, pixel_mm=1.2))
    grid = slice_grid(phantom.T2w)
    planes = [
        minmax_per_slice(sitk.GetArrayFromImage(place_on_slices(getattr(phantom, m), grid)))
        for m in ("T1w", "T2w")
    ]
    sources = np.stack(planes, axis=1)
    return METHODS["moi"](torch.from_numpy(sources))[:, 0].numpy(), sources


def seconds(work, repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        forget()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def measure_anew(fused, sources) -> dict[str, float]:
    """The whole set, nothing known of the sources from another image."""
    forget()
    return measure_fusion(fused, sources)


def images_per_second(fused, sources, images: int, workers: int) -> float:
    """The whole set over processes, each with one thread; processes are started before."""
    with parallel_config(backend="loky", inner_max_num_threads=1), Parallel(workers) as pool:
        chunk = [delayed(measure_anew)(fused[k % len(fused)], sources[k % len(fused)])
                 for k in range(images)]
        pool(chunk[: 2 * workers])
        start = time.perf_counter()
        pool(chunk)
        return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=200, help="images for the rate of the whole set")
    options = parser.parse_args()
    torch.set_num_threads(1)
    fused, sources = phantom_slices()
    one, pair = fused[10], sources[10]
    rows = []
    for name, metric in FUSION_METRICS.items():
        ours = seconds(lambda metric=metric: metric(one, pair), 7)
        start = time.perf_counter()
        literal = float(LITERAL[name](one.astype(np.float64), pair.astype(np.float64)))
        slow = time.perf_counter() - start
        rows.append({"metric": name, "value": metric(one, pair), "literal_value": literal,
                     "seconds": ours, "literal_seconds": slow, "ratio": slow / ours})
    table = pd.DataFrame(rows)
    whole = {c: table[c].sum() for c in ("seconds", "literal_seconds")}
    whole["ratio"] = whole["literal_seconds"] / whole["seconds"]
    rate = images_per_second(fused, sources, options.images, cpu_count())
    table = pd.concat([table, pd.DataFrame([{"metric": "all", **whole, "images_per_second": rate,
                                             "processes": cpu_count()}])])
    print(table.to_string(index=False))
    write_table(table, find_root() / "figures" / "phantom" / "table_fusion_metrics_benchmark.csv")


if __name__ == "__main__":
    main()
