"""Panels: checkerboards, and methods side by side."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.tidy_tables import NAMES
from matplotlib import pyplot as plt

from pgmif.figures.panels import checkerboard, comparison_figure, registration_figure


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


@pytest.mark.parametrize(("patients", "named"), [(5, 5), (40, 40), (41, 21), (80, 40)])
def test_names_of_many_patients_do_not_run_into_each_other(patients, named):
    table = pd.DataFrame({"subject": [f"s{k}" for k in range(patients)],
                          "mi_before": 0.3, "mi_after": 0.4})
    image = np.zeros((6, 7))
    figure = registration_figure({"s0": (image, image, image)}, table, "c")
    names = [text.get_text() for text in figure.axes[-1].get_xticklabels()]
    assert len(names) == named
    assert names[1] == f"s{math.ceil(patients / 40)}"
    assert len(figure.axes[-1].lines[0].get_xdata()) == patients
    plt.close("all")
