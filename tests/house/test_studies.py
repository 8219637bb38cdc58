"""The studies measure what they say, and go on where they were stopped; `length` has its own file."""

import pandas as pd
import pytest


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
