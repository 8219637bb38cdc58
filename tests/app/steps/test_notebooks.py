"""Notebooks as papermill's users run them: by number in a fresh folder, then each alone."""

import os
import shutil
import subprocess
import sys

import papermill
import pytest
import yaml

from pgmif.runs.order import STEPS, needed_products

NOTEBOOKS = list(STEPS)


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory):
    """The repository's tracked files, without results."""
    folder = tmp_path_factory.mktemp("by_number") / "pgmif"
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=root,
                            capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, listed):
        if not name.startswith("figures/") and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
    return folder


def executed(clone, name, *options):
    """papermill's answer: a notebook with the smoke profile, started from the folder of notebooks."""
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-f", "params/smoke.yaml",
               "--cwd", "notebooks", f"notebooks/{name}.ipynb", f"{name}_out.ipynb", *options]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"})


def outputs(path):
    cells = yaml.safe_load(path.read_text())["cells"]
    return "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", []))


@pytest.mark.slow
@pytest.mark.xdist_group("by_number")
def test_all_notebooks_run_by_number_with_what_is_there(clone):
    for name in NOTEBOOKS:
        done = executed(clone, name)
        assert done.returncode == 0, f"{name}: {done.stderr[-1500:]}"
    said = outputs(clone / "05_cnr_boxplots_out.ipynb")
    for label in ("GMMCI", "DLMWL", "PGMIF, literal"):  # one training was made
        assert f"left out: {label}, which this run has not made" in said
    assert "papermill notebooks/02_training.ipynb out.ipynb -p method gmmci makes it" in said
    figures = clone / "figures" / "phantom-smoke"
    made = {path.name for path in figures.iterdir()}
    assert {"table_claims.csv", "table_cnr.csv", "figure_9_epsilon.csv"} <= made
    assert "table_claims_over_seeds.csv" in made
    assert "left out: replicate 2" in outputs(clone / "12_claims_over_seeds_out.ipynb")
    assert "gmmci" not in (figures / "table_cnr.csv").read_text()
    claims = (figures / "table_claims.csv").read_text()
    assert "cannot be tested" in claims
    assert "not made in this run: GMMCI, DLMWL" in claims


@pytest.mark.slow
@pytest.mark.xdist_group("by_number")
def test_a_method_trained_later_is_named_until_it_is_fused(clone):
    assert executed(clone, "02_training", "-p", "method", "gmmci").returncode == 0
    done = executed(clone, "05_cnr_boxplots")
    assert done.returncode == 0, done.stderr[-1500:]
    assert "left out: GMMCI, made after the images were fused" in outputs(
        clone / "05_cnr_boxplots_out.ipynb")
    assert executed(clone, "04_baseline_comparison").returncode == 0
    assert executed(clone, "05_cnr_boxplots").returncode == 0
    assert "gmmci" in (clone / "figures" / "phantom-smoke" / "table_cnr.csv").read_text()


@pytest.mark.slow
@pytest.mark.xdist_group("by_number")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_alone_a_notebook_runs_or_says_in_one_sentence_which_comes_before(clone, name):
    done = executed(clone, name, "-p", "run", f"alone-{name[:2]}", "-p", "phantom_train", "1", "-p",
                    "phantom_test", "1")
    if name == "00_cohort":
        assert done.returncode == 0, done.stderr[-1500:]
        return
    maker = next(iter(needed_products(name).values()))
    last = done.stderr.strip().splitlines()[-1]
    assert f"is not there yet: run notebooks/{maker}.ipynb first" in last
    shown = next(o for c in yaml.safe_load((clone / f"{name}_out.ipynb").read_text())["cells"]
                 for o in c.get("outputs", []) if o["output_type"] == "error")
    assert len(shown["traceback"]) == 1  # the sentence, no line of code


@pytest.mark.parametrize("name", [*NOTEBOOKS, "explore"])
def test_papermill_shows_a_type_and_a_meaning_of_every_parameter(root, name):
    found = papermill.inspect_notebook(str(root / "notebooks" / f"{name}.ipynb"))
    assert found
    for parameter in found.values():
        assert parameter["inferred_type_name"] not in (None, "None"), parameter
        assert parameter["help"], parameter
