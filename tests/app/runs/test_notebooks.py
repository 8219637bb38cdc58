"""A notebook that fails is kept and named; one that runs says how far it is."""

import json
import logging

from pgmif.runs.notebooks import cells_not_executed, execute_notebook


def test_a_failing_notebook_is_kept_and_named(in_root, tmp_path, capsys):
    output = tmp_path / "out.ipynb"
    assert execute_notebook("05_cnr_boxplots", output, {"pointz": True}) == 1
    said = capsys.readouterr().err
    for part in ("05_cnr_boxplots failed in cell", "did you mean 'points'", str(output),
                 "papermill notebooks/05_cnr_boxplots.ipynb", "pointz: true"):
        assert part in said
    cells = json.loads(output.read_text())["cells"]
    assert any(o["output_type"] == "error" for c in cells for o in c.get("outputs", []))


def test_a_cell_that_the_kernel_skipped_is_no_success(in_root, tmp_path, capsys, monkeypatch):
    def cell(source, count, kind="code"):
        return {"cell_type": kind, "source": source, "execution_count": count}

    notebook = {"cells": [cell("# text", None, "markdown"), cell("x = 1", 1), cell("", None)]}
    assert cells_not_executed(notebook) == []
    notebook["cells"].append(cell("write()", None))
    assert cells_not_executed(notebook) == [3]
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: notebook)
    assert execute_notebook("05_cnr_boxplots", tmp_path / "out.ipynb", {}) == 1
    assert "found none of [3] executed" in capsys.readouterr().err


def test_a_running_notebook_says_how_far_it_is(in_root, tmp_path, capsys, monkeypatch):
    def talks(*_, **__):
        log = logging.getLogger("papermill")
        for text in ("Executing Cell 3" + "-" * 40, "a table\nof numbers",
                     "  4 of 30 patients (s), 2 s\n", "epoch   2  iteration    40  content -1.2\n"):
            log.info(text)
        return {"cells": []}

    monkeypatch.setattr("papermill.execute_notebook", talks)
    assert execute_notebook("05_cnr_boxplots", tmp_path / "out.ipynb", {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:-1] == ["out: 4 of 30 patients (s), 2 s", "out: epoch 2 iteration 40 content -1.2"]
