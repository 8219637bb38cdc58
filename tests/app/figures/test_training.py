"""Curves of a training."""

import pandas as pd
from matplotlib import pyplot as plt

from pgmif.figures.training import training_curves


def test_curves_without_validation_patients():
    history = pd.DataFrame({"iteration": [1, 2], "content": [-0.1, -0.2], "adversarial": [1.0, 1.1],
                            "discriminator": [1.3, 1.2]})
    training_curves(history, pd.DataFrame({"iteration": []}), "t", "c")
    plt.close("all")
