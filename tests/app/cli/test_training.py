"""`pgmif train`: what it refuses, and that the pipeline takes its weights for its own."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif_core.methods.names import LEARNED

RUN = ["--profile", "smoke", "--set", "run=train-test", "--set", "phantom_train=1",
       "--set", "phantom_test=1"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["nothing"], f"expected one of {', '.join(LEARNED)}, found 'nothing'"),
    (["pgmif_plus"], "expected one of pgmif, gmmci"),
    (["pgmif", *RUN], "make reproduce PROFILE=smoke"),
    (["pgmif", "--set", "iterationz=3"], "did you mean 'iterations'"),
    (["pgmif", "--profile", "slow"], "known profiles"),
    (["pgmif", "--manifest", "nowhere.csv"], "found none"),
])
def test_what_cannot_be_trained_is_refused(root, monkeypatch, arguments, message):
    monkeypatch.chdir(root)
    result = CliRunner().invoke(app, ["train", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.output
    assert not (root / "results" / "train-test").exists()


@pytest.mark.slow
def test_the_pipeline_takes_weights_that_two_processes_trained(root):
    def call(*command):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    places = [root / kind / "train-test" for kind in ("results", "figures")]
    weights = places[0] / "02_training" / "pgmif" / "weights.safetensors"
    pipeline = ["pgmif", "reproduce", *RUN, "--"]
    try:
        call(*pipeline, "--until", "preprocessing")
        said = call("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
                    "pgmif", "train", "pgmif", *RUN)
        assert said.count("trained on") == 1
        made = load_file(weights)
        call(*pipeline, "figures/train-test/figure_training_pgmif.png")
        again = load_file(weights)
        assert all(torch.equal(made[name], again[name]) for name in made)
        executed = places[0] / "notebooks" / "02_training_pgmif.ipynb"
        assert "resuming at iteration" in executed.read_text()
    finally:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
