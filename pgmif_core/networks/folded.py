"""A trained generator as few convolutions as possible: same image, several times faster.

Batch normalisation is a constant in inference and goes into the weights; the encoders of all
modalities run as groups of one convolution; what joins coarse and fine maps is two.
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from pgmif_core.networks.convolutions import convolve_to_image, enlarging_kernel, tile_kernel
from pgmif_core.networks.generator import LOGIT_MARGIN, Generator


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch normalisation after it."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return convolution.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


class FoldedGenerator(nn.Module):
    """What `Generator` computes in evaluation mode, to float32 rounding; not trainable.

    Sources (b, m, h, w) in [0, 1], m as in training, any height and width ≥ 2 → (b, 1, h, w).
    """

    def __init__(self, generator: Generator):
        super().__init__()
        self.settings = generator.settings
        encoders, decoder = generator.encoders, generator.decoder
        self.modalities = len(encoders)
        with torch.no_grad():
            for name in ("full", "down", "deep"):
                parts = [folded(*getattr(e, name)[:2]) for e in encoders]
                self._keep(name, torch.cat([w for w, _ in parts]), torch.cat([b for _, b in parts]))
            self._keep("joint", *folded(*decoder.joint[:2]))
            weight, bias = folded(decoder.join, decoder.norm)
            enlarged = decoder.join.coarse
            self._keep("skip", weight[:, enlarged:], bias)
            self.register_buffer("enlarge", enlarging_kernel(weight[:, :enlarged]))
            self._keep("image", tile_kernel(decoder.image.weight), decoder.image.bias)
        self.to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where it runs: where the generator was."""
        return self.enlarge.device

    def _keep(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.register_buffer(f"{name}_weight", weight.detach().clone())
        self.register_buffer(f"{name}_bias", bias.detach().clone())

    def _convolve(self, maps: Tensor, name: str, groups: int = 1, stride: int = 1) -> Tensor:
        weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
        return functional.conv2d(maps, weight, bias, stride, padding=1, groups=groups)

    def forward(self, sources: Float[Tensor, "b m h w"]) -> Float[Tensor, "b 1 h w"]:
        if sources.shape[1] != self.modalities:
            raise ValueError(
                f"this generator fuses {self.modalities} modalities, found {sources.shape[1]}"
            )
        height, width = sources.shape[-2:]
        even = functional.pad(sources, (0, width % 2, 0, height % 2), mode="replicate")
        even = even.contiguous(memory_format=torch.channels_last)
        full = self._convolve(even, "full", self.modalities).relu_()
        down = self._convolve(full, "down", self.modalities, stride=2).relu_()
        deep = self._convolve(down, "deep", self.modalities).relu_()
        joint = self._convolve(deep, "joint").relu_()
        joined = self._convolve(full, "skip")
        joined += functional.conv_transpose2d(joint, self.enlarge, stride=2, padding=1)
        residual = convolve_to_image(joined.relu_(), self.image_weight, self.image_bias)
        residual = residual[..., :height, :width]
        if self.settings["start"] == "none":
            return residual.sigmoid_()
        mean = sources.mean(dim=1, keepdim=True)
        return (torch.logit(mean, eps=LOGIT_MARGIN) + residual).sigmoid_()
