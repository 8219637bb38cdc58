"""Signals of the phantom's tissues, and where their numbers come from."""

import re

import numpy as np
import pytest

from pgmif_core.phantom.tissues import (
    SEQUENCES,
    enhanced_t1,
    spin_echo_signal,
    tissue_labels,
    tissue_signals,
    tissue_table,
)


def test_every_tissue_number_has_a_source():
    table = tissue_table()
    assert len(table) >= 14
    known = re.compile(
        r"\b(19|20)\d\d\b|assumed|as |water|no signal|effective|calibrated|same review|PMID|definition"
    )
    for column in ("t1_t2_source", "proton_density_source", "agent_fraction_source",
                   "hounsfield_source"):
        assert table[column].map(lambda text: bool(known.search(text))).all()
    # a tissue that is the subject of a claim may not rest on assumption alone
    measured = table.set_index("tissue").loc[["fat", "muscle", "tumour", "lymphoid", "csf"]]
    assert measured["t1_t2_source"].str.contains(r"\b(?:19|20)\d\d\b").all()
    assert (table["t2_ms"] <= table["t1_ms"]).all()


def test_spin_echo_signal_at_the_papers_sequences():
    assert (SEQUENCES["T1w"].repetition_time_ms, SEQUENCES["T1w"].echo_time_ms) == (620, 9.8)
    assert (SEQUENCES["T2w"].repetition_time_ms, SEQUENCES["T2w"].echo_time_ms) == (2500, 74)
    expected = 0.8 * (1 - np.exp(-620 / 1000)) * np.exp(-9.8 / 50)
    assert spin_echo_signal(0.8, 1000, 50, SEQUENCES["T1w"]) == pytest.approx(expected)


def test_contrasts_a_radiologist_expects():
    label = tissue_labels()
    t1w, t2w = (tissue_signals(SEQUENCES[s]) for s in ("T1w", "T2w"))
    assert t1w[label["fat"]] > 0.98 * t1w.max()
    assert all(t2w[label["csf"]] > t2w[label[t]] for t in ("grey_matter", "muscle", "tumour"))
    assert t1w[label["csf"]] < t1w[label["grey_matter"]] < t1w[label["white_matter"]]
    assert t2w[label["tumour"]] > 2 * t2w[label["muscle"]]
    assert t1w[label["tumour"]] < t1w[label["fat"]]
    for dark in ("air", "cortical_bone", "flow_void"):
        assert t1w[label[dark]] < 0.01
        assert t2w[label[dark]] < 0.01


def test_contrast_agent_shortens_t1_by_its_relaxivity():
    # 1/T1 + 4.97 L/(mmol s) · 0.6 mmol/L · 0.32, with T1 = 1 s
    assert enhanced_t1(1000.0, 0.32) == pytest.approx(1000 / (1 + 4.97 * 0.6 * 0.32))
    assert enhanced_t1(1000.0, 0.0) == pytest.approx(1000)
    label = tissue_labels()
    plain, enhanced = (tissue_signals(SEQUENCES[s]) for s in ("T1w", "ceT1w"))
    gain = enhanced / np.maximum(plain, 1e-6)
    assert gain[label["tumour"]] > 1.4
    assert gain[label["mucosa"]] > gain[label["tumour"]] > gain[label["muscle"]] > 1
    assert gain[label["csf"]] == pytest.approx(1)
    assert gain[label["necrosis"]] < 1.15  # not perfused, but its long T1 shows a trace
