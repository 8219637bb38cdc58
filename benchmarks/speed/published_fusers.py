"""The layer stacks of published learned fusers, bare: convolutions and activations of their shapes.

Rebuilt from the publications so that all run in one framework on one machine; without weights, since
only time is measured. The parameter counts are those of the publications
(tests/house/test_benchmarks.py). Every network takes (1, 2, h, w) and gives (1, 1, h, w).
"""

import torch
from torch import Tensor, nn


def block(inputs: int, outputs: int, size: int = 3, bias: bool = True) -> nn.Sequential:
    """A convolution that keeps the size, and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias), nn.ReLU(inplace=True)
    )


class PMGI(nn.Module):
    """Zhang et al. 2020, AAAI: a gradient path and an intensity path that exchange features twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.ModuleList(block(3, 16, 5) for _ in range(2))
        self.second = nn.ModuleList(block(16, 16) for _ in range(2))
        self.third = nn.ModuleList(block(48, 16) for _ in range(2))
        self.fourth = nn.ModuleList(block(64, 16) for _ in range(2))
        self.exchange = nn.ModuleList(block(32, 16, 1) for _ in range(4))
        self.image = nn.Conv2d(128, 1, 1)

    def forward(self, sources: Tensor) -> Tensor:
        first, second = sources[:, :1], sources[:, 1:]
        inputs = (torch.cat([first, first, second], 1), torch.cat([second, second, first], 1))
        one = [layer(x) for layer, x in zip(self.first, inputs, strict=True)]
        two = [layer(x) for layer, x in zip(self.second, one, strict=True)]
        given = [self.exchange[k](torch.cat(two, 1)) for k in (0, 1)]
        dense = [torch.cat([a, b, g], 1) for a, b, g in zip(one, two, given, strict=True)]
        three = [layer(x) for layer, x in zip(self.third, dense, strict=True)]
        given = [self.exchange[k](torch.cat(three, 1)) for k in (2, 3)]
        dense = [torch.cat([a, b, c, g], 1)
                 for a, b, c, g in zip(one, two, three, given, strict=True)]
        four = [layer(x) for layer, x in zip(self.fourth, dense, strict=True)]
        return self.image(torch.cat([*one, *two, *three, *four], 1))


class DenseFuse(nn.Module):
    """Li & Wu 2019, IEEE TIP: a dense encoder for every source, features added, a decoder."""

    def __init__(self):
        super().__init__()
        self.first = block(1, 16)
        self.dense = nn.ModuleList(block(16 * k, 16) for k in (1, 2, 3))
        self.decoder = nn.Sequential(
            block(64, 64), block(64, 32), block(32, 16), nn.Conv2d(16, 1, 3, padding=1)
        )

    def _encode(self, image: Tensor) -> Tensor:
        maps = self.first(image)
        for layer in self.dense:
            maps = torch.cat([maps, layer(maps)], 1)
        return maps

    def forward(self, sources: Tensor) -> Tensor:
        return self.decoder(self._encode(sources[:, :1]) + self._encode(sources[:, 1:]))


class IFCNN(nn.Module):
    """Zhang et al. 2020, Information Fusion: two layers for every source, the maximum, two layers."""

    def __init__(self):
        super().__init__()
        self.extract = nn.Sequential(
            nn.Conv2d(3, 64, 7, padding=3, bias=False), nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        )
        self.rebuild = nn.Sequential(
            nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.Conv2d(64, 3, 1),
        )

    def forward(self, sources: Tensor) -> Tensor:
        maps = [self.extract(x.expand(-1, 3, -1, -1)) for x in sources.split(1, 1)]
        return self.rebuild(torch.maximum(*maps)).mean(dim=1, keepdim=True)


class U2Fusion(nn.Module):
    """Xu et al. 2022, IEEE TPAMI: a dense network of 44 channels a layer, and a decoder."""

    def __init__(self):
        super().__init__()
        self.first = block(2, 44)
        self.dense = nn.ModuleList(block(44 * k, 44) for k in range(1, 6))
        self.decoder = nn.Sequential(
            block(264, 128), block(128, 64), block(64, 32), nn.Conv2d(32, 1, 3, padding=1)
        )

    def forward(self, sources: Tensor) -> Tensor:
        maps = self.first(sources)
        for layer in self.dense:
            maps = torch.cat([maps, layer(maps)], 1)
        return self.decoder(maps)


FUSERS = {"PMGI": PMGI, "DenseFuse": DenseFuse, "IFCNN": IFCNN, "U2Fusion": U2Fusion}
