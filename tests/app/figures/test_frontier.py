"""Figures of the frontier and of the standard metrics."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from pgmif.figures.frontier import frontier_figure, metrics_figure


def texts_of(figure):
    return [t.get_text() for t in figure.findobj(plt.Text)]


@pytest.mark.parametrize("patients", [3, 8])
def test_frontier_figure_names_curves_methods_and_winners(patients):
    rng = np.random.default_rng(0)
    names = ["t1w", "t2w", "pgmif", "moi", "someone_elses"]
    measures = pd.DataFrame([
        {"subject": f"s{k}", "method": m, "cnr": rng.normal(1), "q_t1w": rng.random(),
         "q_t2w": rng.random()} for k in range(patients) for m in names
    ])
    trivial = pd.DataFrame([
        {"subject": f"s{k}", "source": s, "family": f, "amount": a, "cnr": 1 - 0.1 * a,
         "q_t1w": 0.5 + 0.1 * a, "q_t2w": 0.46 + 0.1 * a}
        for k in range(patients) for s in ("T1w", "T2w") for f in ("filtered", "stretched")
        for a in (0.0, 1.0, 2.0)
    ])
    standing = pd.DataFrame([
        {"method": m, "against": q, "verdict": "above" if m == "moi" else "below"}
        for m in names for q in ("q_t1w", "q_t2w")
    ])
    texts = texts_of(frontier_figure(measures, trivial, standing, "phantoms"))
    assert texts.count("★") == 2  # one in each panel
    for part in ("PGMIF", "MoI", "someone_elses", "T2w blurred … sharpened", "T1w stretched",
                 "Q against T1w", "Q against T2w"):
        assert part in texts
    assert any(f"{patients} test patients" in t and ("ellipse" in t) == (patients == 8) for t in texts)
    plt.close("all")


def test_metrics_figure_shows_direction_and_values():
    medians = pd.DataFrame({"EN": [6.0, 5.0], "NABF": [0.1, 0.0]}, index=["pgmif", "t2w"])
    texts = texts_of(metrics_figure(medians, "phantoms"))
    for part in ("EN ↑", "NABF ↓", "PGMIF", "T2w", "0.1", "5"):
        assert part in texts
    plt.close("all")
