"""Curves of a training."""

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from pgmif.figures.training import training_curves

HISTORY = pd.DataFrame({"iteration": [1, 2], "content": [-0.1, -0.2], "adversarial": [1.0, 1.1],
                        "discriminator": [1.3, 1.2]})
SCORES = pd.DataFrame({"iteration": [1, 2], "q_t1w": [0.5, 0.6], "kept": [False, True]})


@pytest.mark.parametrize(("validation", "titles"), [
    (SCORES, ["content term", "adversarial terms", "validation patients, median"]),
    (SCORES.iloc[:0], ["content term", "adversarial terms"]),
    (pd.DataFrame({"iteration": []}), ["content term", "adversarial terms"]),
])
def test_scores_have_a_panel_where_patients_are_held_out(validation, titles):
    figure = training_curves(HISTORY, validation, "t", "c")
    assert [ax.get_title() for ax in figure.axes] == titles
    assert len(figure.axes[0].lines[0].get_xdata()) == len(HISTORY)
    if len(validation):
        assert figure.axes[2].lines[0].get_ydata().tolist() == [0.5, 0.6]
    plt.close("all")
