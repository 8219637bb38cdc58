"""Figures 1 and 2 of the paper, drawn from the live network by forward hooks."""

from typing import NamedTuple

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from pgmif.figures.colours import DECODER_BOX, ENCODER_BOX, INPUT_BOX, JUDGE_BOX, LAST_BOX, LINE
from pgmif.figures.style import PAGE_INCHES, PageFigure, in_style
from pgmif_core.networks.generator import Generator, PatchDiscriminator


class Layer(NamedTuple):
    """A convolution that ran: its name, output channels, height and width, kernel and stride."""

    name: str
    channels: int
    height: int
    width: int
    kernel: int
    stride: int
    parameters: int


def trace_layers(network: nn.Module, *inputs: torch.Tensor) -> list[Layer]:
    """Convolutions of a network in the order in which they run on `inputs`."""
    layers: list[Layer] = []

    def hook(name: str):
        def note(module: nn.Conv2d, _, output: torch.Tensor) -> None:
            _, channels, height, width = output.shape
            count = sum(p.numel() for p in module.parameters())
            layers.append(Layer(name, channels, height, width, module.kernel_size[0],
                                module.stride[0], count))
        return note

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in network.named_modules() if isinstance(module, nn.Conv2d)
    ]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(*inputs)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return layers


def layer_table(generator: Generator, size: int) -> pd.DataFrame:
    """All convolutions of the generator and of one discriminator on size×size slices."""
    modalities = generator.settings["modalities"]
    parts = (
        ("generator", trace_layers(generator, torch.zeros(1, modalities, size, size))),
        ("discriminator", trace_layers(PatchDiscriminator(), torch.zeros(1, 1, size, size))),
    )
    return pd.DataFrame([{"network": part, **layer._asdict()} for part, ls in parts for layer in ls])


def _box(ax, x: float, y: float, text: str, colour: str, width: float = 1.5) -> None:
    ax.add_patch(FancyBboxPatch((x - width / 2, y - 0.36), width, 0.72, facecolor=colour,
                                boxstyle="round,pad=0.03", edgecolor=LINE, linewidth=0.7))
    ax.text(x, y, text, ha="center", va="center", fontsize=5.9, linespacing=1.2)


def _arrow(ax, start: tuple[float, float], end: tuple[float, float], **style) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "linewidth": 0.8,
                                            "color": LINE, "shrinkA": 0, "shrinkB": 0, **style})


def _size(row: pd.Series) -> str:
    return f"{row['height']}×{row['width']}×{row['channels']}"


@in_style
def architecture_figure(
    generator: Generator, modalities: tuple[str, ...], content: str, title: str, size: int = 192
) -> Figure:
    """Draw encoders, decoder and discriminators with the layer sizes that actually ran."""
    table = layer_table(generator, size)
    encoders = [table[table["name"].str.startswith(f"encoders.{m}.")] for m in range(len(modalities))]
    decoder = table[table["name"].str.startswith("decoder.")]
    judge = table[table["network"] == "discriminator"]
    count = len(modalities)
    figure = PageFigure(figsize=(PAGE_INCHES, 0.62 * count + 0.75))
    ax = figure.add_axes((0, 0, 1, 0.9))
    ax.set_xlim(-0.9, 18.1)
    ax.set_ylim(-1.5, 1.6 * count - 0.9)
    ax.axis("off")
    middle = 0.8 * (count - 1)
    for m, modality in enumerate(modalities):
        y = 1.6 * (count - 1 - m)
        _box(ax, 0, y, f"{modality}\n{size}×{size}×1", INPUT_BOX, 1.3)
        x = 0.0
        for _, row in encoders[m].iterrows():
            down = f"\nstride {row['stride']}" if row["stride"] > 1 else ""
            _arrow(ax, (x + 0.72 + 0.08 * (x > 0), y), (x + 1.17, y))
            x += 1.95
            _box(ax, x, y, f"conv 3×3{down}\n{_size(row)}", ENCODER_BOX)
        _arrow(ax, (x + 0.8, y), (8.0, middle), connectionstyle="arc3,rad=0")
        _arrow(ax, (1.95, y + 0.42), (10.65, middle + 0.42), linestyle="--",
               connectionstyle=f"arc3,rad={-0.18 if y >= middle else -0.12}", linewidth=0.5)
        _box(ax, 17.0, y, f"discriminator\n{modality}, {len(judge)} convs\n"
             f"{judge.iloc[-1]['height']}×{judge.iloc[-1]['width']} patches", JUDGE_BOX, 1.75)
        _arrow(ax, (15.2, middle), (16.05, y))
    x = 8.75
    for k, (_, row) in enumerate(decoder.iterrows()):
        last = k == len(decoder) - 1
        upsample = "\nthen ×2" if k == 0 else ""
        _box(ax, x, middle, f"conv 3×3{upsample}\n{_size(row)}", LAST_BOX if last else DECODER_BOX)
        if not last:
            _arrow(ax, (x + 0.8, middle), (x + 1.12, middle))
        x += 1.9
    start = generator.settings["start"]
    formula = "sigmoid(logit(mean of sources) + decoder)" if start == "mean" else "sigmoid(decoder)"
    _box(ax, x, middle, f"fused\n{size}×{size}×1", INPUT_BOX, 1.3)
    _arrow(ax, (x - 1.9 + 0.8, middle), (x - 0.72, middle))
    parameters = sum(p.numel() for p in generator.parameters())
    ax.text(8.6, -1.2, f"fused = {formula};   content term: {content}\nevery convolution but the last "
            f"is followed by batch norm and ReLU; dashed: skip connection; {parameters:,} parameters",
            ha="center", va="center", fontsize=6.3)
    figure.suptitle(title, fontsize=9, y=0.99)
    return figure
