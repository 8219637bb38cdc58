"""README's "How fast", from benchmarks/results.csv and, where a GPU was measured, benchmarks/gpu.csv."""

from pathlib import Path

import pandas as pd

BEGIN, END = "<!-- speed: benchmarks/readme_results.py -->", "<!-- end of speed -->"


def _cell(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def speed(root: Path) -> str:
    """Everything between the markers: every row of the benchmark, and what was said of a GPU."""
    table = pd.read_csv(root / "benchmarks" / "results.csv")
    judged = table[table["target"].notna()]
    lines = [
        BEGIN,
        f"`make bench`, all in one run on {table['machine'].iloc[0]}; of {len(judged)} targets "
        f"{(judged['holds'] == 'yes').sum()} hold "
        "([`results.csv`](benchmarks/results.csv), [figure](benchmarks/results.png)):", "",
        "| what | here | ratio | target | holds |", "|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        target = "" if pd.isna(row.target) else row.target
        holds = "" if pd.isna(row.holds) else row.holds
        value = f"{_cell(row.value)} {row.unit}"
        lines.append(f"| {row.name} | {value} | {_cell(row.ratio)} | {target} | {holds} |")
    return "\n".join([*lines, "", _gpu(root), END])


def _gpu(root: Path) -> str:
    path = root / "benchmarks" / "gpu.csv"
    if not path.exists():
        return "On a GPU: not measured (`make gpu` measures it beside the paper's figures)."
    table = pd.read_csv(path)
    said = "; ".join(f"{row.name} {_cell(row.value)} {row.unit}" for row in table.itertuples())
    return f"On a GPU ({table['device'].iloc[0]}): {said}. The paper: 60 ms an iteration, 100 ms a pair."
