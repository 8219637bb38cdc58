"""The studies measure what they say, on training patients, and go on where they were stopped."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.trainings import SETTINGS, make_store

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
    from studies.length_figure import SHOWN, length_figures

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


def test_a_seed_that_stops_earlier_moves_nothing():
    """The mean of those that go on is compared with their own mean before."""
    from studies.length import KEYS
    from studies.length_figure import SHOWN, length_figures
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


def test_a_region_is_said_to_be_of_its_commonest_tissue():
    from studies.reference import summary

    rows = pd.DataFrame({
        "choice": "tissue", "window_mm": 10.0, "farthest_mm": 25.0, "slices": [100, 50, 80],
        "purest": [90, 70, 100], "tissue": ["muscle", "fat", "muscle"], "cnr_t1w": 1.0,
    })
    row = summary(rows).iloc[0]
    assert (row["patients"], row["slices"], row["purest"], row["least_pure"]) == (3, 80, 90, 70)
    assert row["tissues"] == "muscle 2; fat 1"


def test_the_region_of_a_phantom_is_measured_against_its_true_tissue():
    from studies.reference import measured

    from pgmif.demonstration import phantom_slices
    from pgmif_core.phantom import PhantomSize, tissue_map

    size = PhantomSize(8, 6.6, 2.4)
    patient = phantom_slices(1, size)
    row = measured(patient, tissue_map(1, patient.grid, size), ("T1w", "T2w"))
    assert row["purest"] > 95
    assert 0 < row["slices"] <= 100


def test_a_mutant_has_one_small_fault_and_nothing_that_is_only_read_is_touched():
    from studies.mutations import mutants_of

    text = (
        '''"""A docstring: 1 < 2."""\n\nLIMIT = 0.5\n\n\ndef f(x: int = 3) -> list[int]:\n'''
        '''    """Not 4 + 4."""\n    if x < LIMIT and not x == 0:\n'''
        '''        raise ValueError(f"{x + 1}")\n'''
        '''    return -x.max() + min(x, 7)  # µ ≤ 1\n'''
    )
    found = list(mutants_of(text))
    assert sorted(m.change for m in found) == sorted([
        "0.5 → 0.75", "3 → 4", "< → <=", "and → or", "not x == 0 → x == 0", "== → !=", "0 → 1",
        "-x.max() → x.max()", "max → min", "+ → -", "min → max", "7 → 8"])
    for mutant in found:
        changed = [k for k, (a, b) in enumerate(zip(text.splitlines(), mutant.text.splitlines(),
                                                    strict=True), 1) if a != b]
        assert changed == [mutant.number]
        compile(mutant.text, "mutant", "exec")


def test_every_module_under_mutation_and_its_tests_are_there(root):
    from studies.mutants import MODULES

    for module, tests in MODULES.items():
        assert (root / module).is_file()
        assert all((root / "tests" / test).exists() for test in tests)


def test_every_mutant_that_changes_nothing_is_one(root):
    from studies.mutants import EQUIVALENT, MODULES
    from studies.mutations import mutants_of

    rows = pd.read_csv(EQUIVALENT, keep_default_na=False)
    assert not rows.duplicated(["module", "line", "change"]).any()
    assert (rows["why"].str.len() > 10).all()
    for module, own in rows.groupby("module"):
        assert module in MODULES
        there = {(m.line, m.change) for m in mutants_of((root / module).read_text())}
        assert set(zip(own["line"], own["change"], strict=True)) <= there


@pytest.mark.slow
def test_a_fault_is_caught_and_what_is_whole_is_not(root):
    from studies.mutants import NoVerdict, verdict
    from studies.mutations import mutants_of

    module = "pgmif_core/evaluation/summary.py"
    text = (root / module).read_text()
    (fault,) = (m for m in mutants_of(text) if m.change == "50 → 51")
    tests = ["core/evaluation/test_summary.py"]
    for changed, said in ((fault.text, "caught"), (text, "survived"), ("1 +", "caught")):
        assert verdict(root, module, fault._replace(text=changed), tests) == said
    with pytest.raises(NoVerdict, match=r"no verdict \(4\)"):
        verdict(root, module, fault, ["core/not_there.py"])


def test_a_verdict_is_remembered_while_code_and_its_own_tests_stay(tmp_path):
    from studies.mutants import state

    names = ("core/test_a.py", "core/test_b.py", "core/conftest.py")
    written = {name: tmp_path / "tests" / name for name in names}
    written["code"] = tmp_path / "pgmif_core" / "a.py"
    for path in written.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    before = state(tmp_path, ["core/test_a.py"])
    of_folder = state(tmp_path, ["core"])
    for name, path in written.items():
        path.write_text("x = 2\n")
        same = state(tmp_path, ["core/test_a.py"]) == before
        assert same == (name == "core/test_b.py"), name
        assert state(tmp_path, ["core"]) != of_folder, name
        path.write_text("x = 1\n")


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


@pytest.mark.slow
def test_calibration_lies_within_15_percent_of_the_papers_inputs(root, published):
    """All 80 as `make study NAME=calibration` left them, some of them measured again."""
    from studies.calibration import input_cnr

    from pgmif.runs.parameter_files import read_parameters

    table = pd.read_csv(root / "figures/phantom/table_calibration.csv").set_index("subject")
    manifest = pd.read_csv(root / "data_manifest.csv").set_index("subject")
    assert list(table.index) == list(manifest.index)
    printed = published.query("metric == 'cnr'").set_index("method")["median"]
    assert table["cnr_t1w"].median() == pytest.approx(printed["t1w"], rel=0.15)
    assert table["cnr_t2w"].median() == pytest.approx(printed["t2w"], rel=0.15)
    seeds = manifest["phantom_seed"].astype(int).to_dict()
    quick = read_parameters(root / "params" / "quick.yaml")
    for subject in (table["cnr_t1w"].idxmin(), table["cnr_t2w"].idxmax(), *table.index[[0, -1]]):
        again = input_cnr(seeds, quick, {}, subject)
        assert again == pytest.approx(table.loc[subject].tolist(), rel=1e-3)
