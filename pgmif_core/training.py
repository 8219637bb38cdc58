"""One visible training loop for PGMIF, GMMCI and DLMWL on Lightning Fabric; checkpoints, resume.

A run can be killed at any moment: it goes on from its last checkpoint and ends with the weights of
an uninterrupted run, because every batch depends on the seed and the iteration alone.
"""

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from pgmif_core.files import replacing
from pgmif_core.fingerprints import code_fingerprint
from pgmif_core.losses import (
    discriminator_loss,
    generator_adversarial_loss,
    intensity_weighted_mse,
    maximum_gradient_loss,
    weighted_gradient_loss,
)
from pgmif_core.networks import Generator, PatchDiscriminator
from pgmif_core.slices import TrainingSlices

HISTORY_COLUMNS = ("iteration", "content", "adversarial", "discriminator")


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the weights, besides the data. `method` names the content term."""

    method: str = "pgmif"
    modalities: int = 2
    sequences: tuple[str, ...] = ()  # their names, so that weights are not put to others
    channels: int = 16
    start: str = "mean"
    epsilon: float = 3e-2
    gradient_weights: tuple[float, ...] = (1.0, 8.0)
    content_scale: float = 1.0
    adversarial: bool = True
    iterations: int = 200
    batch_size: int = 8
    crop: int = 96
    learning_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    anneal: bool = True
    average_weights: bool = True
    checkpoint_every: int = 25
    seed: int = 0
    device: str = "cpu"


def content_loss(settings: TrainingSettings) -> Callable[[Tensor, Tensor], Tensor]:
    """The method's content term (fused, sources) → scalar, before scaling."""
    if settings.method in ("pgmif", "pgmif_literal"):
        return lambda fused, sources: weighted_gradient_loss(
            fused, sources, settings.gradient_weights, settings.epsilon
        )
    if settings.method == "gmmci":
        return lambda fused, sources: maximum_gradient_loss(fused, sources, settings.epsilon)
    if settings.method == "dlmwl":
        return intensity_weighted_mse
    raise ValueError(f"no learned method is called {settings.method!r}")


def annealing(iteration: int, iterations: int) -> float:
    """Factor of the learning rates, from 1 down to 0 along a half cosine (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * iteration / iterations))


def later_counts_more(average: Tensor, newest: Tensor, earlier: Tensor | int) -> Tensor:
    """Mean over iterations in which iteration t has weight t, made up one iteration at a time.

    Adversarial training circles around its solution; such a mean lies nearer to it than any
    iteration does (Yazıcı et al. 2019; the weights: Shamir & Zhang 2013, polynomial decay with η = 1).
    `earlier`: how many iterations `average` is made of.
    """
    return average + (newest - average) * (2 / (int(earlier) + 2))


class Trainer:
    """Generator, one discriminator per modality, their Adam optimisers, and one training step."""

    def __init__(self, settings: TrainingSettings, data: str = ""):
        self.settings = settings
        self.fingerprint = _fingerprint(settings, data)
        self.fabric = Fabric(accelerator=settings.device, devices=1)
        self.content = content_loss(settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            generator = Generator(settings.modalities, settings.channels, settings.start)
            discriminators = nn.ModuleList(
                PatchDiscriminator() for _ in range(settings.modalities)
            )
        for network in (generator, discriminators):  # convolutions run a quarter faster like this
            network.to(memory_format=torch.channels_last)
        self.generator, self.generator_optimizer = self.fabric.setup(
            generator, torch.optim.Adam(generator.parameters(), settings.learning_rate)
        )
        self.discriminators, self.discriminator_optimizer = self.fabric.setup(
            discriminators,
            torch.optim.Adam(discriminators.parameters(), settings.discriminator_rate),
        )
        self.average = AveragedModel(
            self.generator.module, avg_fn=later_counts_more, use_buffers=True
        )
        self.iteration = 0

    @property
    def result(self) -> Generator:
        """The generator that counts: averaged over the iterations, or as the last one left it."""
        return self.average.module if self.settings.average_weights else self.generator.module

    def _judges(self) -> Iterator[tuple[int, nn.Module]]:
        return enumerate(self.discriminators.module)

    def _anneal(self) -> None:
        if not self.settings.anneal:
            return
        factor = annealing(self.iteration, self.settings.iterations)
        for optimizer, rate in (
            (self.generator_optimizer, self.settings.learning_rate),
            (self.discriminator_optimizer, self.settings.discriminator_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    def step(self, sources: Tensor) -> dict[str, float]:
        """One iteration: discriminators learn, then the generator; returns the loss terms."""
        self._anneal()
        sources = self.fabric.to_device(sources)
        self.generator.train()
        fused = self.generator(sources)
        judged = sources.new_zeros(())
        if self.settings.adversarial:
            for m, judge in self._judges():
                judged = judged + discriminator_loss(
                    judge(sources[:, m : m + 1]), judge(fused.detach())
                )
            self.discriminator_optimizer.zero_grad()
            self.fabric.backward(judged)
            self.discriminator_optimizer.step()

        content = self.content(fused, sources)
        deceived = sources.new_zeros(())
        if self.settings.adversarial:
            self.discriminators.requires_grad_(False)
            for _, judge in self._judges():
                deceived = deceived + generator_adversarial_loss(judge(fused))
        self.generator_optimizer.zero_grad()
        self.fabric.backward(self.settings.content_scale * content + deceived)
        self.generator_optimizer.step()
        self.discriminators.requires_grad_(True)
        self.iteration += 1
        if self.settings.average_weights:
            self.average.update_parameters(self.generator.module)
        terms = {"content": content, "adversarial": deceived, "discriminator": judged}
        values = {name: float(value.detach()) for name, value in terms.items()}
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


def _fingerprint(settings: TrainingSettings, data: str) -> str:
    """What decides the weights at a given iteration: settings, data and code.

    How long the training lasts is part of it only where the learning rates are annealed.
    """
    length = settings.iterations if settings.anneal else 0
    decisive = asdict(replace(settings, iterations=length, checkpoint_every=1))
    code = code_fingerprint("training", "networks", "losses", "gradients", "slices")
    return json.dumps({**decisive, "data": data, "code": code}, sort_keys=True)


def _replace_file(path: Path, write: Callable[[Path], object]) -> None:
    with replacing(path) as temporary:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


def _resume(trainer: Trainer, checkpoint: Path, say: Callable[[str], None]) -> None:
    if not checkpoint.exists():
        return
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if state.get("fingerprint") != trainer.fingerprint:
        say(f"{checkpoint.name} was made with other settings, data or code: starting over")
    elif state["iteration"] > trainer.settings.iterations:
        say(f"{checkpoint.name} has more iterations than asked for: starting over")
    else:
        trainer.restore(state)
        say(f"resuming at iteration {trainer.iteration} of {trainer.settings.iterations}")


def _open_history(path: Path, iteration: int):
    """History file cut back to the checkpoint, open for appending."""
    rows: list[list[str]] = []
    if path.exists() and iteration:
        with path.open(newline="") as file:
            rows = [r for r in list(csv.reader(file))[1:] if r and int(r[0]) <= iteration]

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            csv.writer(file).writerows([HISTORY_COLUMNS, *rows])

    _replace_file(path, write)
    return path.open("a", newline="", buffering=1)


def train(
    settings: TrainingSettings,
    slices: TrainingSlices,
    folder: Path,
    watch: Callable[[int, Generator], None] | None = None,
    watched: str = "",
    say: Callable[[str], None] = print,
) -> Path:
    """Train and return `folder`/weights.safetensors; also writes history.csv and checkpoint.pt.

    Resumes from the checkpoint where there is one of the same settings, data and code. `watch(iteration,
    generator)` is called at every checkpoint with the generator in evaluation mode; `watched` says
    what it looks at, and training starts over when that changes. In a terminal a bar shows
    progress; elsewhere one line per epoch. Raises FloatingPointError on divergence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, slices.fingerprint + watched)
    checkpoint = folder / "checkpoint.pt"
    _resume(trainer, checkpoint, say)
    epoch = max(1, len(slices) // settings.batch_size)
    bar = tqdm(
        total=settings.iterations, initial=trainer.iteration, desc=settings.method,
        disable=not sys.stderr.isatty(),
    )
    with bar, _open_history(folder / "history.csv", trainer.iteration) as file:
        history = csv.writer(file)
        while trainer.iteration < settings.iterations:
            batch = torch.from_numpy(slices.batch(trainer.iteration, settings.batch_size))
            terms = trainer.step(batch)
            done = trainer.iteration
            history.writerow([done, *(f"{terms[name]:.8g}" for name in HISTORY_COLUMNS[1:])])
            bar.update()
            if bar.disable and (done % epoch == 0 or done == settings.iterations):
                shown = "  ".join(f"{name} {value:+.4f}" for name, value in terms.items())
                say(f"epoch {-(-done // epoch):3d}  iteration {done:6d}  {shown}")
            if done % settings.checkpoint_every == 0 or done == settings.iterations:
                if watch is not None:
                    watch(done, trainer.result.eval())
                _replace_file(checkpoint, lambda path: torch.save(trainer.state(), path))
    return write_weights(trainer.result, settings, folder / "weights.safetensors")


def write_weights(
    generator: Generator, settings: TrainingSettings, path: Path, iteration: int | None = None
) -> Path:
    """Generator weights as safetensors, with what is needed to rebuild and to trace them.

    `iteration`: where in the training they are from; the end if not given.
    """
    metadata = {
        "iteration": str(settings.iterations if iteration is None else iteration),
        "generator": json.dumps(generator.settings),
        "training": json.dumps(asdict(settings)),
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    _replace_file(path, lambda temporary: save_file(tensors, temporary, metadata))
    return path
