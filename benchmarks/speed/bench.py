"""Measurements of speed, side by side in one run: python benchmarks/speed/bench.py [PART …]

Prints a table and writes benchmarks/results.csv (name, value, unit, ratio, target, holds) and
benchmarks/results.png. The ratios count: both of their sides were measured in this run. Ends with 0
on the slowest machine; with 1 only where a benchmark is broken. Named parts alone
(training, inference, losses, metrics, pipeline, growth) are printed, not written. The parts gpu,
viewer, lessons and fusion_metrics write tables of their own, and only where they are named.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import torch
from joblib import cpu_count

from pgmif.runs.root import find_root
from pgmif_core.files import replacing, write_table

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from speed.timing import Row

COLUMNS = ("name", "value", "unit", "ratio", "target", "holds")
OWN_TABLE = ("gpu", "viewer", "lessons", "fusion_metrics")
ONE_THREAD = ("fusion_metrics",)


def parts(root: Path) -> dict[str, Callable[[], list[Row]]]:
    """The benchmarks by name, in the order of the table."""
    from speed import growth, inference, losses, metrics, pipeline, training

    return {
        "training": lambda: training.rows(root), "inference": inference.rows,
        "losses": losses.rows, "metrics": metrics.rows,
        "pipeline": lambda: pipeline.rows(root), "growth": growth.rows,
    }


def run_alone(name: str, arguments: list[str]) -> int:
    """A part with a table of its own, in a process of its own; its exit code."""
    script = Path(__file__).with_name(f"{name}.py")
    threads = {"OMP_NUM_THREADS": "1"} if name in ONE_THREAD else {}
    return subprocess.run([sys.executable, str(script), *arguments], env={**os.environ, **threads},
                          check=False).returncode


def table_of(rows: list[Row]) -> pd.DataFrame:
    """Rows as the table that is written."""
    return pd.DataFrame([[getattr(row, c) for c in COLUMNS] for row in rows], columns=COLUMNS)


def figure_of(table: pd.DataFrame, machine: str):
    """Every ratio as a bar on a logarithmic axis; its target as a mark."""
    import matplotlib.pyplot as plt

    shown = table[table["ratio"].notna()].iloc[::-1].reset_index(drop=True)
    colours = shown["holds"].map({"yes": "#2a7f3f", "no": "#b3402a", "": "#8a8f98"})
    figure, axes = plt.subplots(figsize=(11, 0.29 * len(shown) + 1.4), layout="constrained")
    axes.barh(shown.index, shown["ratio"] - 1, left=1, color=colours, height=0.62)
    for k, row in shown.iterrows():
        target = float(row["target"].split()[1]) if row["target"] else 1.0
        axes.annotate(f"{row['ratio']:.2f}", (max(row["ratio"], target, 1), k), (5, 0), va="center",
                      fontsize=8, textcoords="offset points")
        if row["target"]:
            axes.plot(target, k, "|", color="black", markersize=13, mew=1.6)
    axes.set(xscale="log", xlabel="ratio, both sides measured in one run (log)",
             ylim=(-0.7, len(shown) - 0.3), xlim=(None, 3 * shown["ratio"].max()))
    axes.set_yticks(shown.index, shown["name"], fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    figure.suptitle(f"{machine}\nblack marks: targets; green reached, red missed, grey without one",
                    fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def machine_text() -> str:
    """Processor, threads and versions: what the values belong to."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return f"{model}, {torch.get_num_threads()} threads, PyTorch {torch.__version__.split('+')[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART")
    options, others = parser.parse_known_args()
    if options.parts and options.parts[0] in OWN_TABLE:
        return run_alone(options.parts[0], [*options.parts[1:], *others])
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    mpl.use("Agg")
    os.environ.setdefault("OMP_NUM_THREADS", str(cpu_count()))
    torch.set_num_threads(cpu_count())
    root = find_root()
    known = parts(root)
    if unknown := set(options.parts) - set(known):
        parser.error(f"expected parts of {', '.join(known)}, or one of {', '.join(OWN_TABLE)}; "
                     f"found {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    broken = []
    for name in options.parts or known:
        start = time.perf_counter()
        try:
            rows += known[name]()
        except Exception as error:  # one broken part must not hide the others
            broken.append(name)
            print(f"{name}: broken: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"{name}: measured in {time.perf_counter() - start:.0f} s", flush=True)
    table = table_of(rows)
    with pd.option_context("display.width", 200, "display.max_colwidth", 90):
        print(table.to_string(index=False, float_format=lambda v: f"{v:.3g}", na_rep=""))
    print(machine_text())
    if not options.parts and not broken:
        write_table(table.assign(machine=machine_text()), root / "benchmarks" / "results.csv")
        with replacing(root / "benchmarks" / "results.png") as temporary:
            figure_of(table, machine_text()).savefig(temporary, dpi=110)
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
