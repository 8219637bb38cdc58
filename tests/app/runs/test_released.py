"""Released weights are taken where they are whole, for phantoms alone."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from pgmif.runs.parameters import Parameters
from pgmif.runs.released import ReleaseError, released_file
from pgmif.runs.run import Run
from pgmif.steps.pgmif_plus import fit_run, ideas_rows
from pgmif.steps.training import train_method
from pgmif_core.methods.names import NAMES, MethodName
from pgmif_core.methods.pgmif_plus import read_settings


@pytest.fixture
def clone(tmp_path, root):
    (tmp_path / "weights").mkdir()
    for path in (root / "weights").iterdir():
        (tmp_path / "weights" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_changed_or_absent_file_is_refused(clone):
    assert released_file("pgmif.safetensors", clone).is_file()
    with pytest.raises(ReleaseError, match="expected a file released with this version, found none"):
        released_file("swinfusion.safetensors", clone)
    with (clone / "weights" / "pgmif.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ReleaseError, match="found another; restore it"):
        released_file("pgmif.safetensors", clone)
    (clone / "weights" / "released.json").unlink()
    with pytest.raises(ReleaseError, match="make reproduce"):
        released_file("gmmci.safetensors", clone)


def test_a_phantom_run_takes_the_release_and_real_patients_are_refused(clone, monkeypatch):
    monkeypatch.setattr(Run, "cohort", SimpleNamespace(modalities=("T1w", "T2w")))
    parameters = Parameters(released=True)
    run = Run(clone, "phantom-released", parameters, "synthetic phantom cohort")
    listed = json.loads((clone / "weights" / "released.json").read_text())["files"]
    trained = {one["method"]: one["parameters"] for one in listed}
    for method in ("pgmif", "pgmif_literal"):
        history, validation = train_method(run, method)
        assert history["iteration"].iloc[-1] == trained[method]["iterations"]
        for part, taken in (("history", history), ("validation", validation)):
            table = pd.read_csv(clone / "weights" / f"{part}.csv").query("method == @method")
            table = table.drop(columns="method").reset_index(drop=True)
            pd.testing.assert_frame_equal(taken, table)
        released = clone / "weights" / f"{method}.safetensors"
        assert run.weights(method).read_bytes() == released.read_bytes()
    settings = fit_run(run, ideas_rows(run))
    assert settings == read_settings(clone / "weights" / "pgmif_plus.json")
    for step in (lambda r: train_method(r, "pgmif"), ideas_rows):
        with pytest.raises(ReleaseError, match="expected a phantom cohort"):
            step(Run(clone, "hospital", parameters, "cohort hospital"))


def test_a_method_without_released_weights_is_trained(clone, monkeypatch, capsys):
    monkeypatch.setattr(Run, "cohort", SimpleNamespace(subjects=lambda split: []))
    monkeypatch.setitem(NAMES, "new", MethodName("new", "New", "learned", loss="maximum_gradient_loss"))
    run = Run(clone, "phantom-released", Parameters(released=True), "synthetic phantom cohort")
    with pytest.raises(ValueError):  # no patient to train on: it went as far as training
        train_method(run, "new")
    assert "new: no weights of it are released with this version" in capsys.readouterr().out


@pytest.mark.slow
def test_all_figures_come_from_the_release_without_training(root):
    name = "released-test"
    command = [sys.executable, "-m", "pgmif", "reproduce", "--profile", "smoke", "--set",
               "released=true", "--set", f"run={name}", "--set", "phantom_train=1"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        made = {p.stem for p in (root / "figures" / name).glob("*.png")}
        assert {"figure_1_pgmif_architecture", "figure_3_baselines", "figure_5a_cnr", "table_claims",
                "figure_7_frontier", "figure_10_ideas", "figure_training_dlmwl"} <= made
        assert not list((root / "results" / name / "02_training").rglob("checkpoint*"))
    finally:
        for folder in ("results", "figures"):
            shutil.rmtree(root / folder / name, ignore_errors=True)
