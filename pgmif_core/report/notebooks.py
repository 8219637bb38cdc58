"""Executed notebooks as pages that open offline."""

import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from pgmif_core.pages import write_page

STYLES = {"light": "a11y-light", "dark": "a11y-dark"}  # of accessible-pygments: enough contrast
NO_ALT = re.compile(r'alt="No description has been provided for this image"')
LAYOUT = """
.prompt, .anchor-link { display: none; }
.output { overflow-x: auto; margin: 0.4rem 0; }
.output img { max-width: 100%; height: auto; background: #fff; }
.highlight pre { white-space: pre-wrap; }
"""


def _code_style() -> str:
    light, dark = (HtmlFormatter(style=s).get_style_defs(".highlight") for s in STYLES.values())
    return f"{LAYOUT}{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def without_paths(text: str, hidden: Iterable[str]) -> str:
    """A text in which "…" stands for each of the folders `hidden`, longest first."""
    for folder in hidden:
        text = text.replace(folder, "…")
    return text


def notebook_page(path: Path, folder: Path, label: str, hidden: Iterable[str] = ()) -> Path:
    """Write an executed notebook as folder/<stem>.html, with a link back to ../index.html.

    Folders `hidden` (longest first) are left out of code and output.
    """
    notebook = nbformat.reads(without_paths(path.read_text(encoding="utf-8"), hidden), as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("tags", None)
    exporter = HTMLExporter(template_name="basic")
    body, _ = exporter.from_notebook_node(notebook)
    body = NO_ALT.sub('alt="figure made by the cell above"', body)
    page = Markup(
        '<nav aria-label="report"><a href="../index.html">Report: {}</a></nav><main>{}</main>'
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.html"
    return write_page(target, f"{path.stem}: {label}", page.format(label, Markup(body)), _code_style())
