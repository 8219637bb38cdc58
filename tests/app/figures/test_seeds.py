"""The figure of five seeds: every method, every measure, every seed's median."""

import pandas as pd
from matplotlib import pyplot as plt

from pgmif.figures.seeds import TITLES, seeds_figure


def test_every_seed_is_a_bar_beside_the_patients():
    methods, seeds = ("gmmci", "pgmif"), range(3)
    medians = pd.DataFrame([{"method": m, "seed": s, **dict.fromkeys(TITLES, 1.0 + s)}
                            for m in methods for s in seeds])
    patients = pd.DataFrame([{"method": m, "subject": f"p{k}", **dict.fromkeys(TITLES, float(k))}
                             for m in methods for k in range(4)])
    figure = seeds_figure(medians, patients, "phantoms")
    texts = [t.get_text() for t in figure.findobj(plt.Text)]
    assert {"PGMIF", "GMMCI", *TITLES.values()} <= set(texts)
    assert any("phantoms" in t and "4 test patients" in t and "3 seeds" in t for t in texts)
    for ax in figure.axes:
        bars = [line for line in ax.lines if line.get_marker() == "_"]
        assert [sorted(bar.get_ydata()) for bar in bars] == [[1, 2, 3], [1, 2, 3]]
    plt.close("all")
