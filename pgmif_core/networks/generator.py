"""The generator (one encoder per modality, one decoder) and the patch discriminator.

The paper prints layer counts, not sizes: encoders and decoder of three 3×3 convolutions, each with
batch normalisation and ReLU (Methods, "Model architecture"). Channel numbers, the skip connection
and the start are decisions of this package. Maps of full size, four times as dear, have half the
channels; `make study NAME=length` measures other widths.
"""

import itertools

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from pgmif_core.expected import expect_image, expect_unit_range
from pgmif_core.networks.convolutions import ImageConvolution, JoiningConvolution

STARTS = ("mean", "none")
MOST_MODALITIES, MOST_CHANNELS = 16, 1024  # a description that asks for more is damaged
LEAST_JUDGED = 8  # pixels: the discriminator halves an image three times
LOGIT_MARGIN = 1e-3  # keeps logit(mean of sources) finite in the black background


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU: the building block of the paper."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Encoder(nn.Module):
    """Three convolutions on one modality; returns the full-resolution skip and the half-size map."""

    def __init__(self, skip: int, channels: int):
        super().__init__()
        self.full = convolution(1, skip)
        self.down = convolution(skip, channels, stride=2)
        self.deep = convolution(channels, channels)

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> tuple[Tensor, Tensor]:
        full = self.full(image)
        return full, self.deep(self.down(full))


class Decoder(nn.Module):
    """Three convolutions from the joined maps to one image in logit space."""

    def __init__(self, modalities: int, skip: int, channels: int):
        super().__init__()
        self.joint = convolution(channels * modalities, channels)
        self.join = JoiningConvolution(channels, skip * modalities, channels)
        self.norm = nn.BatchNorm2d(channels)
        self.image = ImageConvolution(channels)

    def forward(self, skips: list[Tensor], maps: list[Tensor]) -> Float[Tensor, "b 1 h w"]:
        joint = self.joint(torch.cat(maps, dim=1))
        joined = self.norm(self.join(joint, torch.cat(skips, dim=1)))
        return self.image(joined.relu_())


class Generator(nn.Module):
    """Fuses m registered modalities into one image.

    `start="mean"` (default): fused = sigmoid(logit(mean of sources) + decoder(…)), the last layer
    starting at zero, so training sets out from the average image. `start="none"` is the literal
    reading, fused = sigmoid(decoder(…)); Eq. 2 cannot see sign, so it may end inverted.
    Maps of half size have `channels`, each modality's map of full size half as many.
    Sources in [0, 1], any number ≥ 2, any height and width ≥ 2. Output in (0, 1).
    """

    def __init__(self, modalities: int = 2, channels: int = 16, start: str = "mean"):
        super().__init__()
        if start not in STARTS:
            raise ValueError(f"start must be one of {STARTS}, found {start!r}")
        for name, value, low, high in (("modalities", modalities, 2, MOST_MODALITIES),
                                       ("channels", channels, 1, MOST_CHANNELS)):
            if type(value) is not int or not low <= value <= high:
                raise ValueError(
                    f"{name}: expected a whole number from {low} to {high}, found {value!r}; fusion "
                    "needs at least two modalities"
                )
        self.settings = {"modalities": modalities, "channels": channels, "start": start}
        self.method = ""  # what it was trained as, and on which sequences, where known
        self.sequences: tuple[str, ...] = ()
        skip = max(1, channels // 2)
        self.encoders = nn.ModuleList(Encoder(skip, channels) for _ in range(modalities))
        self.decoder = Decoder(modalities, skip, channels)
        if start == "mean":
            nn.init.zeros_(self.decoder.image.weight)
            nn.init.zeros_(self.decoder.image.bias)

    def forward(self, sources: Float[Tensor, "b m h w"]) -> Float[Tensor, "b 1 h w"]:
        expect_image("sources", sources, "(b, m, h, w)", 4)
        if sources.ndim != 4:
            raise ValueError(f"sources: expected (b, m, h, w), found shape {tuple(sources.shape)}")
        if not self.training:
            expect_unit_range("sources", sources)
        if sources.shape[1] != len(self.encoders):
            raise ValueError(
                f"this generator fuses {len(self.encoders)} modalities, found {sources.shape[1]}: "
                "expected sources (b, m, h, w) of as many"
            )
        height, width = sources.shape[-2:]
        even = functional.pad(sources, (0, width % 2, 0, height % 2), mode="replicate")
        encoded = [e(x) for e, x in zip(self.encoders, even.split(1, dim=1), strict=True)]
        residual = self.decoder([full for full, _ in encoded], [deep for _, deep in encoded])
        residual = residual[..., :height, :width]
        if self.settings["start"] == "none":
            return residual.sigmoid()
        mean = sources.mean(dim=1, keepdim=True)
        return (torch.logit(mean, eps=LOGIT_MARGIN) + residual).sigmoid()


class PatchDiscriminator(nn.Module):
    """Small strided network that judges overlapping patches: is this modality m, or fused?

    Input (b, 1, h, w) in [0, 1]; output (b, 1, ≈h/8, ≈w/8) logits, positive for "real". No batch
    normalisation: real and fused batches would share statistics and give themselves away.
    """

    def __init__(self, channels: int = 16):
        super().__init__()
        sizes = (1, channels, 2 * channels, 4 * channels)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1),
                       nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(sizes[-1], 1, 3, padding=1))

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Tensor:
        expect_image("image", image, "(b, 1, h, w)", 4)
        if image.ndim != 4 or image.shape[1] != 1 or min(image.shape[2:]) < LEAST_JUDGED:
            raise ValueError(f"image: expected (b, 1, h, w) of at least {LEAST_JUDGED} × "
                             f"{LEAST_JUDGED}, "
                             f"found shape {tuple(image.shape)}")
        return self.layers(image)
