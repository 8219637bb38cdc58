"""The gradient of a large batch from parts of it, exactly, although batch normalisation joins them.

With S the moments of all normalisations, the loss is a mean of L(part; θ, S), and S itself a mean of
s(part; θ, S) in which each layer depends on those before it alone. So S is settled after as many
passes as there are layers in a row, and the gradient through S by the adjoint λ = ∂L/∂S + (∂s/∂S)ᵀ λ,
settled after as many. Memory is that of a part; an iteration takes several times as long.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pgmif_core.networks import Generator

LAYERS_IN_A_ROW = 5  # normalisations between the sources and the fused image


class PartNorm(nn.BatchNorm2d):
    """Batch normalisation with moments that are given, (2, c): mean and mean square; notes its own."""

    given: Tensor
    seen: Tensor

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:
            return super().forward(maps)
        maps = maps.float() if maps.dtype == torch.bfloat16 else maps
        self.seen = torch.stack([maps.mean(dim=(0, 2, 3)), maps.square().mean(dim=(0, 2, 3))])
        self.count = maps.numel() // maps.shape[1]
        mean, square = self.given
        variance = (square - mean.square()).clamp_min(0)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (maps - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class PartwiseGenerator:
    """A generator in training whose batches come in parts of equal size; shares its parameters."""

    def __init__(self, generator: Generator):
        self.generator = generator
        for module in generator.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = PartNorm
        self.norms = [m for m in generator.modules() if isinstance(m, PartNorm)]
        for norm in self.norms:
            zeros = norm.running_mean.new_zeros(norm.num_features)
            norm.given = torch.stack([zeros, zeros + 1])

    def settle(self, parts: Sequence[Tensor]) -> None:
        """Find the moments of the whole batch; running statistics take them in, once."""
        with torch.no_grad():
            for _ in range(LAYERS_IN_A_ROW):
                totals = [torch.zeros_like(norm.given) for norm in self.norms]
                for part in parts:
                    self.generator(part)
                    for total, norm in zip(totals, self.norms, strict=True):
                        total += norm.seen / len(parts)
                for total, norm in zip(totals, self.norms, strict=True):
                    norm.given = total
            for norm in self.norms:
                del norm.seen
                mean, square = norm.given
                count = norm.count * len(parts)
                variance = (square - mean.square()).clamp_min(0) * count / (count - 1)
                norm.running_mean.lerp_(mean, norm.momentum)
                norm.running_var.lerp_(variance, norm.momentum)
                norm.num_batches_tracked += 1

    def backward(self, parts: Sequence[Tensor], loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Add the gradient of the mean of loss(fused part, part) to the parameters; returns that mean.

        Call `settle` with the same parts before. What the loss depends on besides must not change.
        """
        for norm in self.norms:
            norm.given = norm.given.detach().requires_grad_()
        moments = [norm.given for norm in self.norms]
        total = parts[0].new_zeros(())
        for part in parts:
            value = loss(self.generator(part), part) / len(parts)
            value.backward()  # to the parameters, and ∂L/∂S to the moments
            total += value.detach()
        direct = [torch.zeros_like(m) if m.grad is None else m.grad for m in moments]
        adjoint = direct
        for _ in range(LAYERS_IN_A_ROW - 1):
            through = self._pulled_back(parts, adjoint, moments)
            adjoint = [d + t for d, t in zip(direct, through, strict=True)]
        parameters = [p for p in self.generator.parameters() if p.requires_grad]
        for p, gradient in zip(parameters, self._pulled_back(parts, adjoint, parameters), strict=True):
            p.grad = gradient if p.grad is None else p.grad + gradient
        for norm in self.norms:
            norm.given = norm.given.detach()
            del norm.seen
        return total

    def _pulled_back(
        self, parts: Sequence[Tensor], adjoint: Sequence[Tensor], onto: Sequence[Tensor]
    ) -> list[Tensor]:
        """(∂s/∂onto)ᵀ adjoint, summed over the parts."""
        totals = [torch.zeros_like(tensor) for tensor in onto]
        for part in parts:
            self.generator(part)
            seen = [norm.seen for norm in self.norms]
            weights = [a / len(parts) for a in adjoint]
            found = torch.autograd.grad(seen, onto, weights, allow_unused=True)
            for total, gradient in zip(totals, found, strict=True):
                if gradient is not None:
                    total += gradient
        return totals
