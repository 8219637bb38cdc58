"""Pages that are written from the code: lessons, the command, parameters, methods, a page per room."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml

from pgmif.runs.parameters import Parameters
from pgmif_core import losses
from pgmif_core.methods.registry import METHODS, Method
from pgmif_core.metrics.standard import FUSION_METRICS

INCLUDED = {
    "REPRODUCING.md": "REPRODUCING.md", "MODEL_CARD.md": "MODEL_CARD.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md", "benchmarks/README.md": "benchmarks.md",
    "published/inconsistencies.md": "inconsistencies.md",
}
OWN_PAGES = {
    "REPRODUCING.md": "/how-to/scale.md", "MODEL_CARD.md": "/explanation/model-card.md",
    "CONTRIBUTING.md": "/contributing.md", "benchmarks/README.md": "/explanation/speed.md",
    "published/inconsistencies.md": "/explanation/inconsistencies.md",
}
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


def _what(method: Method) -> str:
    """What a method does: its function's first line, or of a trained one its content term's."""
    if method.kind == "fitted":
        return "closed form, settled on training patients"
    explained = method.rule or getattr(losses, method.loss)
    first = (explained.__doc__ or "").split("\n")[0]
    return first if method.rule else f"network, trained on: {first}"


def methods_page() -> str:
    """METHODS and FUSION_METRICS as tables."""
    methods = pd.DataFrame([
        {"name": f"`{m.name}`", "label": m.label, "kind": m.kind, "what it does": _what(m)}
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


def _modules(room: Path) -> list[Path]:
    """A room's modules, itself first where it is a package, then those inside."""
    if room.is_file():
        return [room]
    inner = (p for p in sorted(room.rglob("*.py")) if p.name not in ("__init__.py", "__main__.py"))
    faces = sorted(room.rglob("__init__.py"), key=lambda p: len(p.parts))
    return sorted([*faces, *inner], key=lambda p: (str(p.parent), p.name != "__init__.py", p.name))


def room_page(root: Path, room: Path) -> str:
    """The reference of a room: what every module of it offers."""
    parts = []
    for path in _modules(room):
        names = path.relative_to(root).with_suffix("").parts
        dotted = ".".join(names[:-1] if names[-1] == "__init__" else names)
        tree = ast.parse(path.read_text())
        faces = any(isinstance(n, ast.Name) and n.id == "__all__" for n in ast.walk(tree))
        heading = "#" if not parts else "##"
        members = "   :no-members:\n" if faces else ""  # a face offers what the modules below define
        parts.append(f"{heading} {dotted}\n\n```{{eval-rst}}\n.. automodule:: {dotted}\n{members}```\n")
    return "\n".join(parts)


def rooms(root: Path) -> dict[str, list[Path]]:
    """The rooms of both packages: modules and packages directly below them."""
    found = {}
    for package in ("pgmif_core", "pgmif"):
        inside = sorted((root / package).iterdir())
        found[package] = [p for p in inside if not p.name.startswith(("_", ".")) and
                          (p.suffix == ".py" or (p / "__init__.py").is_file())]
    return found


def room_pages(root: Path) -> dict[str, str]:
    """A page per room."""
    return {f"reference/{package}/{p.stem}.md": room_page(root, p)
            for package, inside in rooms(root).items() for p in inside}


def writers(root: Path) -> dict[str, list[str]]:
    """Patterns of the figures and tables that each notebook and benchmark writes, read from its code."""
    sources = {p.stem: "".join("".join(c["source"]) for c in json.loads(p.read_text())["cells"])
               for p in sorted((root / "notebooks").glob("[0-9]*.ipynb"))}
    for step in sources:  # what a step saves itself is its notebook's
        sources[step] += (root / "pgmif" / "steps" / f"{step.partition('_')[2]}.py").read_text()
    for path in sorted((root / "benchmarks").rglob("*.py")):
        target = "study NAME" if path.parent.name == "studies" else "bench PART"
        maker = f"make {target}={path.stem.removesuffix('_figure')}"  # drawn by a module of its own
        sources[maker] = sources.get(maker, "") + path.read_text()
    found = {maker: set(re.findall(r"[\"/]((?:figure|table)_[\w{}.]+?)(?:\.csv)?\"", text))
             for maker, text in sources.items()}
    return {maker: sorted({re.sub(r"{[\w.]+}", "*", name) for name in names})
            for maker, names in found.items() if names}


def results_page(root: Path) -> str:
    """Every method on both cohorts, and which notebook writes what."""
    sys.path.insert(0, str(root / "scripts"))
    from all_results import all_results

    made = pd.DataFrame([{"written by": f"`{maker}`", "files of `figures/<run>/`": ", ".join(
        f"`{name}`" for name in names)} for maker, names in writers(root).items()])
    return (f"# All results\n\n{with_links(all_results(root), root)}\n\n"
            f"## Which notebook writes what\n\n{markdown_table(made)}\n")


def with_links(text: str, root: Path, folder: str = ".") -> str:
    """A page of the repository as pages two folders below include it: links still lead there."""
    def moved(match: re.Match) -> str:
        words, target = match.groups()
        place = os.path.normpath(os.path.join(folder, target))
        if place in OWN_PAGES:
            return f"[{words}]({OWN_PAGES[place]})"
        if place.startswith("docs/"):
            return f"[{words}](/{place.removeprefix('docs/')})"
        if "://" in target or target.startswith("#"):
            return match.group(0)
        return f"[{words}](../../{place})" if (root / place).is_file() else words

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", moved, text).replace("```csv", "```text")


def write_pages(root: Path, docs: Path) -> None:
    """Write what has changed, so that Sphinx reads no more than it must."""
    pages = {
        "reference/parameters.md": parameters_page(root),
        "reference/methods.md": methods_page(),
        "reference/command.md": command_page(),
        "reference/results.md": results_page(root),
        **room_pages(root),
        **{f"_build/included/{page}": with_links((root / name).read_text(), root, str(Path(name).parent))
           for name, page in INCLUDED.items()},
    }
    (docs / "_build" / "included").mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    lessons = docs / "tutorial" / "lessons"
    lessons.mkdir(exist_ok=True)
    for path in (root / "notebooks" / "teaching").glob("*.ipynb"):
        copy = lessons / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)
