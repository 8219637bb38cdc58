"""The aims of PGMIF+: each can be reached and missed."""

import pandas as pd
import pytest

from pgmif.steps.plus_aims import plus_aims

NAMES_OF_AIMS = ("t1w", "t2w", "pgmif", "pgmif_plus", "t2w_standardised")


def aims(cnr=2.4, standardised=1.2, q=(0.7, 0.72), cv=30.0, correlation=0.5, verdict="above",
         margin=0.5, seconds=0.02):
    """PGMIF+ over sources of CNR 1 and 2, with CV 60 and 50 %."""
    summary = pd.DataFrame({
        "method": NAMES_OF_AIMS, "median": (1.0, 2.0, 2.2, cnr, standardised),
        "n": 10, "cv_percent": (60, 50, 40, cv, 9),
    })
    sobel = pd.DataFrame([
        {"reference": r, "method": m, "median": v if m == "pgmif_plus" else 0.5}
        for r, v in zip(("T1w", "T2w"), q, strict=True) for m in NAMES_OF_AIMS
    ])
    standing = pd.DataFrame({
        "method": "pgmif_plus", "against": ("q_t1w", "q_t2w"), "margin": (1.0, margin),
        "verdict": verdict,
    })
    fidelity = pd.DataFrame({"method": ["pgmif_plus"] * 3, "correlation": (0.9, correlation, 0.8)})
    times = pd.Series({"pgmif": 0.03, "pgmif_plus": seconds})
    table = plus_aims(summary, sobel, standing, fidelity, times)
    assert set(table["verdict"]) <= {"reached", "missed"}
    return table.set_index("aim")["verdict"]


def missed(verdicts):
    return [aim for aim, verdict in verdicts.items() if verdict == "missed"]


def test_all_aims_can_be_reached():
    assert len(aims()) == 8
    assert missed(aims()) == []


@pytest.mark.parametrize(("change", "word"), [
    ({"cnr": 2.2}, "better source"), ({"standardised": 9.0}, "control"), ({"q": (0.59, 0.72)}, "T1w"),
    ({"q": (0.7, 0.69)}, "T2w"), ({"cv": 55.0}, "CV"), ({"cv": -5.0}, "CV"),
    ({"correlation": -0.01}, "inverted"), ({"verdict": "not distinguishable"}, "frontier"),
    ({"verdict": "too few patients", "margin": -0.1}, "frontier"), ({"seconds": 0.031}, "seconds"),
])
def test_each_aim_can_be_missed_alone(change, word):
    found = missed(aims(**change))
    assert len(found) == 1
    assert word in found[0]


def test_few_patients_are_judged_by_medians():
    assert missed(aims(verdict="too few patients")) == []
