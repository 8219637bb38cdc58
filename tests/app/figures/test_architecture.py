"""The picture of the architecture is read off the live model."""

import pytest
import torch
from matplotlib import pyplot as plt

from pgmif.figures.architecture import architecture_figure, layer_table, trace_layers
from pgmif_core.networks.generator import Generator


@pytest.mark.parametrize("modalities", [("T1w", "T2w"), ("T1w", "T2w", "ceT1w")])
def test_architecture_is_read_off_the_live_model(modalities):
    generator = Generator(len(modalities), 8)
    layers = trace_layers(generator, torch.zeros(1, len(modalities), 64, 48))
    assert len(layers) == 3 * len(modalities) + 3
    assert (layers[0].channels, layers[0].height, layers[0].width) == (4, 64, 48)
    assert layers[-1].channels == 1
    table = layer_table(generator, 64)
    assert set(table["network"]) == {"generator", "discriminator"}
    figure = architecture_figure(generator, modalities, "Eq. 2", "title", 64)
    text = " ".join(t.get_text() for t in figure.axes[0].texts)
    assert all(m in text for m in modalities)
    assert "64×64×8" in text
    plt.close("all")
