"""Killed, cut off, damaged, out of disk: a training goes on and ends as if nothing had happened."""

import os
import random
import resource
import shutil
import signal
import time

import pytest
import torch
from helpers.processes import FRESH
from helpers.trainings import small_training
from safetensors.torch import load_file

from pgmif_core.files import DiskFullError, FolderTaken, taken
from pgmif_core.training.checkpoints import checkpoints


def same_ending(first, second):
    a, b = (load_file(f / "weights.safetensors") for f in (first, second))
    histories = [(f / "history.csv").read_text() for f in (first, second)]
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) and (
        histories[0] == histories[1])


def start(store, folder, limit=None, iterations=40):
    process = FRESH.Process(target=_in_process, args=(store, folder, limit, iterations))
    process.start()
    return process


def _in_process(store, folder, limit, iterations):
    torch.set_num_threads(1)
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        small_training(store, folder, iterations=iterations)
    except DiskFullError as error:
        (folder / "said.txt").write_text(str(error)[: limit // 2])
        os._exit(28)


def kill_at_random(store, whole, folder, kills, iterations):
    """Kill a training `kills` times, half of the times while a checkpoint is being written."""
    moments, killed = random.Random(kills), 0
    while killed < kills:
        process = start(store, folder, iterations=iterations)
        known = set(checkpoints(folder))
        while set(checkpoints(folder)) <= known and process.is_alive():
            time.sleep(0.002)  # let every attempt get somewhere
        if killed % 2:
            until = time.monotonic() + 5
            while not list(folder.glob(f".{process.pid}-checkpoint*")) and time.monotonic() < until:
                pass
        else:
            time.sleep(moments.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode == 0:  # faster than this test, on a busy machine: checked, and begun anew
            assert same_ending(whole, folder)
            shutil.rmtree(folder)
        else:
            assert process.exitcode == -signal.SIGKILL
            killed += 1
    process = start(store, folder, iterations=iterations)
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_training_killed_at_random_moments_ends_as_if_it_never_had_been(store, tmp_path, kills):
    iterations = 16 * kills  # a start gets some five further before it is killed
    small_training(store, tmp_path / "whole", iterations=iterations)
    kill_at_random(store, tmp_path / "whole", tmp_path / "killed", kills, iterations)
    assert same_ending(tmp_path / "whole", tmp_path / "killed")
    assert len(checkpoints(tmp_path / "killed")) == 2
    left = [p.name for p in (tmp_path / "killed").iterdir() if p.name.startswith(".")]
    assert left == [".lock"]  # what a killed process was just writing is gone


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda data: b""])
def test_a_damaged_checkpoint_is_passed_over_with_a_message(store, tmp_path, capsys, damage):
    small_training(store, tmp_path / "whole", iterations=8)
    for name in ("one", "both"):
        small_training(store, tmp_path / name, iterations=8)
        (tmp_path / name / "weights.safetensors").unlink()
        found = checkpoints(tmp_path / name)
        for path in found[: {"one": 1, "both": 2}[name]]:
            path.write_bytes(damage(path.read_bytes()))
        capsys.readouterr()
        small_training(store, tmp_path / name, iterations=8)
        said = capsys.readouterr().out
        assert f"{found[0].name} is damaged" in said
        assert ("resuming at iteration 6 of 8" in said) is (name == "one")
        assert same_ending(tmp_path / "whole", tmp_path / name)


def test_a_full_disk_loses_nothing(store, tmp_path):
    """A limit on file size stands for the full disk: writing past it fails in the same way."""
    small_training(store, tmp_path / "whole")
    folder = tmp_path / "full"
    process = start(store, folder)
    while not checkpoints(folder):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    before = {p: p.read_bytes() for p in checkpoints(folder)}
    process = start(store, folder, limit=min(map(len, before.values())) // 2)
    process.join()
    assert process.exitcode == 28
    said = (folder / "said.txt").read_text()
    assert "expected room on the disk" in said
    assert {p: p.read_bytes() for p in checkpoints(folder)} == before
    process = start(store, folder)
    process.join()
    assert same_ending(tmp_path / "whole", folder)


def test_two_processes_never_train_in_one_folder(store, tmp_path):
    folder = tmp_path / "x"
    with taken(folder), pytest.raises(FolderTaken, match=f"process {os.getpid()}"):
        small_training(store, folder)
    small_training(store, folder, iterations=2)


def test_a_row_of_history_that_was_cut_off_is_dropped(store, tmp_path):
    folder, whole = tmp_path / "x", tmp_path / "whole"
    small_training(store, whole, iterations=8)
    with pytest.raises(KeyboardInterrupt):
        small_training(store, folder, iterations=8, stop_at=4)
    with (folder / "history.csv").open("a") as file:
        file.write("3")
    small_training(store, folder, iterations=8)
    assert same_ending(whole, folder)
