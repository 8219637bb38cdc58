"""Numbers in the tables of pages."""

import re

import pandas as pd

from pgmif.pages import table_html


def cells(table):
    """The texts of a table's body, by column."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", str(table_html(table, "x")).split("<tbody>")[1])
    texts = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    return dict(zip(table, zip(*texts, strict=True), strict=True))


def test_numbers_of_a_column_have_as_many_decimals_and_none_loses_its_digits():
    table = pd.DataFrame({
        "q": [0.5, 0.4621, -1.25], "p": [0.00391, 1.0, 0.05], "cnr": [12.3456, 1.0, 0.0],
        "tiny": [1.743e-06, 2.0, float("nan")], "seed": [20240001, 2, 3], "whole": [3.0, 10.0, -0.0],
        "large": [123456.7, 0.4, 3e9], "flag": [True, False, True], "text": ["a", "", "b"],
    })
    assert cells(table) == {
        "q": ("0.500", "0.462", "-1.250"), "p": ("0.0039", "1.000", "0.050"),
        "cnr": ("12.35", "1.00", "0.00"), "tiny": ("1.7e-06", "2", ""),
        "seed": ("20240001", "2", "3"), "whole": ("3", "10", "0"),
        "large": ("123457", "0.4", "3e+09"), "flag": ("yes", "no", "yes"), "text": ("a", "", "b"),
    }
