"""Panels: checkerboards, and methods side by side."""

import numpy as np
import pytest
from helpers.tidy_tables import NAMES
from matplotlib import pyplot as plt

from pgmif.figures.panels import checkerboard, comparison_figure


def test_checkerboard_alternates():
    board = checkerboard(np.ones((16, 24)), np.zeros((16, 24)), 8)
    assert board.mean() == 0.5
    assert board[0, 0] != board[0, 3]


@pytest.mark.parametrize("shape", [(40, 30), (25, 50)])
def test_comparison_figure_takes_any_shape_and_a_tumour_at_the_border(shape):
    gtv = np.zeros(shape, bool)
    gtv[:3, :2] = True
    images = {n: np.random.default_rng(0).random(shape) for n in NAMES}
    comparison_figure(images, gtv, "s1", "c")
    plt.close("all")
