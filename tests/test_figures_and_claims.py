import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from pgmif.figures.architecture import architecture_figure, layer_table, trace_layers
from pgmif.figures.boxplots import boxplots
from pgmif.figures.frontier import frontier_figure, metrics_figure
from pgmif.figures.panels import checkerboard, comparison_figure
from pgmif.figures.style import new_figure, save_figure, style_values
from pgmif.figures.training import training_curves
from pgmif.steps.claims import claims_table
from pgmif.steps.cnr_boxplots import summarize_cnr
from pgmif.steps.sobel_analysis import summarize_sobel
from pgmif_core.evaluation.summary import shown_summary
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.generator import Generator

NAMES = ["t1w", "t2w", "pgmif", "gmmci", "dlmwl", "pwa", "moi", "t2w_blurred", "t2w_sharpened"]


def tidy(value, means, n=10, reference=None):
    rng = np.random.default_rng(0)
    rows = [
        {"subject": f"s{k}", "method": m, value: mean + 0.05 * rng.standard_normal()}
        for m, mean in means.items() for k in range(n)
    ]
    table = pd.DataFrame(rows)
    return table.assign(reference=reference) if reference else table


@pytest.fixture
def published(root):
    return pd.read_csv(root / "published" / "results.csv")


def claims(published, pgmif=1.2, blurred=1.0, others=0.8, n=10, seconds=0.02):
    means = dict.fromkeys(NAMES, others) | {"pgmif": pgmif, "t2w_blurred": blurred}
    cnr = summarize_cnr(tidy("cnr", means, n), published)
    sobel = pd.concat([
        summarize_sobel(tidy("q", means, n, r), published, r).assign(reference=r)
        for r in ("T1w", "T2w")
    ])
    return claims_table(cnr, sobel, seconds).set_index("claim")


def test_claims_hold_when_pgmif_wins(published):
    table = claims(published)
    assert (table["verdict"] == "holds").sum() >= len(table) - 1
    assert table.loc["PGMIF has the highest median CNR", "paper"] == "1.21"


def test_claims_fail_when_it_does_not(published):
    table = claims(published, pgmif=0.5, seconds=0.3)
    assert table.loc["PGMIF has the highest median CNR", "verdict"] == "not reproduced"
    assert table.loc["CNR: PGMIF above T2w", "verdict"] == "not reproduced"
    assert table.loc["a pair is fused within 0.1 s", "verdict"] == "not reproduced"


def test_a_control_that_wins_is_named(published):
    table = claims(published, blurred=2.0)
    row = table.loc["PGMIF has the highest median CNR"]
    assert row["verdict"] == "holds"
    assert "beaten by the control T2w blurred" in row["why"]


def test_too_few_patients_cannot_test_a_p_value(published):
    table = claims(published, n=2)
    assert table.loc["CNR: PGMIF above T1w", "verdict"] == "cannot be tested"
    assert "no P below 0.05" in table.loc["CNR: PGMIF above T1w", "why"]


def test_cv_of_mixed_signs_is_not_a_spread(published):
    table = claims(published, others=-0.8)
    row = table.loc["PGMIF has the lowest inter-patient CV of CNR"]
    assert row["verdict"] == "cannot be tested"


@pytest.mark.parametrize(("mean", "sd", "n", "empty"), [
    (1.0, 0.4, 10, False), (1.0, 1.5, 10, False), (1.0, 1.7, 10, True), (0.03, 1.0, 10, True),
    (-1.0, 0.4, 10, True), (1.0, 0.8, 3, False), (1.0, 0.9, 3, True), (1.0, 5.0, 100, False),
])
def test_a_cv_whose_mean_is_near_zero_says_nothing(mean, sd, n, empty):
    cv = pd.DataFrame({"label": ["A", "B"], "n": n, "cv_percent": [100 * sd / mean, 30.0],
                       "cv_low": [-816239.0, 20.0], "cv_high": [1.0, 40.0]})
    shown, note = shown_summary(cv)
    assert shown["cv_percent"].isna().tolist() == [empty, False]
    assert shown["cv_low"].isna().tolist() == [empty, False]
    assert ("A" in note.split() or "A." in note.split()) is empty
    assert "B" not in note


def test_summary_stands_beside_the_printed_numbers(published):
    summary = summarize_cnr(tidy("cnr", dict.fromkeys(NAMES, 1.0)), published).set_index("method")
    assert summary.loc["pgmif", "paper_median"] == 1.208
    assert summary.loc["t1w", "paper_cv_percent"] == 58.6
    assert np.isnan(summary.loc["t2w_blurred", "paper_median"])
    assert np.isnan(summary.loc["pgmif", "p_versus_pgmif"])


# typed a second time from the Results, so that one slip of the hand shows
PRINTED = {
    ("cnr", ""): {
        "pgmif": (1.208, 1.175, 1.381, 31.4), "t1w": (1.044, 0.957, 1.042, 58.6),
        "t2w": (1.111, 1.023, 1.182, 43.9), "gmmci": (0.967, 0.795, 0.982, 36.8),
        "dlmwl": (0.883, 0.832, 0.943, 52.1), "pwa": (0.875, 0.806, 0.972, 42.6),
        "moi": (0.863, 0.823, 0.991, 62.3),
    },
    ("sobel", "T1w"): {
        "pgmif": (0.594, 0.579, 0.607), "gmmci": (0.491, 0.458, 0.507),
        "dlmwl": (0.292, 0.248, 0.317), "pwa": (0.423, 0.383, 0.455), "moi": (0.437, 0.406, 0.479),
    },
    ("sobel", "T2w"): {
        "pgmif": (0.692, 0.651, 0.718), "gmmci": (0.495, 0.487, 0.533),
        "dlmwl": (0.191, 0.179, 0.243), "pwa": (0.448, 0.414, 0.463), "moi": (0.540, 0.521, 0.636),
    },
}


@pytest.mark.parametrize("key", PRINTED)
def test_published_numbers_are_the_printed_ones(published, key):
    assert len(published) == 17
    rows = published.fillna({"reference": ""}).set_index(["metric", "reference"]).loc[key]
    columns = ["median", "q1", "q3", *(["cv_percent"] if key[0] == "cnr" else [])]
    found = {r["method"]: tuple(r[c] for c in columns) for _, r in rows.iterrows()}
    assert found == PRINTED[key]


def test_save_figure_writes_raster_vector_and_numbers(tmp_path):
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    path = save_figure(figure, tmp_path, "x", pd.DataFrame({"a": [1]}), dpi=50)
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "x.pdf").read_bytes()[:4] == b"%PDF"
    assert (tmp_path / "x.csv").read_text() == "a\n1\n"
    assert len(list(tmp_path.iterdir())) == 3
    plt.close("all")


def test_boxplots_name_the_cohort_and_leave_the_literal_start_out(published):
    table = tidy("cnr", dict.fromkeys([*NAMES, "pgmif_literal"], 1.0))
    figure = boxplots(table, ["cnr"], [published.query("metric == 'cnr'")], ["CNR"], "cohort X")
    labels = [t.get_text().replace("\n", " ") for t in figure.axes[0].get_xticklabels()]
    assert labels == [METHODS[n].label for n in METHODS if n in NAMES]
    assert "cohort X: 10 test patients" in figure.get_supxlabel()
    plt.close("all")


def test_curves_without_validation_patients():
    history = pd.DataFrame({"iteration": [1, 2], "content": [-0.1, -0.2], "adversarial": [1.0, 1.1],
                            "discriminator": [1.3, 1.2]})
    training_curves(history, pd.DataFrame({"iteration": []}), "t", "c")
    plt.close("all")


@pytest.mark.parametrize("modalities", [("T1w", "T2w"), ("T1w", "T2w", "ceT1w")])
def test_architecture_is_read_off_the_live_model(modalities):
    generator = Generator(len(modalities), 8)
    layers = trace_layers(generator, torch.zeros(1, len(modalities), 64, 48))
    assert len(layers) == 3 * len(modalities) + 3
    assert (layers[0].channels, layers[0].height, layers[0].width) == (4, 64, 48)
    assert layers[-1].channels == 1
    table = layer_table(generator, 64)
    assert set(table["network"]) == {"generator", "discriminator"}
    figure = architecture_figure(generator, modalities, "Eq. 2", "title", 64)
    text = " ".join(t.get_text() for t in figure.axes[0].texts)
    assert all(m in text for m in modalities)
    assert "64×64×8" in text
    plt.close("all")


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


def test_figures_show_once_under_any_backend():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figure, axes = new_figure(2, 2)
    axes[0, 0].plot([0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == before, "pyplot, and so a notebook's backend, knows nothing of it"


def test_a_style_file_of_ones_own_goes_over_ours(tmp_path):
    style = tmp_path / "journal.mplstyle"
    style.write_text("# mine\nfont.size: 11\naxes.spines.top: True\n")
    values, ours = style_values(str(style)), style_values()
    assert values["font.size"] == 11
    assert values["axes.spines.top"]
    assert values["axes.titlesize"] == ours["axes.titlesize"]
    assert ours["font.size"] == 8
    with pytest.raises(ValueError, match="expected a matplotlib style file, found none"):
        style_values(str(tmp_path / "gone.mplstyle"))
    style.write_text("font.sise: 11\n")
    with pytest.raises(ValueError, match=r"does not know font\.sise"):
        style_values(str(style))
