"""Executed notebooks as pages that open offline."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from pygments.formatters import HtmlFormatter

from pgmif.pages import write_page

STYLES = {"light": "a11y-light", "dark": "a11y-dark"}  # of accessible-pygments: enough contrast
SAVED = re.compile(r'save_figure\([^"]*"(\w+)')  # the name of a cell's figure, or its beginning
PLAIN_ALT = "figure made by the cell above"
LAYOUT = """
.prompt, .anchor-link { display: none; }
.output { overflow-x: auto; margin: 0.4rem 0; }
.output img { max-width: 100%; height: auto; background: #fff; }
.output table { border: 0; }
.output :is(th, td) { border-style: none none solid; }
.highlight pre { white-space: pre-wrap; }
"""


def _code_style() -> str:
    light, dark = (HtmlFormatter(style=s).get_style_defs(".highlight") for s in STYLES.values())
    return f"{LAYOUT}{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def without_paths(text: str, hidden: Iterable[str]) -> str:
    """A text in which "…" stands for each of the folders `hidden`, longest first.

    Whole paths alone: a folder called `data` or `n` is hidden where it leads to something, or is all of
    a quoted text, not where the word stands for itself.
    """
    for folder in hidden:
        name = re.escape(folder)
        found = rf"{name}(?![\w-])" if os.path.isabs(folder) else rf"(?<![\w/.-]){name}(?=/)"
        text = re.sub(rf"{found}|(?<=[\"']){name}(?=[\"'])" if "/" in folder else found, "…", text)
    return text


def _hide(node: Any, hidden: Sequence[str]) -> Any:
    """The same for every text of a notebook, whose own structure stays as it is."""
    if isinstance(node, str):
        return without_paths(node, hidden)
    if isinstance(node, list):
        return [_hide(part, hidden) for part in node]
    if isinstance(node, dict):
        for key in ("source", "text", "data", "traceback", "evalue", "outputs", "cells"):
            if key in node:
                inner = node[key]
                node[key] = {k: _hide(v, hidden) for k, v in inner.items()} if key == "data" \
                    else _hide(inner, hidden)
    return node


def without_values(source: str, hidden: Sequence[str]) -> str:
    """A cell of parameters in which "…" stands for values that are folders to hide, too."""
    for folder in (name for name in hidden if "/" not in name):
        source = re.sub(rf"(?<=[\"']){re.escape(folder)}(?=[\"'])", "…", source)
    return source


def figure_alt(source: str, stem: str, alts: Mapping[str, str]) -> str:
    """What the figure shows that a cell saves; of several that begin alike, the one of this notebook."""
    saved = SAVED.search(source)
    names = [n for n in alts if n.startswith(saved.group(1))] if saved else []
    own = [n for n in names if n == saved.group(1) or stem.endswith(n.removeprefix(saved.group(1)))]
    own = own or (names if len(names) == 1 else [])
    return alts[own[0]] if own else PLAIN_ALT


def notebook_page(
    path: Path, folder: Path, label: str, hidden: Iterable[str] = (),
    alts: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write an executed notebook as folder/<stem>.html, with a link back to ../index.html.

    Folders `hidden` (longest first) are left out of code and output. `alts`: what figures show, by name.
    """
    hidden = list(hidden)
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    notebook = _hide(notebook, hidden)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = without_values(cell.source, hidden)
        cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.metadata["alt"] = figure_alt(cell.source, path.stem, alts)
    exporter = HTMLExporter(template_name="basic", preprocessors=[CoalesceStreamsPreprocessor])
    body, _ = exporter.from_notebook_node(notebook)
    page = Markup(
        '<nav aria-label="report"><a href="../index.html">Report: {}</a></nav><main>{}</main>'
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.html"
    return write_page(target, f"{path.stem}: {label}", page.format(label, Markup(body)), _code_style())
