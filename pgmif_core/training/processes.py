"""One training on many processes: who starts them, what they share so that all see one batch.

The loss of a batch depends on the whole batch through batch normalisation alone; with shared
statistics and averaged gradients, n processes take the steps that one would take.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.distributed
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def open_fabric(device: str = "cpu", precision: str = "32-true") -> Fabric:
    """Fabric for the processes that `torchrun` or `fabric run` started; else one on one device.

    `device`: an accelerator of Fabric: cpu, cuda, mps or auto.
    """
    # two seconds, which who reads trained weights need not wait for
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    if "LT_CLI_USED" in os.environ:
        # `fabric run` has said the rest in its options; one that contradicts the precision is refused
        return Fabric(precision=precision)
    if not torch.distributed.is_torchelastic_launched():
        alone = LightningEnvironment()  # also where SLURM started this process among others
        return Fabric(accelerator=device, devices=1, precision=precision, plugins=[alone])
    each = int(os.environ["LOCAL_WORLD_SIZE"])
    fabric = Fabric(
        accelerator=device, devices=each, num_nodes=int(os.environ["WORLD_SIZE"]) // each,
        strategy="ddp", precision=precision,
    )
    fabric.launch()
    return fabric


def is_first_process() -> bool:
    """Whether this process is the one that watches, writes and says; true where it is alone."""
    return os.environ.get("RANK", "0") == "0"


def average_gradients(fabric: Fabric, parameters: Iterable[nn.Parameter]) -> None:
    """Mean of the gradients over all processes, in one message."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    mean = fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="mean")
    for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


class _Sum(torch.autograd.Function):
    """Sum over all processes; backwards, too, since every process uses the sum."""

    @staticmethod
    def forward(_, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with mean and variance of the batch of all processes, of equal parts.

    torch.nn.SyncBatchNorm does this on GPUs only. (b, c, h, w) → the same shape.
    """

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:
            return super().forward(maps)
        maps = maps.float()  # autocast would add up moments in bf16
        world = torch.distributed.get_world_size()
        count = maps.numel() // maps.shape[1] * world
        mean = _Sum.apply(maps.sum(dim=(0, 2, 3))) / count
        centred = maps - mean.view(1, -1, 1, 1)
        variance = _Sum.apply(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def share_statistics(network: nn.Module) -> None:
    """Let every batch normalisation of a network see the batch of all processes."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
