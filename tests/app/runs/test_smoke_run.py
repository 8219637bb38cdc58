"""One finished run of the smoke profile: what it holds, and what is made again where it is missing."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers.pipelines import FIGURES, of_the_smoke_run, run

from pgmif.report import write_report
from pgmif.runs.order import STEPS
from pgmif_core.metrics.standard import FUSION_METRICS


@pytest.mark.slow
@pytest.mark.xdist_group("smoke")
def test_evidence_notebooks_of_a_smoke_run(root, monkeypatch):
    from helpers.commands import main

    monkeypatch.chdir(root)
    made = root / "results" / "phantom-smoke"
    targets = ["08_delineation/separation.csv", "09_ablations/window.csv",
               "12_claims_over_seeds/claims.csv", "10_claims/claims.csv"]
    arguments = ["reproduce", "--profile", "smoke", "--set", "ablation_values=[3, 4]"]
    files = [f"results/phantom-smoke/{t}" for t in targets]
    assert main([*arguments, "--", "--cores", "1", *files]) == 0
    separation = pd.read_csv(made / targets[0])
    assert {"t1w", "t2w", "pgmif", "poisson"} <= set(separation["method"])
    assert separation["separability"].between(0.5, 1).all()
    figures = root / "figures" / "phantom-smoke"
    for name in ("figure_8_separation", "figure_8_unet", "figure_9_window", "figure_12_seeds",
                 "table_claims_over_seeds"):
        assert (figures / f"{name}.png").stat().st_size > 3000
    spread = pd.read_csv(figures / "table_seed_spread.csv")
    assert (spread["seeds"] == 5).all()
    assert set(spread["method"]) == {"pgmif", "pgmif_plus", "gmmci", "dlmwl", "pgmif_literal"}
    own = pd.read_csv(made / "10_claims" / "claims.csv").set_index("claim")
    over = pd.read_csv(made / targets[2]).set_index("claim")
    assert list(over.index) == list(own.index)
    decides = own["value"].notna()
    assert (over["lowest"] <= own["value"] * 1.001)[decides].all()
    assert (over["highest"] >= own["value"] * 0.999)[decides].all()
    drawings = pd.read_csv(made / "08_delineation" / "unet.csv")
    assert {"t1w", "t2w", "T1w + T2w", "pgmif", "pgmif_plus", "t2w_blurred"} <= set(drawings["method"])
    assert drawings.groupby("method").size().nunique() == 1
    assert drawings["dice"].between(0, 1).all()
    kept = {p.stem for p in (made / "08_delineation" / "unet").glob("*.json")} - {"provenance"}
    assert kept == {name.replace(" + ", "_") for name in drawings["method"]}


@of_the_smoke_run
@pytest.mark.slow
def test_smoke_makes_every_figure_and_table(root, smoke):
    for name in FIGURES:
        for suffix in (".png", ".pdf"):
            assert (root / "figures" / "phantom-smoke" / (name + suffix)).stat().st_size > 3000
    claims = pd.read_csv(smoke / "10_claims" / "claims.csv")
    assert set(claims["verdict"]) <= {"holds", "not reproduced", "cannot be tested"}
    label = "synthetic phantom cohort, smoke profile: hardly trained"
    assert (claims["cohort"] == f"{label}, one seed (0)").all()
    provenance = json.loads((smoke / "provenance.json").read_text())
    steps = {"00_cohort", "02_training/pgmif", "06_sobel_analysis", "07_frontier"}
    assert steps <= provenance.keys()
    standing = pd.read_csv(smoke / "07_frontier" / "standing.csv")
    assert {"t1w", "t2w", "pgmif", "poisson", "wavelet"} <= set(standing["method"])
    standard = pd.read_csv(smoke / "07_frontier" / "fusion_metrics.csv")
    assert set(standard["metric"]) == set(FUSION_METRICS)
    assert standard["value"].notna().all()
    fused = sorted(p.name for p in (smoke / "04_baseline_comparison").glob("*_desc-pgmif_T2w.*"))
    assert len(fused) == 4


@of_the_smoke_run
@pytest.mark.slow
def test_executed_notebooks_show_their_figures_once(root, smoke):
    shown = {}
    for path in (smoke / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        shown[path.stem] = [
            sum("image/png" in o.get("data", {}) for o in c.get("outputs", [])) for c in cells
        ]
    # further seeds draw nothing: 12 lays them side by side
    wanted = {stem: int(not stem.startswith("11_seeds")) for stem in shown}
    assert {stem: max(counts) for stem, counts in shown.items()} == wanted


@of_the_smoke_run
@pytest.mark.slow
def test_the_report_of_a_real_run(root, smoke):
    page = write_report(root, smoke.name)
    text = page.read_text()
    assert "hardly trained" in text, "the page names the profile's label"
    executed = {p.stem for p in (smoke / "notebooks").glob("*.ipynb")
                if p.stem.startswith(tuple(STEPS))}  # not those of an older numbering
    assert {p.stem for p in (page.parent / "notebooks").glob("*.html")} == executed
    assert len(list((page.parent / "qc").glob("*.png"))) == 5


@of_the_smoke_run
@pytest.mark.slow
def test_a_second_run_does_nothing_and_a_plot_parameter_reruns_its_plots(root, smoke):
    again = run(root, "--profile", "smoke")
    assert "Nothing to be done" in again.stdout
    plan = run(root, "--profile", "smoke", "--set", "points=false",
               "--", "--dry-run", "--quiet", "progress")
    rules = set(re.findall(r"^rule (\w+):", plan.stdout + plan.stderr, re.MULTILINE))
    assert rules - {"all"} == {"cnr_boxplots", "sobel_analysis", "frontier", "claims"}, plan.stdout


@of_the_smoke_run
@pytest.mark.slow
def test_a_deleted_figure_is_made_again(root, smoke):
    figure = root / "figures" / "phantom-smoke" / "table_claims.png"
    figure.unlink()
    again = run(root, "--profile", "smoke")
    executed = smoke / "notebooks" / "10_claims.ipynb"
    assert again.returncode == 0, again.stdout + again.stderr + executed.read_text()[-6000:]
    assert figure.exists()


@of_the_smoke_run
@pytest.mark.slow
def test_fused_volumes_are_kept_and_only_missing_ones_made(in_root, smoke):
    from pgmif.runs.parameter_files import read_parameters
    from pgmif.runs.run import open_run
    from pgmif.steps.baseline_comparison import fuse_cohort

    folder = smoke / "04_baseline_comparison"
    volumes = sorted(folder.glob("*.nii"))
    volumes[0].unlink()
    times = {v: v.stat().st_mtime_ns for v in volumes[1:]}
    table = fuse_cohort(open_run(read_parameters(in_root / "params" / "smoke.yaml")))
    assert volumes[0].exists()
    assert times == {v: v.stat().st_mtime_ns for v in volumes[1:]}
    pd.testing.assert_frame_equal(table, pd.read_csv(folder / "fused.csv"), rtol=1e-4)


@of_the_smoke_run
@pytest.mark.slow
def test_images_of_another_program_join_every_table(root, smoke, tmp_path):
    slices = smoke / "01_preprocessing" / "slices"
    for path in slices.glob("*_sources.npy"):
        sources = np.load(path)
        np.save(tmp_path / path.name.replace("_sources", ""), sources.min(axis=1))
    name = "outside-test"
    try:
        shutil.copytree(smoke, root / "results" / name)
        (root / "results" / name / "parameters.yaml").unlink()
        done = run(root, "--profile", "smoke", "--set", f"run={name}", "--set",
                   f"outside_methods={{darkest: {tmp_path}}}", "--", "--until", "frontier")
        assert done.returncode == 0, done.stdout + done.stderr
        results = root / "results" / name
        cnr = pd.read_csv(results / "05_cnr_boxplots" / "cnr.csv")
        cnr = cnr.set_index(["subject", "method"])["cnr"].sort_index()
        subject = cnr.index[0][0]
        masks = [np.load(slices / f"{subject}_{m}.npy") for m in ("gtv", "reference")]
        darkest = np.load(tmp_path / f"{subject}.npy")
        inside, around = (darkest[m] for m in masks)
        expected = (inside.mean() - around.mean()) / around.std()
        assert cnr[subject, "darkest"] == pytest.approx(expected, rel=1e-4)
        for table in ("06_sobel_analysis/sobel.csv", "07_frontier/standing.csv",
                      "07_frontier/fusion_metrics.csv", "04_baseline_comparison/fused.csv"):
            assert "darkest" in set(pd.read_csv(results / table)["method"]), table
        for figure in ("figure_3_baselines", "figure_5a_cnr", "figure_7_frontier"):
            assert (root / "figures" / name / f"{figure}.png").exists()
    finally:
        for folder in ("results", "figures"):
            shutil.rmtree(root / folder / name, ignore_errors=True)


@of_the_smoke_run
@pytest.mark.slow
def test_bare_papermill(root, smoke, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "notebooks/05_cnr_boxplots.ipynb",
         str(tmp_path / "executed.ipynb"), "-f", "params/smoke.yaml"],
        cwd=root, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "figure_5a" in (tmp_path / "executed.ipynb").read_text()
