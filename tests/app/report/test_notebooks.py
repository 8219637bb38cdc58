"""Executed notebooks as pages: without paths, with figures described."""

import html
import re

import nbformat
import pytest

from pgmif.report.notebooks import figure_alt, notebook_page


@pytest.mark.parametrize("name", [
    "data", "text", "cells", "n", "output", "source", "1", "a.b", "image", "x y"])
def test_a_cohort_may_lie_in_a_folder_of_any_name(tmp_path, name):
    """The folder is hidden where it is one, and nothing else of a notebook changes."""
    code = f"manifest = '{name}/m.csv'\ndata = n = 1  # text, cells and output of the source"
    cell = nbformat.v4.new_code_cell(code)
    cell.outputs = [
        nbformat.v4.new_output("stream", text=f"read {name}/p1/t1.nii.gz and {tmp_path}/{name}/m.csv\n"),
        nbformat.v4.new_output("display_data", {"text/html": f"<b>{name}</b>"}),
        nbformat.v4.new_output("display_data", {"image/png": "aGk="}),
    ]
    values = nbformat.v4.new_code_cell(f"folder = '{name}'", metadata={"tags": ["injected-parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[values, cell])
    nbformat.write(notebook, tmp_path / "05_cnr_boxplots.ipynb")
    hidden = sorted([name, f"{tmp_path}/{name}"], key=len, reverse=True)
    text = notebook_page(tmp_path / "05_cnr_boxplots.ipynb", tmp_path / "pages", "x", hidden).read_text()
    words = html.unescape(re.sub("<[^>]*>", "", text))
    assert f"{name}/m.csv" not in words
    assert f"{name}/p1" not in words
    assert "folder = '…'" in words
    assert "data = n = 1  # text, cells and output of the source" in words
    assert f"<b>{name}</b>" in text
    assert "base64,aGk=" in text


def test_lines_that_a_cell_printed_one_by_one_stand_together(page):
    text = (page.parent / "notebooks" / "05_cnr_boxplots.html").read_text()
    assert "1 of 2 patients\n2 of 2 patients" in text


@pytest.mark.parametrize(("source", "stem", "expected"), [
    ('save_figure(figure, run.figures, "figure_4", dpi=1)', "03", "four"),
    ('save_figure(f, run.figures, f"figure_training_{m}", h)', "02_training_gmmci", "of gmmci"),
    ('save_figure(f, run.figures, f"figure_training_{m}", h)', "02_training_other", "figure made"),
    ('save_figure(f, run.figures, f"figure_0_{kind}")', "00_cohort", "phantoms"),
    ("figure", "03", "figure made"),
])
def test_a_notebooks_figure_is_described_by_the_name_it_is_saved_under(source, stem, expected):
    alts = {"figure_4": "four", "figure_41": "another", "figure_0_phantoms": "phantoms",
            "figure_training_pgmif": "of pgmif", "figure_training_gmmci": "of gmmci"}
    assert figure_alt(source, stem, alts).startswith(expected)
