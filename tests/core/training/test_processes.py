"""Several processes, one training: the losses, weights and checkpoints of a single process."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.processes import FRESH, free_port
from helpers.trainings import small_training
from safetensors.torch import load_file

from pgmif_core.networks.generator import Generator
from pgmif_core.training.processes import SharedBatchNorm, share_statistics

TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}  # of losses: float32 sums in another order, 20 iterations on
VALUES = {"iterations": 20, "anneal": False, "checkpoint_every": 10, "gradient_penalty": 0.3,
          "warm_up": 4}


def environment(rank, world, port):
    """What torchrun tells a process that it starts."""
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }


def _as_one_of(rank, world, port, function, arguments):
    os.environ.update(environment(rank, world, port))
    torch.set_num_threads(1)
    function(*arguments)


def together(world, function, *arguments):
    """Run a function in `world` processes as torchrun would; their exit codes."""
    port = free_port()
    processes = [FRESH.Process(target=_as_one_of, args=(r, world, port, function, arguments))
                 for r in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def train_in_a_process(store, folder, values):
    small_training(store, folder, **values)


def history(folder):
    table = np.loadtxt(folder / "history.csv", delimiter=",", skiprows=1)
    return torch.from_numpy(table)


def assert_same_training(first, second):
    torch.testing.assert_close(history(first), history(second), **TOLERANCE)
    a, b = (load_file(f / "weights.safetensors") for f in (first, second))
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, rtol=1e-2, atol=1e-3, msg=name)


def test_two_processes_take_the_steps_of_one_and_one_goes_on_from_their_checkpoint(store, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    small_training(store, one, **VALUES)
    assert together(2, train_in_a_process, store, two, VALUES) == [0, 0]
    assert_same_training(one, two)

    longer = {**VALUES, "iterations": 30}
    small_training(store, one, **longer)
    small_training(store, two, **longer)
    assert len(history(two)) == 30
    assert_same_training(one, two)


def test_one_process_and_unshared_statistics_differ(store, tmp_path):
    """The tolerance can tell: with statistics of each process's own part the losses are others."""
    one, two = tmp_path / "one", tmp_path / "two"
    small_training(store, one, **VALUES)
    assert together(2, _train_unshared, store, two, VALUES) == [0, 0]
    with pytest.raises(AssertionError):
        torch.testing.assert_close(history(one), history(two), **TOLERANCE)


def _train_unshared(store, folder, values):
    import pgmif_core.training.step

    pgmif_core.training.step.share_statistics = lambda network: None
    small_training(store, folder, **values)


def test_two_processes_train_in_bf16_and_near_float32(store, tmp_path):
    exact, half = tmp_path / "exact", tmp_path / "half"
    small_training(store, exact, **VALUES)
    values = {**VALUES, "precision": "bf16-mixed"}
    assert together(2, train_in_a_process, store, half, values) == [0, 0]
    torch.testing.assert_close(history(half), history(exact), rtol=0.1, atol=0.05)
    weights = load_file(half / "weights.safetensors")
    assert {t.dtype for t in weights.values()} == {torch.float32, torch.int64}


def _refused(store, folder):
    with pytest.raises(ValueError, match="that 2 processes share evenly, found 3"):
        small_training(store, folder, batch_size=3)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(store, tmp_path):
    assert together(2, _refused, store, tmp_path / "x") == [0, 0]


def _check_batch_norm(folder):
    torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    whole = (3 + torch.randn(6, 5, 7, 4)).requires_grad_()
    weights = torch.randn(6, 5, 7, 4)
    plain, shared = torch.nn.BatchNorm2d(5), torch.nn.Sequential(torch.nn.BatchNorm2d(5))
    torch.nn.init.uniform_(plain.weight)
    shared[0].load_state_dict(plain.state_dict())
    share_statistics(shared)
    assert isinstance(shared[0], SharedBatchNorm)
    rank, own = torch.distributed.get_rank(), slice(torch.distributed.get_rank(), None, 2)
    part = whole.detach()[own].clone().requires_grad_()
    expected, found = plain(whole), shared(part)
    torch.testing.assert_close(found, expected[own])
    (expected * weights).sum().backward()
    (found * weights[own]).sum().backward()
    torch.testing.assert_close(part.grad, whole.grad[own])
    total = shared[0].weight.grad.clone()
    torch.distributed.all_reduce(total)
    torch.testing.assert_close(total, plain.weight.grad)
    torch.testing.assert_close(shared[0].state_dict(), plain.state_dict())
    shared.eval(), plain.eval()
    torch.testing.assert_close(shared(part), plain(part))
    torch.distributed.destroy_process_group()
    (folder / f"checked-{rank}").touch()


def test_shared_batch_normalisation_is_that_of_the_whole_batch(tmp_path):
    assert together(2, _check_batch_norm, tmp_path) == [0, 0]
    assert len(list(tmp_path.glob("checked-*"))) == 2


def test_shared_statistics_leave_names_and_weights_alone():
    generator = Generator(channels=4)
    names = list(generator.state_dict())
    share_statistics(generator)
    assert list(generator.state_dict()) == names
    kinds = {type(m) for m in generator.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert kinds == {SharedBatchNorm}


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    "fabric run": ["lightning_fabric.cli", "--accelerator", "cpu", "--devices", "2",
                   "--strategy", "ddp"],
}


def launch(command, root, store, folder, **changes):
    values = [f"{k}={str(v).lower()}" for k, v in VALUES.items()]
    return subprocess.Popen(
        [sys.executable, "-m", *command, str(root / "tests" / "helpers" / "trainings.py"), str(store),
         str(folder), *values],
        env={**os.environ, "OMP_NUM_THREADS": "1", **changes},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def said(process):
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0, text[-3000:]
    return text


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_launchers_give_the_training_of_one_process(root, store, tmp_path, launcher):
    small_training(store, tmp_path / "one", **VALUES)
    text = said(launch(LAUNCHERS[launcher], root, store, tmp_path / "two"))
    assert text.count("trained") == 1
    assert text.count("epoch  20") == 1  # the first process alone says something
    assert_same_training(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_two_nodes_give_the_training_of_one_process(root, store, tmp_path):
    small_training(store, tmp_path / "one", **VALUES)
    place = ["torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend",
             "c10d", "--rdzv-id", "test", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    nodes = [launch([*place], root, store, tmp_path / "two") for _ in range(2)]
    for node in nodes:
        said(node)
    assert_same_training(tmp_path / "one", tmp_path / "two")
