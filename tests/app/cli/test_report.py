"""`pgmif report`: what it says and ends with."""

import subprocess
import sys

from helpers.commands import main


def test_the_command(clone):
    def call(*arguments):
        return subprocess.run([sys.executable, "-m", "pgmif", "report", *arguments], cwd=clone,
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
    assert main(["report", "mine"]) == 130
    assert "a former report is as it was" in capsys.readouterr().err
    assert page.read_text() == before
    assert [p.name for p in page.parents[1].iterdir() if p.name.startswith(".")] == []
