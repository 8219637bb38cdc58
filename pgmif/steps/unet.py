"""A small U-Net that draws the tumour: a yardstick for images, not a product.

Ronneberger et al. 2015, as MONAI builds it. The same network, crops and iterations for every image, so
that what differs between two drawings is what the images show.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from monai.losses.dice import DiceCELoss
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.networks.nets.unet import UNet
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from pgmif_core.chunks import in_chunks

CHANNELS = (16, 32, 64, 128)
SMALLEST_SIDE = 2 ** (len(CHANNELS) - 1)  # sides must be multiples of it
LEARNING_RATE = 4e-3
WITH_TUMOUR = 0.5  # share of the crops that are centred on a tumour pixel


@dataclass(frozen=True)
class UNetSettings:
    """What decides a U-Net besides its images: iterations, crops per iteration, their side, the seed."""

    iterations: int = 300
    batch_size: int = 8
    crop: int = 96
    seed: int = 0


@dataclass(frozen=True)
class Drawn:
    """Images (slices, channels, h, w) in [0, 1] and the tumour drawn on them (slices, h, w)."""

    images: NDArray[np.float32]
    gtv: NDArray[np.bool_]

    @cached_property
    def tumour_pixels(self) -> NDArray[np.int64]:
        """(n, 3): slice, row and column of every pixel of the tumour."""
        return np.argwhere(self.gtv)


class Agreement(NamedTuple):
    """Dice, and the 95th percentile of the surface distances in mm, between two drawings.

    Where nothing was drawn Dice is 0 and the distance the diagonal of the volume: the worst there is.
    """

    dice: float
    hd95_mm: float


def build_unet(channels: int) -> nn.Module:
    """Three levels down, batch norm; logits (b, 1, h, w)."""
    return UNet(
        spatial_dims=2, in_channels=channels, out_channels=1, channels=CHANNELS,
        strides=(2,) * (len(CHANNELS) - 1), norm="BATCH",
    )


def tumour_batch(
    patients: Sequence[Drawn], size: int, crop: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random crops (size, channels, crop, crop) and their tumour (size, 1, crop, crop).

    Half are mirrored left to right. Every patient is as likely as any other; half of the crops are
    centred on a tumour pixel.
    """
    images, masks = [], []
    for _ in range(size):
        patient = patients[rng.integers(len(patients))]
        slices, height, width = patient.gtv.shape
        if rng.random() < WITH_TUMOUR and len(patient.tumour_pixels):
            k, row, column = rng.choice(patient.tumour_pixels)
        else:
            k, row, column = (rng.integers(n) for n in (slices, height, width))
        top = int(np.clip(row - crop // 2, 0, height - crop))
        left = int(np.clip(column - crop // 2, 0, width - crop))
        box = (slice(top, top + crop), slice(left, left + crop))
        image, mask = patient.images[k][:, *box], patient.gtv[k][None, *box]
        if rng.random() < 0.5:
            image, mask = image[..., ::-1], mask[..., ::-1]
        images.append(image)
        masks.append(mask)
    return np.stack(images), np.stack(masks).astype(np.float32)


def train_unet(patients: Sequence[Drawn], settings: UNetSettings) -> nn.Module:
    """A U-Net fitted to `patients` by Dice and cross-entropy; the rate falls to 0 along a cosine.

    The same settings and patients give the same network. Raises ValueError without patients, without
    any tumour, or where the crop is larger than the slices.
    """
    if not any(p.gtv.any() for p in patients):
        raise ValueError("no patient to train on has a tumour")
    smallest = min(min(p.gtv.shape[1:]) for p in patients)
    if settings.crop > smallest or settings.crop % SMALLEST_SIDE:
        raise ValueError(
            f"crop: expected a multiple of {SMALLEST_SIDE} up to {smallest}, found {settings.crop}"
        )
    rng = np.random.default_rng(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        unet = build_unet(patients[0].images.shape[1])
    loss = DiceCELoss(sigmoid=True, batch=True)
    optimizer = torch.optim.Adam(unet.parameters(), LEARNING_RATE)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.iterations)
    unet.train()
    for _ in range(settings.iterations):
        images, masks = tumour_batch(patients, settings.batch_size, settings.crop, rng)
        optimizer.zero_grad()
        loss(unet(torch.from_numpy(images)), torch.from_numpy(masks)).backward()
        optimizer.step()
        rate.step()
    return unet.eval()


def draw(unet: nn.Module, images: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The tumour on (slices, channels, h, w) of any size, as (slices, h, w).

    Probability above 0.5, and of that the largest connected part: a tumour is one body.
    """
    height, width = images.shape[-2:]
    with torch.inference_mode():
        logits = in_chunks(lambda part: unet(_padded(part)), torch.from_numpy(np.array(images)))
    drawn = (logits[:, 0, :height, :width] > 0).numpy()
    bodies, count = ndimage.label(drawn)
    return bodies == np.bincount(bodies.ravel())[1:].argmax() + 1 if count else drawn


def _padded(images: Tensor) -> Tensor:
    missing = [-n % SMALLEST_SIDE for n in images.shape[-2:]]
    return functional.pad(images, (0, missing[1], 0, missing[0]))


def agreement(
    drawn: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> Agreement:
    """How well two drawings (slices, h, w) agree in 3-D; `spacing_mm` in their order.

    Raises ValueError where `truth` is empty: there is nothing to agree with.
    """
    if not truth.any():
        raise ValueError("the tumour to compare with is empty")
    if not drawn.any():
        sides = np.array(truth.shape) * np.asarray(spacing_mm)
        return Agreement(0.0, float(np.linalg.norm(sides)))
    pair = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (drawn, truth)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns of a call of its own
        distance = compute_hausdorff_distance(
            *pair, include_background=True, percentile=95, spacing=list(map(float, spacing_mm))
        )
    return Agreement(float(compute_dice(*pair)), float(distance))
