"""What is released is what it says: files, checksums, metadata, model card."""

import hashlib
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif.runs.parameters import Parameters
from pgmif.runs.released import ReleaseError, released_file
from pgmif.runs.run import Run
from pgmif.steps.pgmif_plus import fit_run, ideas_rows
from pgmif.steps.training import train_method
from pgmif_core.images.volumes import write_image
from pgmif_core.methods.pgmif_plus import read_settings
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.weights import load_generator

FILES = ("pgmif.safetensors", "gmmci.safetensors", "dlmwl.safetensors", "pgmif_literal.safetensors",
         "pgmif_plus.json")
TABLES = ("history.csv", "validation.csv", "pgmif_plus_ideas.csv")


@pytest.fixture(scope="module")
def released(root):
    listed = json.loads((root / "weights" / "released.json").read_text())["files"]
    return {one["file"]: one for one in listed}


def test_every_file_is_listed_with_its_checksum_and_small(root, released):
    present = {p.name for p in (root / "weights").iterdir()} - {"released.json"}
    assert set(FILES) == set(released)
    sums = json.loads((root / "weights" / "released.json").read_text())["sha256"]
    assert present == set(FILES) | set(TABLES) == set(sums)
    for name, checksum in sums.items():
        data = (root / "weights" / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == checksum
        assert len(data) <= 2_000_000


def test_metadata_say_what_was_trained_on_what(root, released):
    for name in FILES[:4]:
        with safe_open(root / "weights" / name, framework="pt") as file:
            metadata = file.metadata()
        about = json.loads(metadata["release"])
        assert about == {k: v for k, v in released[name].items() if k not in ("file", "bytes")}
        assert about["cohort"] == "synthetic phantom cohort"
        assert len(about["cohort_sha256"]) == 64
        assert not about["commit"].endswith("-dirty")
        assert json.loads(metadata["training"])["method"] == about["method"]
        assert {"median_cnr", "median_q_t1w", "median_q_t2w"} == about["metrics"].keys()


def test_the_model_card_shows_the_released_files(root, released):
    card = (root / "MODEL_CARD.md").read_text()
    for name, one in released.items():
        assert f"| `{name}` | {one['bytes'] / 1e3:.0f} | {one['metrics']['median_cnr']:.2f} |" in card
    for words in ("Not a medical device", "Intended use", "Known limits", "No patient was used"):
        assert words in card


def test_metrics_are_those_of_the_committed_tables(root, released):
    import pandas as pd

    table = pd.read_csv(root / "figures" / "phantom" / "table_cnr.csv").set_index("method")["median"]
    for one in released.values():
        assert one["metrics"]["median_cnr"] == pytest.approx(table[one["method"]], rel=0.02)


def test_released_weights_fuse(root):
    sources = torch.rand(1, 2, 48, 40)
    for name in FILES[:4]:
        generator = load_generator(root / "weights" / name)
        assert generator.sequences == ("T1w", "T2w")
        assert METHODS[generator.method](sources, generator).shape == (1, 1, 48, 40)
    assert read_settings(root / "weights" / "pgmif_plus.json")


def test_pgmif_fuse_needs_no_weights_of_ones_own(tmp_path, phantom):
    for name in ("T1w", "T2w"):
        write_image(getattr(phantom, name), tmp_path / f"{name}.nii.gz")
    answer = CliRunner().invoke(app, [
        "fuse", "--t1w", str(tmp_path / "T1w.nii.gz"), "--t2w", str(tmp_path / "T2w.nii.gz"),
        "-o", str(tmp_path / "fused.nii.gz")], env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    assert "made from synthetic phantoms" in answer.output
    assert (tmp_path / "fused.nii.gz").exists()


def test_a_run_that_is_not_there_is_not_released(root):
    done = subprocess.run([sys.executable, "scripts/release_weights.py", "--run", "nowhere"], cwd=root,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a finished run, found none" in done.stderr


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
    for method in ("pgmif", "pgmif_literal"):
        history, validation = train_method(run, method)
        assert history["iteration"].iloc[-1] == parameters.iterations
        assert validation["kept"].sum() == 1
        released = clone / "weights" / f"{method}.safetensors"
        assert run.weights(method).read_bytes() == released.read_bytes()
    settings = fit_run(run, ideas_rows(run))
    assert settings == read_settings(clone / "weights" / "pgmif_plus.json")
    for step in (lambda r: train_method(r, "pgmif"), ideas_rows):
        with pytest.raises(ReleaseError, match="expected a phantom cohort"):
            step(Run(clone, "hospital", parameters, "cohort hospital"))


@pytest.mark.slow
def test_all_figures_come_from_the_release_without_training(root):
    name = "released-test"
    command = [sys.executable, "-m", "pgmif.cli.reproduce", "reproduce", "--profile", "smoke", "--set",
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
