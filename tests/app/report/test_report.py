"""The report of a run: what it says, carries and refuses."""

import json
import re
import shutil
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from helpers.reports import LABEL, finished_run

from pgmif.report import FOLDER, ReportError, complete_runs, described_figures, write_report


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
    claims = pd.read_csv(clone / "figures" / "mine" / "table_claims.csv").query("counts == 'yes'")
    verdicts = claims["verdict"].value_counts()
    assert f"{verdicts['holds']} of {len(claims)}" in text
    cnr = pd.read_csv(clone / "figures" / "mine" / "table_cnr.csv").set_index("method")["median"]
    assert f"{cnr['pgmif']:.2f} <small>T2w untouched {cnr['t2w']:.2f}" in text
    assert "neither confirms nor refutes" in text, "phantoms are named as such"
    assert re.search(r"epsilon</td><td class=\"\">0.05</td><td class=\"\">0.1</td>", text)
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


def test_every_figure_of_the_repository_is_described(root):
    for folder in ("phantom", "phantom-paper", "real_heads", "phantom-released"):
        for figure in described_figures(root / "figures" / folder):
            assert figure["notebook"], figure["stem"]
            assert len(figure["alt"]) > 30
    table = pd.read_csv(FOLDER / "figures.csv")
    assert table["stem"].is_unique
    assert not table["alt"].duplicated().any()
