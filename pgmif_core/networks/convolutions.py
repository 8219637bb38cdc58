"""The fast forms of two convolutions: to one image in tiles, and of a coarse map beside a fine one."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

TILE = 4


def shifted_kernels(weight: Float[Tensor, "o i 3 3"], n: int) -> Float[Tensor, "t o i r r"]:
    """`weight` at all n×n places of a kernel that is n - 1 pixels larger, row by row."""
    places = range(n)
    return torch.stack(
        [functional.pad(weight, (c, n - 1 - c, r, n - 1 - r)) for r in places for c in places]
    )


def enlarging_kernel(weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 4 4"]:
    """Kernel of the transposed convolution (stride 2, padding 1) that equals enlarging a map twice
    (nearest neighbour) and then convolving it with `weight` (padding 1): 4 products a pixel, not 9."""
    return shifted_kernels(weight, 2).sum(dim=0).flip(-2, -1).transpose(0, 1)


def tile_kernel(weight: Float[Tensor, "1 i 3 3"]) -> Float[Tensor, "t i r r"]:
    """The kernel with which `convolve_to_image` computes a tile of pixels as its channels."""
    return shifted_kernels(weight, TILE).flatten(0, 1)


def convolve_to_image(
    maps: Float[Tensor, "b i h w"], kernel: Float[Tensor, "t i r r"], bias: Float[Tensor, "1"]
) -> Float[Tensor, "b 1 h w"]:
    """3×3 convolution (padding 1) to one channel. Processors compute channels together, and one
    alone wastes most of what they do: so TILE×TILE pixels are channels, two to three times as fast."""
    height, width = maps.shape[-2:]
    filled = functional.pad(maps, (0, -width % TILE, 0, -height % TILE))
    tiles = functional.conv2d(filled, kernel, bias.expand(len(kernel)), stride=TILE, padding=1)
    return functional.pixel_shuffle(tiles, TILE)[..., :height, :width]


class ImageConvolution(nn.Conv2d):
    """3×3 convolution to one channel, computed in tiles."""

    def __init__(self, inputs: int):
        super().__init__(inputs, 1, 3, padding=1)

    def forward(self, maps: Float[Tensor, "b i h w"]) -> Float[Tensor, "b 1 h w"]:
        return convolve_to_image(maps, tile_kernel(self.weight), self.bias)


class JoiningConvolution(nn.Conv2d):
    """3×3 convolution of a coarse map, enlarged twice, and a fine one beside it; neither is copied."""

    def __init__(self, coarse: int, fine: int, outputs: int):
        super().__init__(coarse + fine, outputs, 3, padding=1, bias=False)
        self.coarse = coarse

    def forward(
        self, coarse: Float[Tensor, "b c h w"], fine: Float[Tensor, "b f 2*h 2*w"]
    ) -> Float[Tensor, "b o 2*h 2*w"]:
        kernel = enlarging_kernel(self.weight[:, : self.coarse])
        joined = functional.conv2d(fine, self.weight[:, self.coarse :], padding=1)
        joined += functional.conv_transpose2d(coarse, kernel, stride=2, padding=1)
        return joined
