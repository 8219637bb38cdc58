"""One step of the training: who learns, how fast, and the mean of all iterations."""

from dataclasses import replace

import pytest
import torch
from helpers.trainings import SETTINGS

from pgmif_core.images.store import TrainingSlices
from pgmif_core.losses import discriminator_loss, gradient_penalty
from pgmif_core.training.step import PENALISED_EVERY, Trainer, annealing, warming_up


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


def test_the_generator_waits_for_the_discriminators_and_then_sets_out():
    assert [warming_up(n, 8) for n in (0, 3, 4, 5, 6, 7, 8, 99)] == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert warming_up(0, 0) == 1


@pytest.mark.parametrize("adversarial", [True, False])
def test_the_warm_up_holds_the_generator_only_where_it_has_judges(wide_store, adversarial):
    slices = TrainingSlices(wide_store, ["two"], 32, 0)
    trainer = Trainer(replace(SETTINGS, warm_up=4, adversarial=adversarial, iterations=6))
    torch.nn.init.normal_(trainer.generator.decoder.image.weight, std=0.05)
    moved = []
    for iteration in range(4):
        before = [[p.detach().clone() for p in network.parameters()]
                  for network in (trainer.generator, trainer.discriminators)]
        trainer.step(torch.from_numpy(slices.batch(iteration, 2)))
        after = trainer.generator.parameters(), trainer.discriminators.parameters()
        moved.append([any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
                      for old, new in zip(before, after, strict=True)])
    assert [generator for generator, _ in moved] == [not adversarial] * 3 + [True]
    assert all(judges == adversarial for _, judges in moved)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_penalty_is_added_at_every_fourth_iteration(wide_store, weight):
    slices = TrainingSlices(wide_store, ["two"], 32, 0)
    trainer = Trainer(replace(SETTINGS, gradient_penalty=weight))
    for iteration in range(6):
        batch = torch.from_numpy(slices.batch(iteration, 2))
        fused = trainer.generator.eval()(batch).detach()
        own, penalty = 0.0, 0.0
        for m, judge in enumerate(trainer.discriminators):
            real = batch[:, m : m + 1].clone()
            own += discriminator_loss(judge(real), judge(fused)).item()
            for images in (real, fused.clone()):
                images.requires_grad_()
                penalty += gradient_penalty(judge(images), images).item()
        found = trainer._judged(batch, fused).item()
        due = iteration % PENALISED_EVERY == 0
        expected = own + (PENALISED_EVERY * weight / 2 * penalty if due else 0)
        assert found == pytest.approx(expected, rel=1e-4)
        trainer.step(batch)


def test_a_penalty_keeps_the_judges_flat(wide_store):
    slices = TrainingSlices(wide_store, ["two"], 32, 0)

    def slope(weight):
        trainer = Trainer(replace(SETTINGS, gradient_penalty=weight, discriminator_rate=2e-3))
        for iteration in range(40):
            trainer.step(torch.from_numpy(slices.batch(iteration, 2)))
        images = torch.from_numpy(slices.batch(99, 2))[:, :1].requires_grad_()
        return gradient_penalty(trainer.discriminators[0](images), images).item()

    assert slope(10.0) < 0.5 * slope(0.0)


def test_a_summed_content_term_weighs_as_many_times_more_as_there_are_pixels(wide_store):
    batch = torch.from_numpy(TrainingSlices(wide_store, ["two"], 32, 0).batch(0, 2))
    grads = []
    for changes in ({"summed": True}, {"content_scale": 32.0 * 32}):
        trainer = Trainer(replace(SETTINGS, **changes))
        trainer.step(batch)
        grads.append([p.grad for p in trainer.generator.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


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
