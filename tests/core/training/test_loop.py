"""The training loop: repeatable, resumed, started over where something else is trained."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.trainings import SETTINGS, make_store
from safetensors.torch import load_file

from pgmif_core.images.store import TrainingSlices, read_patient, write_patient
from pgmif_core.networks.weights import load_generator
from pgmif_core.training.loop import train
from pgmif_core.training.settings import TrainingSettings


def run(wide_store, folder, settings=SETTINGS, **kwargs):
    name = "three" if settings.modalities == 3 else "two"
    slices = TrainingSlices(wide_store, [name], settings.crop, settings.seed)
    return train(settings, slices, folder, say=lambda _: None, **kwargs)


def same_weights(first, second):
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("method", ["pgmif", "gmmci", "dlmwl"])
@pytest.mark.parametrize("modalities", [2, 3])
def test_every_method_trains_on_two_and_three_modalities(wide_store, tmp_path, method, modalities):
    weights = (1.0, 8.0, 1.0)[:modalities]
    settings = TrainingSettings(method, modalities, channels=4, gradient_weights=weights, iterations=2,
                                batch_size=2, crop=32)
    path = run(wide_store, tmp_path / "out", settings)
    rows = (tmp_path / "out" / "history.csv").read_text().splitlines()
    assert len(rows) == 3
    assert path.exists()


def test_the_content_term_falls(wide_store, tmp_path):
    settings = TrainingSettings(channels=4, iterations=60, batch_size=4, crop=32, adversarial=False,
                                learning_rate=2e-3)
    run(wide_store, tmp_path / "out", settings)
    history = np.genfromtxt(tmp_path / "out" / "history.csv", delimiter=",", names=True)
    assert history["content"][-10:].mean() < history["content"][:10].mean() - 0.05
    assert (history["adversarial"] == 0).all()


def test_the_same_seed_gives_the_same_weights_and_another_does_not(wide_store, tmp_path):
    a, b = run(wide_store, tmp_path / "a"), run(wide_store, tmp_path / "b")
    assert same_weights(a, b)
    assert not same_weights(a, run(wide_store, tmp_path / "c", replace(SETTINGS, seed=1)))


class Killed(BaseException):
    pass


def test_an_interrupted_run_ends_with_the_same_weights(wide_store, tmp_path):
    whole = run(wide_store, tmp_path / "whole")

    def stop(iteration, generator):
        if iteration == 4:
            raise Killed  # after the checkpoint of iteration 2, before that of 4

    with pytest.raises(Killed):
        run(wide_store, tmp_path / "cut", watch=stop)
    said = []
    slices = TrainingSlices(wide_store, ["two"], 32, 0)
    resumed = train(SETTINGS, slices, tmp_path / "cut", say=said.append)
    assert "resuming at iteration 2 of 6" in said
    assert same_weights(whole, resumed)
    histories = [(tmp_path / n / "history.csv").read_text() for n in ("whole", "cut")]
    assert histories[0] == histories[1]


def test_other_data_start_over(wide_store, tmp_path):
    """A patient moved to the test split must not live on in the weights of an old checkpoint."""
    run(wide_store, tmp_path / "x")
    patient = read_patient(wide_store, "two")
    changed = patient._replace(sources=1 - np.array(patient.sources))
    write_patient(wide_store, changed, {"settings": "other"})
    said = []
    train(SETTINGS, TrainingSlices(wide_store, ["two"], 32, 0), tmp_path / "x", say=said.append)
    assert any("starting over" in line for line in said)
    assert same_weights(tmp_path / "x" / "weights.safetensors", run(wide_store, tmp_path / "y"))


def test_other_settings_start_over(wide_store, tmp_path):
    run(wide_store, tmp_path / "x")
    said = []
    changed = replace(SETTINGS, epsilon=0.5)
    train(changed, TrainingSlices(wide_store, ["two"], 32, 0), tmp_path / "x", say=said.append)
    assert any("starting over" in line for line in said)
    assert same_weights(tmp_path / "x" / "weights.safetensors", run(wide_store, tmp_path / "y", changed))


def test_weights_describe_themselves(wide_store, tmp_path):
    from safetensors import safe_open

    with safe_open(run(wide_store, tmp_path / "x"), framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["generator"]) == {"modalities": 2, "channels": 4, "start": "mean"}
    assert json.loads(metadata["training"])["epsilon"] == 0.03


def test_a_checkpoint_is_never_unpickled(wide_store, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    folder = tmp_path / "x"
    folder.mkdir()
    data = pickle.dumps(Evil())
    checksum = hashlib.sha256(data).hexdigest()[:16]
    (folder / f"checkpoint-0000002-{checksum}.pt").write_bytes(data)
    with pytest.raises(Exception, match=r"weights_only|Weights only|Unsupported|magic"):
        run(wide_store, folder)
    assert not (tmp_path / "owned").exists()


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="needs a C++ compiler")
def test_a_compiled_training_has_the_losses_of_a_plain_one(tmp_path, root):
    store = make_store(tmp_path / "store")
    for name in ("plain", "compiled"):  # in processes of their own: tests check every tensor's shape
        values = [f"compiled={name == 'compiled'}", "iterations=6", "anneal=false"]
        script = root / "tests" / "helpers" / "trainings.py"
        subprocess.run([sys.executable, script, store, tmp_path / name, *values],
                       check=True)
    plain, compiled = (np.loadtxt(tmp_path / name / "history.csv", delimiter=",", skiprows=1)
                       for name in ("plain", "compiled"))
    np.testing.assert_allclose(compiled, plain, rtol=2e-4, atol=2e-5)
    assert load_generator(tmp_path / "compiled" / "weights.safetensors").method == "pgmif"
