"""`pgmif report`: what it says and ends with."""

import subprocess
import sys

from helpers.commands import main


def test_the_command(clone, monkeypatch, capsys):
    good = subprocess.run([sys.executable, "-m", "pgmif", "report", "mine"], cwd=clone,
                          capture_output=True, text=True, check=False)
    assert good.returncode == 0
    assert good.stderr == "", "nothing to worry a reader"
    assert "Report: results/mine/report/index.html" in good.stdout
    monkeypatch.chdir(clone)
    assert main(["report", "yours"]) == 2
    assert capsys.readouterr().err.startswith("pgmif: results/yours")


def test_ctrl_c_leaves_the_former_report(clone, page, monkeypatch, capsys):
    before = page.read_text()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pgmif.report.notebook_page", interrupted)
    monkeypatch.chdir(clone)
    assert main(["report", "mine"]) == 130
    assert "a former report is as it was" in capsys.readouterr().err
    assert page.read_text() == before
    assert [p.name for p in page.parents[1].iterdir() if p.name.startswith(".")] == []
