"""What a training is made of: settings, networks, optimisers, one adversarial step, its whole state."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pgmif_core.losses import (
    discriminator_loss,
    generator_adversarial_loss,
    gradient_penalty,
)
from pgmif_core.networks.generator import Generator, PatchDiscriminator
from pgmif_core.training.processes import average_gradients, open_fabric, share_statistics
from pgmif_core.training.settings import TrainingSettings, content_loss

TERMS = ("content", "adversarial", "discriminator")
PENALISED_EVERY = 4  # iterations; it then weighs as many times more (Karras et al. 2020, "lazy")


def annealing(iteration: int, iterations: int) -> float:
    """Factor of the learning rates, from 1 down to 0 along a half cosine (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * iteration / iterations))


def warming_up(iteration: int, warm_up: int) -> float:
    """Factor of the generator's rate: 0 for half of `warm_up` iterations, then up to 1 along a line.

    What discriminators say before they have learnt anything is chance; a generator that follows it
    ends where the seed sent it.
    """
    return min(1.0, max(0.0, 2 * iteration / warm_up - 1)) if warm_up else 1.0


def later_counts_more(
    averages: Sequence[Tensor], newest: Sequence[Tensor], earlier: Tensor | int
) -> None:
    """Mean over iterations in which iteration t has weight t, made up one iteration at a time.

    Adversarial training circles around its solution; such a mean lies nearer to it than any
    iteration does (Yazıcı et al. 2019; the weights: Shamir & Zhang 2013, polynomial decay with η = 1).
    `averages`, of `earlier` iterations each, are changed in place; counters are taken over.
    """
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, newest, 2 / (int(earlier) + 2))
    else:
        torch._foreach_copy_(averages, newest)


class Trainer:
    """Generator, one discriminator per modality, their Adam optimisers, and one training step.

    On several processes each step is given a part of the batch, of the same size on every one; the
    networks stay equal on all. Not wrapped by Fabric: two networks that call one another in one
    step would be reduced twice, and their gradients fit in one message.
    """

    def __init__(self, settings: TrainingSettings, made_from: str = ""):
        self.settings = settings
        self.fingerprint = _fingerprint(settings, made_from)
        self.fabric = open_fabric(settings.device, settings.precision)
        self.content = content_loss(settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            generator = Generator(settings.modalities, settings.channels, settings.start)
            discriminators = nn.ModuleList(
                PatchDiscriminator() for _ in range(settings.modalities)
            )
        if self.fabric.world_size > 1:
            share_statistics(generator)
        # convolutions run a quarter faster in this layout
        for network in (generator, discriminators):
            network.to(device=self.fabric.device, memory_format=torch.channels_last)
        self.generator, self.discriminators = generator, discriminators
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.Adam(network.parameters(), rate, fused=True) for network, rate in
            ((generator, settings.learning_rate), (discriminators, settings.discriminator_rate))
        )
        self.average = AveragedModel(generator, multi_avg_fn=later_counts_more, use_buffers=True)
        self.iteration = 0
        if settings.compiled:
            for network in (generator, *discriminators):
                network.compile()

    @property
    def result(self) -> Generator:
        """The generator that counts: averaged over the iterations, or as the last one left it."""
        return self.average.module if self.settings.average_weights else self.generator

    @property
    def part(self) -> tuple[int, int]:
        """Which part of every batch is this process's, of how many."""
        return self.fabric.global_rank, self.fabric.world_size

    def _set_rates(self) -> None:
        settings = self.settings
        factor = annealing(self.iteration, settings.iterations) if settings.anneal else 1.0
        warm = warming_up(self.iteration, settings.warm_up) if settings.adversarial else 1.0
        for optimizer, rate in (
            (self.generator_optimizer, settings.learning_rate * warm),
            (self.discriminator_optimizer, settings.discriminator_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    def _run(self, network: nn.Module, images: Tensor) -> Tensor:
        with self.fabric.autocast():
            return network(images).float()

    def _update(self, optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        average_gradients(self.fabric, network.parameters())
        optimizer.step()

    def step(self, sources: Tensor) -> dict[str, float]:
        """One iteration: discriminators learn, then the generator; returns the loss terms.

        Sources (b, m, h, w) in [0, 1]: this process's part of the batch; the terms are those of
        the whole batch. Raises FloatingPointError where one is not finite.
        """
        self._set_rates()
        self.generator.train()
        sources = sources.to(self.fabric.device)
        terms = self._update_both(sources)
        self.iteration += 1
        if self.settings.average_weights:
            self.average.update_parameters(self.generator)
        return self._checked(dict(zip(TERMS, terms, strict=True)))

    def _update_both(self, sources: Tensor) -> Sequence[Tensor]:
        fused = self._run(self.generator, sources)
        judged = self._judged(sources, fused.detach())
        if self.settings.adversarial:
            self._update(self.discriminator_optimizer, self.discriminators, judged)
        self.discriminators.requires_grad_(False)
        content, deceived = self.content(fused, sources), self._deceived(fused)
        pixels = sources[0, 0].numel() if self.settings.summed else 1
        loss = self.settings.content_scale * pixels * content + deceived
        self._update(self.generator_optimizer, self.generator, loss)
        self.discriminators.requires_grad_(True)
        return content, deceived, judged

    def _judged(self, sources: Tensor, fused: Tensor) -> Tensor:
        """The discriminators' loss; 0 without them."""
        total = sources.new_zeros(())
        weight = self.settings.gradient_penalty if self.iteration % PENALISED_EVERY == 0 else 0.0
        for m, judge in enumerate(self.discriminators if self.settings.adversarial else ()):
            both = torch.cat([sources[:, m : m + 1], fused]).requires_grad_(weight > 0)
            # compiled networks cannot be differentiated twice: their layers, which are not, can
            logits = self._run(judge.layers if weight else judge, both)
            total = total + discriminator_loss(*logits.chunk(2))
            if weight:  # half of it for real and for fused images, each a half of `both`
                total = total + PENALISED_EVERY * weight * gradient_penalty(logits, both)
        return total

    def _deceived(self, fused: Tensor) -> Tensor:
        """The generator's adversarial loss; 0 without discriminators."""
        total = fused.new_zeros(())
        for judge in self.discriminators if self.settings.adversarial else ():
            total = total + generator_adversarial_loss(self._run(judge, fused))
        return total

    def _checked(self, terms: dict[str, Tensor]) -> dict[str, float]:
        means = self.fabric.all_reduce(torch.stack([*terms.values()]).detach(), reduce_op="mean")
        values = dict(zip(terms, means.tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            raise FloatingPointError(
                f"training diverged at iteration {self.iteration}: {values}; lower the learning rate"
            )
        return values

    def state(self) -> dict:
        """Everything a resumed run needs, as plain tensors and numbers."""
        return {
            "fingerprint": self.fingerprint,
            "iteration": self.iteration,
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
        }

    def restore(self, state: dict) -> None:
        """Set everything from `state()`."""
        self.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self.discriminators.load_state_dict(state["discriminators"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.iteration = state["iteration"]


def _fingerprint(settings: TrainingSettings, made_from: str) -> str:
    """What decides the weights at a given iteration: settings, and what else they are made from.

    Where it is computed is not: a checkpoint of two processes goes on in one. How long the training
    lasts is part of it only where the learning rates are annealed.
    """
    length = settings.iterations if settings.anneal else 0
    decisive = asdict(replace(settings, iterations=length, checkpoint_every=1, device=""))
    return json.dumps({**decisive, "made_from": made_from}, sort_keys=True)
