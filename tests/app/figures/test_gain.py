"""The figure of what fusion gives names every source as its method row does."""

import pandas as pd

from pgmif.figures.frontier import gain_figure


def test_sources_have_their_own_names_however_many():
    summary = pd.DataFrame({
        "method": ["pgmif", "average", "pgmif_literal"], "label": ["PGMIF", "Direct average", "literal"],
        "cnr": [2.0, 1.0, 9.0], "gain": [0.5, -0.5, 0.0], "cnr_t1w_alone": [0.5, 0.2, 0.0],
        "cnr_t2w_alone": [1.5, 1.5, 0.0], "cnr_cet1w_alone": [1.0, 0.3, 0.0],
    })
    figure = gain_figure(summary, 1.7, "a cohort")
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["all sources", "T1w in every place", "T2w in every place", "ceT1w in every place",
                     "best linear mix, contour known"]
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["PGMIF", "Direct average"]
    assert [line.get_color() for line in ax.lines[:2]] == ["#009E73", "#D55E00"]  # a gain, a loss
    assert [line.get_xdata().tolist() for line in ax.lines[:2]] == [[1.5, 2.0], [1.5, 1.0]]
