"""Pages that are written from the code: lessons, the command, parameters, methods, metrics."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

from pgmif.runs.parameters import Parameters
from pgmif_core.methods.registry import METHODS
from pgmif_core.metrics.standard import FUSION_METRICS

INCLUDED = ("README.md", "REPRODUCING.md", "MODEL_CARD.md", "CONTRIBUTING.md",
            "published/inconsistencies.md")
PROFILES = ("quick", "smoke", "paper")


def markdown_table(table: pd.DataFrame) -> str:
    """A Markdown table; bars inside cells are escaped."""
    def row(cells) -> str:
        return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"

    return "\n".join([row(table), row("---" for _ in table), *map(row, table.to_numpy())])


def parameters_page(root: Path) -> str:
    """Every parameter with its meaning and its value in each profile; "" where the default stands."""
    profiles = {p: yaml.safe_load((root / "params" / f"{p}.yaml").read_text()) for p in PROFILES}
    rows = []
    for name, field in Parameters.model_fields.items():
        values = {p: profiles[p].get(name, "") for p in PROFILES if p != "quick"}
        shown = {p: f"`{v}`" if v != "" else "" for p, v in values.items()}
        rows.append({"parameter": f"`{name}`", "meaning": field.description,
                     "quick": f"`{field.default!r}`", **shown})
    text = (
        "# Parameters\n\nEvery parameter of the pipeline, for `params/*.yaml`, `--set name=value` and "
        "the notebooks' parameter cells. Lengths in mm, intensities in [0, 1] unless the name says. "
        "Unknown names and wrong types are refused before any work starts. `params/paper.yaml` cites "
        "the paper's section behind each value; an empty field means the value of `quick`.\n\n"
    )
    return text + markdown_table(pd.DataFrame(rows)) + "\n"


def methods_page() -> str:
    """METHODS and FUSION_METRICS as tables."""
    methods = pd.DataFrame([
        {"name": f"`{m.name}`", "label": m.label, "kind": m.kind,
         "what it does": (m.rule.__doc__ or "").split("\n")[0] if m.rule else "trained: see the networks"
         if m.kind == "learned" else "closed form, one number fitted"}
        for m in METHODS.values()
    ])
    metrics = pd.DataFrame([
        {"name": f"`{n}`", "better": "higher" if m.higher_is_better else "lower",
         "what it measures": m.description} for n, m in FUSION_METRICS.items()
    ])
    return (
        "# Methods and metrics by name\n\n"
        "`METHODS[name](sources, weights)`: `sources` (batch, modality, height, width) in [0, 1], the "
        "result (batch, 1, height, width). Learned and fitted methods need `weights`.\n\n"
        f"{markdown_table(methods)}\n\n## The field's standard metrics\n\n"
        "`FUSION_METRICS[name](fused, sources)`: `fused` (height, width), `sources` (modality, height, "
        f"width), all in [0, 1].\n\n{markdown_table(metrics)}\n"
    )


def command_page() -> str:
    """The command's help, by typer."""
    call = [sys.executable, "-m", "typer", "pgmif.cli", "utils", "docs", "--name", "pgmif"]
    text = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    return text.replace("# `pgmif`", "# The command `pgmif`", 1)


def with_links(text: str, root: Path) -> str:
    """A page of the repository's root as pages two folders below include it: links still lead there."""
    def moved(match: re.Match) -> str:
        target = match.group(1)
        if target == "MODEL_CARD.md":
            return "](/explanation/model-card.md)"
        if (root / target).is_dir() or not (root / target).exists():
            return match.group(0) if "://" in target or target.startswith("#") else "](#)"
        return f"](../../{target})"

    return re.sub(r"\]\(([^)\s]+)\)", moved, text).replace("```csv", "```text")


def write_pages(root: Path, docs: Path) -> None:
    """Write what has changed, so that Sphinx reads no more than it must."""
    pages = {
        "reference/parameters.md": parameters_page(root),
        "reference/methods.md": methods_page(),
        "reference/command.md": command_page(),
        **{f"_build/included/{Path(name).name}": with_links((root / name).read_text(), root)
           for name in INCLUDED},
    }
    (docs / "_build" / "included").mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        path = docs / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    lessons = docs / "tutorial" / "lessons"
    lessons.mkdir(exist_ok=True)
    for path in (root / "notebooks" / "teaching").glob("*.ipynb"):
        copy = lessons / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)
