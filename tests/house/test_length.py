"""The map of training lengths: trained along its lengths, resumed, and drawn, on training patients."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.trainings import SETTINGS, make_store
from studies.length_tables import SHOWN

from pgmif_core.images.store import TrainingSlices
from pgmif_core.training.step import Trainer


def along(store, folder, lengths, stop_after=None):
    """The weights that a trajectory yields at its lengths: of the average and of the last iteration."""
    from studies.length import trajectory

    slices = TrainingSlices(store, ["two"], SETTINGS.crop, SETTINGS.seed)
    trainer = Trainer(SETTINGS, slices.fingerprint)
    found = {}
    for iterations, averaged, generator in trajectory(trainer, slices, folder, lengths):
        found[iterations, averaged] = torch.cat([p.detach().ravel() for p in generator.parameters()])
        generator.train()
        if stop_after == (iterations, averaged):
            break
    return found


def test_a_training_passes_all_its_lengths_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("studies.length.SAVED_EVERY", 1)
    store = make_store(tmp_path / "store")
    whole = along(store, tmp_path / "whole", [1, 3, 6])
    assert list(whole) == [(n, averaged) for n in (1, 3, 6) for averaged in (True, False)]
    assert torch.equal(whole[1, True], whole[1, False])  # of one iteration
    assert not torch.equal(whole[6, True], whole[6, False])
    stopped = along(store, tmp_path / "stopped", [1, 3, 6], stop_after=(3, False))
    assert len(stopped) == 4
    resumed = along(store, tmp_path / "stopped", [6])
    assert list(resumed) == [(6, True), (6, False)]
    for key, weights in resumed.items():
        assert torch.equal(weights, whole[key])


def test_rows_of_all_trainings_are_gathered_and_the_newest_count(tmp_path):
    from studies.length import KEYS, gathered

    rows = pd.DataFrame([
        dict(zip(KEYS, ("pgmif", 1.0, 0.03, "paper", 0, False, n, True), strict=True), cnr=float(n))
        for n in (200, 100)
    ])
    assert gathered(tmp_path / "none.csv", tmp_path).empty
    rows.assign(cnr=0.0).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "trainings" / "a").mkdir(parents=True)
    rows = rows.assign(made_from="55472e11")  # a hash, no number
    rows.iloc[:1].to_csv(tmp_path / "trainings" / "a" / "rows.csv", index=False)
    table = gathered(tmp_path / "table.csv", tmp_path / "trainings")
    assert table["iterations"].tolist() == [100, 200]
    assert table["cnr"].tolist() == [0.0, 200.0]
    assert table["made_from"].iloc[-1] == "55472e11"


def test_a_row_of_the_literal_reading_is_keyed_by_what_it_was_trained_with():
    from argparse import Namespace

    from studies.length import LITERALLY, RECIPES, training_keys

    from pgmif_core.methods.names import LITERAL

    asked = Namespace(seeds=[0, 1], methods=["pgmif", "pgmif_literal"], recipes=["warm-up"],
                      epsilons=[0.1, 0.03], scales=[0.3], anneal=False)
    keys = training_keys(asked)
    literal = [key for key in keys if key["method"] == "pgmif_literal"]
    assert len(keys) == 2 * 2 + 2
    for key in literal:
        assert (key["epsilon"], key["scale"], key["recipe"]) == (LITERAL["epsilon"], 1.0, "paper")
    fixed = RECIPES[LITERALLY["recipe"]]
    assert {name: LITERAL[name] for name in fixed} == fixed


def test_the_map_has_a_column_per_epsilon_and_a_line_per_balance():
    from studies.length import KEYS
    from studies.length_figure import length_figures

    rows = [dict(zip(KEYS, (method, scale, epsilon, recipe, seed, False, n, True), strict=True),
                 patients=10, **dict.fromkeys(SHOWN, scale + seed))
            for method in ("pgmif", "gmmci") for scale in (1.0, 5.0) for epsilon in (0.01, 0.03)
            for recipe in ("paper", "warm-up") for seed in (0, 1) for n in (100, 200)]
    figures = length_figures(pd.DataFrame(rows), {"cnr": 1.5}, "a cohort",
                             {"figure_length_recipes": ["warm-up", "paper"]})
    figure = figures["figure_length"]
    axes = np.reshape(figure.axes, (2 * len(SHOWN), 2))
    assert [ax.get_title() for ax in axes[0]] == ["ε = 0.01, paper", "ε = 0.03, paper"]
    assert [ax.get_title() for ax in axes[len(SHOWN)]] == ["ε = 0.01, warm-up", "ε = 0.03, warm-up"]
    assert len(axes[0, 0].lines) == 2 * 3 + 1  # two seeds and their median per balance; T2w
    assert axes[0, 0].lines[2].get_ydata().tolist() == [1.5, 1.5]
    assert "10 training patients left out, up to 2 seeds" in figure.get_supxlabel()
    others = figures["figure_length_methods"]
    assert [ax.get_title() for ax in others.axes[:1]] == ["GMMCI"]
    own = pd.DataFrame(rows).query("method == 'pgmif'")
    assert list(length_figures(own, {}, "a cohort", {"a": ["paper"], "b": []})) == ["figure_length"]
    third = own[(own["epsilon"] == 0.03) & (own["recipe"] == "paper")].assign(recipe="penalty")
    figures = length_figures(pd.concat([own, third]), {}, "a cohort",
                             {"figure_length_recipes": ["warm-up", "penalty", "paper"], "b": ["paper"]})
    assert set(figures) == {"figure_length", "figure_length_recipes"}
    assert len(figures["figure_length"].axes) == 2 * 2 * len(SHOWN)  # one ε is no map
    columns = figures["figure_length_recipes"].axes[:3]
    assert [ax.get_title() for ax in columns] == ["warm-up", "penalty", "paper"]


def test_a_balance_has_one_colour_whatever_else_was_trained():
    from studies.length_figure import BALANCES, map_figure

    def colours(*scales):
        rows = [{"scale": s, "epsilon": 0.1, "recipe": "paper", "seed": 0, "iterations": n,
                 "patients": 3, "cnr": 1.0, "q_t2w": 0.5, "ssim_t2w": 0.9}
                for s in scales for n in (100, 200)]
        figure = map_figure(pd.DataFrame(rows), {}, "a cohort")
        (legend,) = figure.legends
        return {text.get_text(): line.get_color()
                for text, line in zip(legend.texts, legend.legend_handles, strict=True)}

    assert colours(0.3, 3.0)["3"] == colours(0.1, 0.3, 1.0, 3.0, 10.0)["3"] == BALANCES[3.0]
    assert len(set(BALANCES.values())) == len(BALANCES)
    assert colours(0.3, 7.0)["7"] not in BALANCES.values()


def test_the_phase_diagram_by_hand():
    """Two ε by two balances, two seeds of one cell: CNR doubles from 100 to 200, the rest stays."""
    from studies.length_phases import phase_figure, phase_table
    from studies.length_tables import MEASURES

    def row(recipe, epsilon, scale, seed, iterations, cnr):
        return {"recipe": recipe, "epsilon": epsilon, "scale": scale, "seed": seed,
                "iterations": iterations, **dict.fromkeys(MEASURES, 0.5), "cnr": cnr}

    rows = [row("paper", epsilon, scale, 0, n, n / 100) for epsilon in (0.01, 0.1)
            for scale in (0.3, 1.0) for n in (100, 200)][1:]
    rows += [row("paper", 0.1, 0.3, 1, 200, 4.0), row("paper", 0.1, 0.3, 0, 400, 9.0),
             row("penalty", 0.1, 0.3, 0, 200, 9.0), row("paper", 0.1, 3.0, 0, 100, 9.0)]
    table = phase_table(pd.DataFrame(rows))
    assert set(table["recipe"]) == {"paper"}  # one cell is no map
    assert set(table["iterations"]) == {200}  # 400 was reached by one cell alone
    assert table["since"].tolist()[1:] == [100, 100, 100]
    assert len(table) == 4  # balance 3 ended before
    cells = table.set_index(["epsilon", "scale"])
    assert cells["cnr"].tolist() == [2, 2, 3, 2]
    np.testing.assert_allclose(cells["moved"], [np.nan, 100, 100, 100])  # the second seed is new
    np.testing.assert_allclose(cells.loc[(0.1, 0.3), "apart"], 100 * 2**0.5 / 3)
    assert cells["apart"].isna().sum() == 3
    chosen = {"recipe": "paper", "epsilon": 0.1, "scale": 0.3}
    axes = phase_figure(table, chosen, "a cohort").axes
    assert [t.get_text() for t in axes[0].texts] == ["2.00", "2.00", "3.00", "2.00"]
    assert [t.get_text() for t in axes[-1].texts] == ["47"]
    assert all([p.get_xy() for p in ax.patches] == [(-0.5, 0.5)] for ax in axes)
    other = phase_figure(table, {**chosen, "recipe": "warm-up"}, "a cohort")
    assert not any(ax.patches for ax in other.axes)
    assert phase_table(pd.DataFrame(rows[-2:-1])).empty


def test_seeds_agree_and_training_stands_still_by_hand():
    from studies.length import KEYS
    from studies.length_tables import MEASURES, agreement

    rows = [dict(zip(KEYS, ("pgmif", 1.0, 0.1, "warm-up", seed, False, n, True), strict=True),
                 **dict.fromkeys(MEASURES, value))
            for n, values in ((100, (1.0, 3.0)), (200, (2.02, 1.98)), (400, (2.9, 3.1)))
            for seed, value in enumerate(values)]
    alone = dict(rows[0], recipe="paper")  # one seed says nothing of agreement
    table = agreement(pd.DataFrame([*rows, alone])).query("measure == 'cnr'")
    assert table["iterations"].tolist() == [100, 200, 400]
    assert table["settled"].tolist() == ["no", "yes", "no"]
    np.testing.assert_allclose(table["cv_percent"], [100 / 2**0.5, 2 / 2**0.5, 20 / 3 / 2**0.5])
    np.testing.assert_allclose(table["moved_percent"], [np.nan, 0, 50], atol=1e-9)
    assert table[["lowest", "median", "highest"]].iloc[0].tolist() == [1, 2, 3]


def test_the_page_on_length_says_what_the_map_holds(root):
    """Its sentences are made again from the committed maps."""
    page = " ".join((root / "docs/explanation/length.md").read_text().split())
    maps = {}
    for cohort in ("phantom", "real_heads"):
        table = pd.read_csv(root / "figures" / cohort / "table_length.csv", dtype={"made_from": str})
        maps[cohort] = table[table["averaged"] & ~table["annealed"]]

    def found(recipe, iterations, cohort="phantom", measure="cnr", scale=0.3, method="pgmif"):
        rows = maps[cohort].query(f"method == '{method}' and epsilon == 0.1 and scale == {scale} and "
                                  f"recipe == '{recipe}' and iterations == {iterations}")
        return rows.set_index("seed")[measure]

    def span(*which, between=" to ", **more):
        values = found(*which, **more)
        return f"{values.min():.2f}{between}{values.max():.2f}"

    def of_gmmci(measure):
        return ", ".join(f"{found('warm-up', n, measure=measure, scale=30, method='gmmci')[0]:.2f}"
                         for n in (3000, 7000, 10000, 14000))

    said = [
        f"five seeds on phantoms have CNR {span('fast judges', 3000)} at 3,000",
        f"SSIM {span('fast judges', 3000, measure='ssim_t2w')}: about where two seeds with it",
        f"at 14,000 (CNR {span('warm-up', 14000, between=' and ')}",
        f"two seeds without it have CNR {span('fast judges', 3000, 'real_heads', between=' and ')}, "
        f"four with it {span('warm-up', 3000, 'real_heads')} ",
        f"CNR {of_gmmci('cnr')} at 3,000, 7,000, 10,000, 14,000, SSIM {of_gmmci('ssim_t2w')}.",
    ]
    for scale in (0.3, 1, 3, 10):
        cnr, q, ssim = (found("warm-up", 2000, measure=m, scale=scale)[0] for m in SHOWN)
        said.append(f"{scale:g} gives {cnr:.2f}, {q:.2f}, {ssim:.2f}")
    assert [words for words in said if words not in page] == []


def test_a_seed_that_stops_earlier_moves_nothing():
    """The mean of those that go on is compared with their own mean before."""
    from studies.length import KEYS
    from studies.length_figure import length_figures
    from studies.length_tables import MEASURES, agreement

    values = {100: (1.0, 1.0, 7.0), 200: (1.0, 1.02), 400: (1.5,)}
    rows = [dict(zip(KEYS, ("pgmif", 1.0, 0.1, "paper", seed, False, n, True), strict=True),
                 patients=10, **dict.fromkeys({*MEASURES, *SHOWN}, value))
            for n, own in values.items() for seed, value in enumerate(own)]
    table = agreement(pd.DataFrame(rows)).query("measure == 'cnr'")
    assert table["iterations"].tolist() == [100, 200]
    np.testing.assert_allclose(table["moved_percent"], [np.nan, 1.0], atol=1e-9)
    assert table["settled"].tolist() == ["no", "yes"]
    figure = length_figures(pd.DataFrame(rows), {}, "a cohort", {})["figure_length"]
    lines = figure.axes[0].lines
    assert [line.get_xdata().tolist() for line in lines] == [
        [100, 200, 400], [100, 200], [100], [100]]  # each seed, and the median where all are


@pytest.mark.parametrize(("subjects", "without", "left_out"), [
    (3, (), ["s2"]), (7, (), ["s5", "s6"]), (7, ("s6",), ["s4", "s5"]),
    (6, ("s1", "s2", "s3", "s4", "s5"), ["s0"]),
    (2, (), None), (3, ("s0", "s1", "s2"), None),
])
def test_patients_are_left_out_where_they_can_be_measured_and_never_all(subjects, without, left_out):
    from studies.length import split

    names = [f"s{k}" for k in range(subjects)]
    measurable = {n: SimpleNamespace(reference=np.array([n not in without])) for n in names}
    run = SimpleNamespace(patient=measurable.get, cohort=SimpleNamespace(
        subjects={"train": names}.get, is_phantom=False))
    if left_out is None:
        with pytest.raises(ValueError, match="expected at least 3 training patients"):
            split(run)
    else:
        assert split(run) == ([n for n in names if n not in left_out], left_out)
