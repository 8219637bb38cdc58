"""The claims of the paper as a picture of a table."""

import re
import textwrap

import pandas as pd
from matplotlib.figure import Figure

from pgmif.figures.colours import LIGHT_GREY, VERDICT_COLOURS
from pgmif.figures.style import PAGE_INCHES, in_style, name_cohort, new_figure

COLUMNS = {  # of one seed, of several: what stands under which heading
    "verdict": {"claim": "claim", "paper": "paper", "here": "here", "verdict": "P < 0.05",
                "at_printed_p": "at printed P"},
    "holds_in": {"claim": "claim", "paper": "paper", "range": "median (range)", "verdict": "P < 0.05",
                 "holds_in": "holds in"},
}
LETTERS = {"claim": 56, "paper": 17, "here": 17, "range": 29}  # that fit into a cell
WIDTHS = {"verdict": (0.4, 0.16, 0.14, 0.15, 0.15), "holds_in": (0.38, 0.15, 0.22, 0.17, 0.08)}


def _range(median: float, lowest: float, highest: float) -> str:
    """A median with its range in brackets, where there is one."""
    if pd.isna(median):
        return ""
    whole = f"{median:.2g}" if lowest == highest else f"{median:.2g} ({lowest:.2g} to {highest:.2g})"
    return re.sub(r"(^|[( ])-", r"\1−", whole)


@in_style
def claims_figure(claims: pd.DataFrame, label: str) -> Figure:
    """The claims as a table: printed, here, verdict (in words as well as colour), of one seed or, where
    `holds_in` is among the columns, of several.

    A verdict that another reading of CNR or Q turns (`depends_on`) has an asterisk.
    """
    kind = "holds_in" if "holds_in" in claims else "verdict"
    headings = COLUMNS[kind]
    if kind == "holds_in":
        numbers = claims[["median", "lowest", "highest"]].itertuples(index=False)
        tested = claims["verdict"] != "cannot be tested"
        claims = claims.assign(range=[_range(*row) for row in numbers],
                               holds_in=claims["holds_in"].where(tested, ""))
    figure, axes = new_figure(PAGE_INCHES, 0.19 * len(claims) + 0.6)
    ax = axes[0, 0]
    ax.axis("off")
    shown = claims[list(headings)].fillna("")
    for column in shown.columns.intersection([*LETTERS]):  # all of it is in the CSV
        letters = LETTERS[column]
        shown[column] = [textwrap.shorten(text, letters, placeholder=" …") for text in shown[column]]
    turned = claims["depends_on"] != "nothing"
    shown["verdict"] += turned.map({True: " *", False: ""})
    table = ax.table(shown.to_numpy(), colLabels=list(headings.values()), loc="center", cellLoc="left",
                     colWidths=WIDTHS[kind])
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    for (row, column), cell in table.get_celld().items():
        cell.set_linewidth(0.3)
        cell.PAD = 0.03
        cell.set_edgecolor(LIGHT_GREY)
        if row == 0:
            cell.set_text_props(weight="bold")
        elif (verdict := claims[list(headings)[column]].iloc[row - 1]) in VERDICT_COLOURS:
            cell.set_text_props(color=VERDICT_COLOURS[verdict], weight="bold")
    name_cohort(figure, label, "* another verdict where σ or the Sobel operator is read otherwise: see "
                "depends_on in the CSV" if turned.any() else "")
    return figure
