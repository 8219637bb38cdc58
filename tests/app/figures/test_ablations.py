"""Figures of the ablations name cohort, values and methods."""

import pandas as pd
from helpers.tidy_tables import spread_table
from matplotlib import pyplot as plt

from pgmif.figures.ablations import ablation_figure


def test_figures_name_cohort_values_and_methods():
    table = spread_table()
    sources = pd.DataFrame([{"method": "t2w", "cnr": 1.0, "q_t1w": 0.5, "q_t2w": 0.46}])
    figure = ablation_figure(table, "weight", 1, "phantoms", True, sources)
    texts = [t.get_text() for t in figure.findobj(plt.Text)]
    for part in ("weight", "PGMIF", "GMMCI", "T2w untouched", "tumour CNR", "Q against T1w", "2"):
        assert part in texts
    assert any("phantoms" in t for t in texts)
    plt.close("all")
