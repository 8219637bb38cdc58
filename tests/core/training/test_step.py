"""One step of the training: who learns, how fast, and the mean of all iterations."""

from dataclasses import replace

import pytest
import torch
from helpers.trainings import SETTINGS

from pgmif_core.images.store import TrainingSlices
from pgmif_core.training.step import Trainer, annealing


def test_both_sources_and_all_discriminators_learn(wide_store):
    trainer = Trainer(SETTINGS)
    before = [p.clone() for p in trainer.discriminators.parameters()]
    torch.nn.init.normal_(trainer.generator.decoder.image.weight, std=0.05)
    batch = torch.from_numpy(TrainingSlices(wide_store, ["two"], 32, 0).batch(0, 2))
    trainer.step(batch)
    after = list(trainer.discriminators.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    for encoder in trainer.generator.encoders:
        assert all(p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_annealing_is_torchs_cosine(wide_store, tmp_path):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 0.5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for iteration in range(10):
        assert 0.5 * annealing(iteration, 10) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_the_length_counts_only_where_rates_are_annealed():
    def fingerprint(**changes):
        return Trainer(replace(SETTINGS, **changes)).fingerprint

    assert fingerprint() != fingerprint(iterations=8)
    assert fingerprint(anneal=False) == fingerprint(anneal=False, iterations=8)


@pytest.mark.parametrize("average", [True, False])
def test_the_result_is_the_mean_of_all_iterations_weighted_by_their_number(wide_store, average):
    settings = replace(SETTINGS, average_weights=average)
    slices = TrainingSlices(wide_store, ["two"], settings.crop, settings.seed)
    trainer = Trainer(settings)
    seen = []
    for iteration in range(5):
        trainer.step(torch.from_numpy(slices.batch(iteration, settings.batch_size)))
        state = trainer.generator.state_dict()
        seen.append({name: tensor.clone() for name, tensor in state.items()})
    for name, tensor in trainer.result.state_dict().items():
        if not tensor.is_floating_point():
            continue
        weighted = sum((t + 1) * state[name].double() for t, state in enumerate(seen)) / 15
        expected = weighted.float() if average else seen[-1][name]
        torch.testing.assert_close(tensor, expected, rtol=1e-4, atol=1e-6)
