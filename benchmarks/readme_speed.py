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
    judged, met = table["target"].notna(), (table["holds"] == "yes").sum()
    lines = [f"| {row.name} | {_cell(row.value)} {row.unit} | {_cell(row.ratio)} |"
             for row in table.itertuples()]
    table = table.assign(line=lines)
    return "\n".join([
        BEGIN,
        f"`make bench`, all in one run on {table['machine'].iloc[0]}; of {judged.sum()} targets "
        f"{met} hold ([`results.csv`](benchmarks/results.csv), [figure](benchmarks/results.png)):", "",
        "| what | here | ratio | target | holds |", "|---|---|---|---|---|",
        *(f"{row.line} {row.target} | {row.holds} |" for row in table[judged].itertuples()), "",
        "<details><summary>What was measured without a target</summary>", "",
        "| what | here | ratio |", "|---|---|---|",
        *table.loc[~judged, "line"], "",
        "</details>", "", _gpu(root), END,
    ])


def _gpu(root: Path) -> str:
    path = root / "benchmarks" / "gpu.csv"
    if not path.exists():
        return "On a GPU: not measured (`make gpu` measures it beside the paper's figures)."
    table = pd.read_csv(path)
    said = "; ".join(f"{row.name} {_cell(row.value)} {row.unit}" for row in table.itertuples())
    return f"On a GPU ({table['device'].iloc[0]}): {said}. The paper: 60 ms an iteration, 100 ms a pair."
