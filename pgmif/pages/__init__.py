"""Web pages that open offline: one style, sortable tables, everything inside the file."""

import math
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pgmif_core.files import replacing

FOLDER = Path(__file__).parent
HUGE = 1e9  # from here on numbers are written with an exponent


def templates(folder: Path) -> Environment:
    """Jinja templates of a folder, and of this one; text is escaped, unknown names are errors."""
    return Environment(
        loader=FileSystemLoader([folder, FOLDER]), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, autoescape=select_autoescape(["html.j2"], default=True),
    )


def write_page(path: Path, title: str, body: Markup, style: str = "") -> Path:
    """Write an HTML page under a temporary name, then rename; `style` is added to the common one."""
    text = templates(FOLDER).get_template("page.html.j2").render(
        title=title, body=body, version=version("pgmif"),
        style=Markup((FOLDER / "page.css").read_text() + style),
        script=Markup((FOLDER / "sort.js").read_text()),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _text(value: Any, decimals: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= HUGE:
        return f"{value:.4g}"
    # fewer than two digits would be left
    small = 0 < abs(value) < 0.95 * 10.0 ** (1 - decimals)
    return f"{value:.2g}" if small else f"{value + 0:.{decimals}f}"  # + 0: no minus before a 0


def _decimals(column: pd.Series) -> int:
    """Decimals of a column's numbers, the same for all: four digits of the largest, as far as needed."""
    values = [abs(v) for v in column if isinstance(v, float) and math.isfinite(v) and abs(v) < HUGE]
    needed = (len(f"{v:.4f}".rstrip("0").partition(".")[2]) for v in values)
    return min(max(needed, default=0), max(0, 4 - len(f"{max(values, default=0):.0f}")))


def table_html(
    table: pd.DataFrame, caption: str, links: Mapping[str, Callable[[str], str]] | None = None,
    classes: Mapping[str, Callable[[str], str]] | None = None,
    flagged: Callable[[pd.Series], bool] = lambda _: False,
) -> Markup:
    """A table that its headings sort. `links[column](text)` gives a cell's address ("" for none),
    `classes[column](text)` its CSS class; rows where `flagged` are shaded. Numbers are right-aligned,
    with as many decimals in one column.
    """
    numbers = {
        c: "number" if table[c].dtype != bool and pd.api.types.is_numeric_dtype(table[c]) else ""
        for c in table
    }
    head = Markup("").join(
        Markup('<th scope="col" class="{}"><button type="button">{}</button></th>').format(numbers[c], c)
        for c in table
    )
    decimals = {c: _decimals(table[c]) for c in table}
    rows = []
    for row in table.astype(object).to_dict("records"):
        cells = []
        for column, value in row.items():
            text = _text(value, decimals[column])
            address = (links or {}).get(column, lambda _: "")(text)
            shown = Markup('<a href="{}">{}</a>').format(address, text) if address else text
            kind = (classes or {}).get(column, lambda _, c=column: numbers[c])(text)
            cells.append(Markup('<td class="{}">{}</td>').format(kind, shown))
        start = Markup('<tr class="flagged">') if flagged(row) else Markup("<tr>")
        rows.append(start + Markup("").join(cells) + Markup("</tr>"))
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{0}"><table class="sortable">'
        "<caption>{0}</caption><thead><tr>{1}</tr></thead><tbody>\n{2}\n</tbody></table></div>"
    ).format(caption, head, Markup("\n").join(rows))
