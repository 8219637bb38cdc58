"""A batch in parts has the loss, the gradient and the statistics of the batch in one piece."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trainings import make_store, small_training

from pgmif_core.accumulation import PartwiseGenerator
from pgmif_core.losses import maximum_gradient_loss, weighted_gradient_loss
from pgmif_core.networks import Generator


def generators(modalities, start="mean", dtype=torch.float64, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = Generator(modalities, 3, start).to(dtype).train()
        for parameter in generator.parameters():
            torch.nn.init.normal_(parameter, 0.1, 0.3)
    return generator, copy.deepcopy(generator)


def pgmif(fused, sources):
    return weighted_gradient_loss(fused, sources, (1.0, 8.0, 2.0)[: sources.shape[1]], 0.03)


def gmmci(fused, sources):
    return maximum_gradient_loss(fused, sources, 0.03)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([2, 3]), st.sampled_from(["mean", "none"]), st.sampled_from([1, 2, 3, 6]),
       st.sampled_from([pgmif, gmmci]), st.integers(0, 99))
def test_parts_give_the_gradient_of_the_whole_batch(modalities, start, count, loss, seed):
    whole, parted = generators(modalities, start, seed=seed)
    sources = torch.rand(6, modalities, 11, 8, dtype=torch.float64)
    expected = loss(whole(sources), sources)
    expected.backward()
    parts = sources.split(6 // count)
    partwise = PartwiseGenerator(parted)
    partwise.settle(parts)
    found = partwise.backward(parts, loss)
    torch.testing.assert_close(found, expected.detach())
    for (name, a), b in zip(whole.named_parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-7, atol=1e-9, msg=name)
    torch.testing.assert_close(dict(parted.named_buffers()), dict(whole.named_buffers()))


def test_adding_up_parts_alone_would_not():
    """The control: what plain accumulation gives differs by far more than the tolerance above."""
    whole, plain = generators(2)
    sources = torch.rand(6, 2, 11, 8, dtype=torch.float64)
    pgmif(whole(sources), sources).backward()
    for part in sources.split(2):
        (pgmif(plain(part), part) / 3).backward()
    worst = max(float((a.grad - b.grad).abs().max() / a.grad.abs().max())
                for a, b in zip(whole.parameters(), plain.parameters(), strict=True))
    assert worst > 0.01


def test_gradients_are_added_to_those_already_there():
    whole, parted = generators(2)
    sources = torch.rand(4, 2, 8, 8, dtype=torch.float64)
    pgmif(whole(sources), sources).backward()
    partwise = PartwiseGenerator(parted)
    for _ in range(2):
        partwise.settle(sources.split(2))
        partwise.backward(sources.split(2), pgmif)
    for a, b in zip(whole.parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(b.grad, 2 * a.grad, rtol=1e-7, atol=1e-9)
    names = [name for name, _ in whole.named_parameters()]
    assert [name for name, _ in parted.named_parameters()] == names
    assert list(parted.state_dict()) == list(whole.state_dict())
    copy.deepcopy(parted)  # nothing of the graph is left in it


def test_evaluation_is_as_ever():
    whole, parted = generators(2)
    PartwiseGenerator(parted)
    sources = torch.rand(1, 2, 9, 9, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(parted.eval()(sources), whole.eval()(sources))
    with pytest.raises(ValueError, match="fuses 2 modalities"):
        parted(torch.rand(1, 3, 9, 9, dtype=torch.float64))


def test_a_training_in_parts_has_the_losses_of_one_in_whole(tmp_path):
    store = make_store(tmp_path / "store")
    values = {"iterations": 12, "anneal": False, "checkpoint_every": 12}
    for name, parts in (("whole", 1), ("parts", 2), ("singly", 4)):
        small_training(store, tmp_path / name, accumulate=parts, **values)
    whole, parts, singly = (
        np.loadtxt(tmp_path / name / "history.csv", delimiter=",", skiprows=1)
        for name in ("whole", "parts", "singly")
    )
    np.testing.assert_allclose(parts, whole, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(singly, whole, rtol=2e-4, atol=2e-5)
    small_training(store, tmp_path / "none", adversarial=False, accumulate=2, **values)
    losses = np.loadtxt(tmp_path / "none" / "history.csv", delimiter=",", skiprows=1)
    assert (losses[:, 2:] == 0).all()
    with pytest.raises(ValueError, match="that 3 parts share evenly, found 4"):
        small_training(store, tmp_path / "x", accumulate=3)
    with pytest.raises(ValueError, match="found both; choose one"):
        small_training(store, tmp_path / "x", accumulate=2, compiled=True)
