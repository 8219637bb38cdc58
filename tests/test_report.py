"""The report of a run: what it says, carries and refuses, and what a browser makes of it."""

import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from browsers import broken_images, opened_page, violations
from reports import finished_run

from pgmif.pages import table_html
from pgmif.report import FOLDER, ReportError, complete_runs, described_figures, write_report
from pgmif.report.__main__ import main
from pgmif.report.notebooks import figure_alt, notebook_page
from pgmif.report.summary import busy_seconds
from pgmif.report.tables import TESTS, heading, readable

LABEL = "synthetic phantom cohort"


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "pgmif"
    finished_run(root, folder, "mine", LABEL)
    return folder


@pytest.fixture(scope="module")
def page(clone):
    return write_report(clone, "mine")


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.images = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a":
            self.found.append(attrs["href"])
        if tag == "img":
            self.images.append(attrs)


def test_everything_that_it_links_to_is_there(page):
    links = Links(page.read_text())
    ids = set(re.findall(r'id="([^"]+)"', page.read_text()))
    assert len(links.found) > 60
    for address in links.found:
        if address.startswith("#"):
            assert address[1:] in ids
        else:
            assert (page.parent / address).is_file(), address
    assert all(image["src"].startswith("data:image/png;base64,") for image in links.images)
    assert len(links.images) == len(list((page.parents[3] / "figures" / "mine").glob("*.png")))


def test_nothing_is_fetched_from_anywhere(page):
    for path in page.parent.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r'(src|href)="https?:', text), path
        assert "<link rel=\"stylesheet\"" not in text
        assert "@import" not in text


def test_it_says_what_the_tables_say(page, clone):
    text = page.read_text()
    claims = pd.read_csv(clone / "figures" / "mine" / "table_claims.csv")
    verdicts = claims["verdict"].value_counts()
    assert f"{verdicts['holds']} of {len(claims)}" in text
    cnr = pd.read_csv(clone / "figures" / "mine" / "table_cnr.csv").set_index("method")["median"]
    assert f"{cnr['pgmif']:.2f} <small>T2w untouched {cnr['t2w']:.2f}" in text
    assert "neither confirms nor refutes" in text, "phantoms are named as such"
    assert re.search(r"epsilon</td><td class=\"\">0.05</td><td class=\"\">0.03</td>", text)
    assert re.search(r"seed</td><td class=\"\">0</td><td class=\"\"></td>", text)


def test_paths_of_patients_stay_out_and_names_are_escaped(page):
    text = page.read_text()
    assert "secret/" not in text
    assert "sub-&lt;11&gt;" in text
    assert "sub-<11>" not in text


def test_a_cohort_that_is_no_phantom_is_not_called_one(root, tmp_path):
    finished_run(root, tmp_path / "c", "north", "cohort north")
    base = tmp_path / "c" / "results" / "north"
    shutil.copy(base / "notebooks" / "05_cnr_boxplots.ipynb", base / "notebooks" / "00_cohort.ipynb")
    values = {"manifest": "../secret/m.csv", "outside_methods": {"mine": "secret/theirs"}}
    (base / "parameters.yaml").write_text(json.dumps(values))
    executed = nbformat.read(base / "notebooks" / "05_cnr_boxplots.ipynb", 4)
    told = f'{tmp_path / "secret" / "t1.nii.gz"} and "secret/theirs/x.nii"'
    executed.cells[-1].source = f"manifest = \"../secret/m.csv\"  # {told}"
    executed.cells[-1].outputs.append(nbformat.v4.new_output("stream", text=told))
    nbformat.write(executed, base / "notebooks" / "05_cnr_boxplots.ipynb")
    notes = json.loads((base / "provenance.json").read_text())
    notes["00_cohort"] = notes["10_claims"] | {"inputs": {"secret/t1.nii.gz": "1" * 64}}
    (base / "provenance.json").write_text(json.dumps(notes))
    page = write_report(tmp_path / "c")
    text = page.read_text()
    for written in page.parent.rglob("*.html"):
        assert "secret" not in re.sub("<[^>]*>", "", written.read_text()), written
    assert not (page.parent / "notebooks" / "00_cohort.html").exists()
    assert "a.csv" in text
    assert "These patients are <strong>phantoms" not in text
    assert "Cohort north" in text
    assert "…/m.csv" in text
    assert "…/m.csv" in (page.parent / "notebooks" / "05_cnr_boxplots.html").read_text()


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


def test_what_has_changed_since_is_said(root, tmp_path, monkeypatch):
    base = finished_run(root, tmp_path / "c", "mine", LABEL)
    assert "Out of date" not in write_report(tmp_path / "c").read_text()  # a run without records
    (base / "made").mkdir()
    record = {"step": "10_claims", "key": "k", "products": {"figures/mine/table_claims.csv": "0" * 64},
              "outputs": ["results/mine/10_claims/claims.csv"]}
    (base / "made" / "10_claims.json").write_text(json.dumps(record))
    monkeypatch.setattr("pgmif.report.step_keys", lambda *_: {"10_claims": "k"})
    text = write_report(tmp_path / "c").read_text()
    assert "Out of date." in text
    assert "claims.csv: table_claims.csv is absent or changed" in text


def test_pauses_between_parts_of_a_run_do_not_count():
    assert busy_seconds([0, 5, 100], [10, 10, 1]) == 16
    assert busy_seconds([], []) == 0


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


def test_tables_are_in_words(root, page):
    for name in TESTS:
        for folder in ("phantom", "real_mri"):
            path = root / "figures" / folder / f"{name}.csv"
            table = readable(pd.read_csv(path))
            assert not [c for c in table if "_" in c], path
            for column in {"method", "measure", "against"} & set(table):
                assert not table[column].astype(str).str.contains("_").any(), path
    assert [heading(c) for c in ("rigid_mm", "gtv_ml", "registration_seconds", "side", "mm")] == [
        "rigid, mm", "gtv, ml", "registration, s", "side", "mm"]
    text = page.read_text()
    assert "P, Wilcoxon" in text
    assert "<td class=\"\">T2w blurred</td>" in text


def test_a_run_that_is_not_there_is_refused_with_those_that_are(clone, tmp_path):
    assert complete_runs(clone) == ["mine"]
    with pytest.raises(ReportError, match=r"results/yours: expected a run .* one of: mine"):
        write_report(clone, "yours")
    with pytest.raises(ReportError, match="make reproduce"):
        write_report(tmp_path)


def test_a_report_that_fails_leaves_the_former_one(root, tmp_path):
    base = finished_run(root, tmp_path / "c", "mine", "synthetic phantom cohort")
    page = write_report(tmp_path / "c")
    before = page.read_text()
    (tmp_path / "c" / "figures" / "mine" / "table_cnr.csv").unlink()
    with pytest.raises(ReportError, match=r"table_cnr.csv: expected a table of the run, found none"):
        write_report(tmp_path / "c")
    assert page.read_text() == before
    assert [p.name for p in base.iterdir() if p.name.startswith(".")] == []


def test_a_run_without_the_later_tables_has_a_report(root, tmp_path):
    finished_run(root, tmp_path / "c", "mine", "synthetic phantom cohort")
    for name in ("table_frontier", "table_plus_aims"):
        (tmp_path / "c" / "figures" / "mine" / f"{name}.csv").unlink()
    text = write_report(tmp_path / "c").read_text()
    assert "Above everything" not in text
    assert "<h2 id=\"claims\">" in text


def test_the_command(clone):
    def call(*arguments):
        return subprocess.run([sys.executable, "-m", "pgmif.report", *arguments], cwd=clone,
                              capture_output=True, text=True, check=False)

    good, bad = call("mine"), call("yours")
    assert good.returncode == 0
    assert good.stderr == "", "nothing to worry a reader"
    assert "Report: results/mine/report/index.html" in good.stdout
    assert bad.returncode == 2
    assert bad.stderr.startswith("pgmif: results/yours")


def test_ctrl_c_leaves_the_former_report(clone, page, monkeypatch, capsys):
    before = page.read_text()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pgmif.report.notebook_page", interrupted)
    monkeypatch.chdir(clone)
    assert main(["mine"]) == 130
    assert "a former report is as it was" in capsys.readouterr().err
    assert page.read_text() == before
    assert [p.name for p in page.parents[1].iterdir() if p.name.startswith(".")] == []


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


def test_every_figure_of_the_repository_is_described(root):
    for folder in ("phantom", "real_mri", "phantom-released"):
        for figure in described_figures(root / "figures" / folder):
            assert figure["notebook"], figure["stem"]
            assert len(figure["alt"]) > 30
    table = pd.read_csv(FOLDER / "figures.csv")
    assert table["stem"].is_unique
    assert not table["alt"].duplicated().any()


@pytest.fixture(scope="module")
def screenshots(root):
    folder = root / "results" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_is_accessible_and_loads_every_image(page, screenshots, scheme):
    with opened_page(color_scheme=scheme) as browser:
        browser.goto(page.as_uri())
        assert broken_images(browser) == []
        assert browser.evaluate("document.images.length") > 20
        assert violations(browser) == []
        browser.screenshot(path=screenshots / f"report_{scheme}.png")
        assert browser.errors == []


@pytest.mark.browser
def test_its_tables_sort_numbers_as_numbers_both_ways(page):
    with opened_page() as browser:
        browser.goto(page.as_uri())
        table = browser.get_by_role("region", name="Registration")

        def column(k):
            return table.locator(f"tbody tr td:nth-child({k})").all_inner_texts()

        table.get_by_role("button", name="rigid, mm").click()
        assert column(3) == ["0.50", "9.50", "12.25"]
        assert table.locator("th[aria-sort=ascending]").inner_text() == "rigid, mm"
        table.get_by_role("button", name="rigid, mm").click()
        assert column(3) == ["12.25", "9.50", "0.50"]
        table.get_by_role("button", name="subject").click()
        assert column(1) == ["sub-<11>", "sub-9", "sub-10"]
        table.get_by_role("button", name="flags").click()
        assert column(4)[0] == "T1w far (12.2 mm)", "empty cells come last"
        assert browser.errors == []


@pytest.mark.browser
def test_it_fits_a_phone_and_prints(page, screenshots):
    with opened_page(390, 844) as browser:
        browser.goto(page.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        browser.screenshot(path=screenshots / "report_phone.png")
        printed = screenshots / "report_printed.pdf"
        browser.pdf(path=printed, format="A4")
        assert printed.stat().st_size > 100_000


@pytest.mark.browser
def test_notebook_pages_open(page):
    with opened_page() as browser:
        browser.goto(page.as_uri())
        browser.get_by_role("link", name="05_cnr_boxplots", exact=True).click()
        assert browser.get_by_role("heading", name="04 Boxplots").is_visible()
        assert browser.locator("img").get_attribute("alt").startswith("Boxplots of the tumour's")
        browser.get_by_role("link", name=f"Report: {LABEL}").click()
        assert Path(browser.url.removeprefix("file://")) == page
        assert browser.errors == []
