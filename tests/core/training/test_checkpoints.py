"""Checkpoints: the last two, named after their bytes."""

import hashlib

import numpy as np
import torch

from pgmif_core.training.checkpoints import checkpoints, load_checkpoint, save_checkpoint


def state(iteration, value=0.0):
    return {"iteration": iteration, "value": torch.full((3,), value)}


def test_the_last_two_are_kept_each_named_after_its_bytes(tmp_path):
    for iteration in (10, 20, 30):
        path = save_checkpoint(state(iteration), tmp_path)
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] in path.name
    assert [p.name[:18] for p in checkpoints(tmp_path)] == ["checkpoint-0000030", "checkpoint-0000020"]
    found = load_checkpoint(tmp_path, lambda _: "", print)
    assert found["iteration"] == 30
    np.testing.assert_array_equal(found["value"], 0)


def test_a_training_started_over_leaves_no_checkpoint_of_the_older_one(tmp_path):
    for iteration in (10, 20):
        save_checkpoint(state(iteration), tmp_path)
    save_checkpoint(state(10, 1.0), tmp_path)
    save_checkpoint(state(20, 1.0), tmp_path)
    assert [load_checkpoint(tmp_path, lambda _: "", print)["value"][0]] == [1]
    assert len(checkpoints(tmp_path)) == 2


def test_a_state_that_does_not_fit_is_named(tmp_path):
    save_checkpoint(state(10), tmp_path)
    said = []
    assert load_checkpoint(tmp_path, lambda _: "is of other data", said.append) is None
    assert "checkpoint-0000010" in said[0]
    assert said[0].endswith("is of other data")
    assert said[1] == "starting over"
    assert load_checkpoint(tmp_path / "nowhere", lambda _: "", said.append) is None
