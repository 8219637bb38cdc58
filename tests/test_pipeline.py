"""The command behind `make reproduce`: what it refuses, what it says, what it runs again."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from dicoms import into_air

from pgmif.cli.reproduce import main
from pgmif.report import write_report
from pgmif.runs.code_of import reached
from pgmif.runs.notebooks import (
    cells_not_executed,
    execute_notebook,
)
from pgmif.runs.staleness import declared_parameters
from pgmif_core.files import taken
from pgmif_core.images.volumes import read_image, write_image
from pgmif_core.metrics.standard import FUSION_METRICS


@pytest.fixture
def in_root(root, monkeypatch):
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def patients(tmp_path, phantom):
    """A folder with one training and one test patient and a good manifest."""
    for subject in ("a", "b"):
        for column in ("T1w", "T2w", "gtv"):
            write_image(getattr(phantom, column), tmp_path / f"{subject}_{column}.nii.gz")
    table = pd.DataFrame({
        "subject": ["a", "b"], "split": ["train", "test"],
        **{c: [f"{s}_{c}.nii.gz" for s in "ab"] for c in ("T1w", "T2w", "gtv")},
        "source": "test", "license": "CC0-1.0",
    })
    table.to_csv(tmp_path / "m.csv", index=False)
    return tmp_path


def break_manifest(pattern, replacement):
    def change(folder):
        path = folder / "m.csv"
        text = re.sub(pattern, replacement, path.read_text(), flags=re.MULTILINE)
        assert text != path.read_text()
        path.write_text(text)
    return change


def break_file(name, action):
    return lambda folder: action(folder / name)


def zeros(path):
    image = sitk.ReadImage(str(path))
    write_image(image * 0, path)


def add_nan(path, value=np.nan):
    voxels = sitk.GetArrayFromImage(image := sitk.ReadImage(str(path)))
    voxels[0, 0, 0] = value
    changed = sitk.GetImageFromArray(voxels)
    changed.CopyInformation(image)
    write_image(changed, path)


def move_away(path):
    image = sitk.ReadImage(str(path))
    image.SetOrigin((2000.0, 0.0, 0.0))
    write_image(image, path)


def four_dimensional(path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.float32), np.eye(4)), path)


def singular(path):
    image = nibabel.load(path)
    image.set_sform(np.diag([0.0, 1, 1, 1]), 1)
    image.header["qform_code"] = 0
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(dtype=np.float32), None, image.header), path)


def add_infinity(path):
    add_nan(path, np.inf)


def to_directory(path):
    path.unlink()
    path.mkdir()


def beside_the_head(path):
    write_image(into_air(sitk.ReadImage(str(path))), path)


BAD = {
    "missing file": (break_file("a_T1w.nii.gz", os.unlink), "expected a file"),
    "directory": (break_file("a_T1w.nii.gz", to_directory), "found a directory"),
    "text file": (break_file("a_T1w.nii.gz", lambda p: p.write_text("hello")), "readable NIfTI"),
    "truncated": (
        break_file("a_T1w.nii.gz", lambda p: p.write_bytes(p.read_bytes()[:2000])), "truncated"),
    "4-D": (break_file("a_T2w.nii.gz", four_dimensional), "3-D volume"),
    "singular affine": (break_file("a_T2w.nii.gz", singular), "invertible affine"),
    "infinity": (break_file("a_T2w.nii.gz", add_infinity), "finite intensities"),
    "missing column": (break_manifest("license", "note"), "column 'license' is missing"),
    "extra column": (break_manifest("license", "license,age"), "unknown column 'age'"),
    "column twice": (break_manifest("T2w,gtv", "T1w,gtv"), "column 'T1w' appears twice"),
    "one modality": (break_manifest("T1w,T2w,", "PDw,T2w,"), "one modality cannot be fused"),
    "shared file": (break_manifest("b_T1w", "a_T1w"), "share the file"),
    "nan": (break_file("a_T1w.nii.gz", add_nan), "finite intensities"),
    "empty gtv": (break_file("b_gtv.nii.gz", zeros), "empty mask"),
    "gtv elsewhere": (break_file("b_gtv.nii.gz", move_away), "outside the T2w volume"),
    "gtv in the air": (break_file("b_gtv.nii.gz", beside_the_head), "in the air around the head"),
    "no overlap": (break_file("b_T1w.nii.gz", move_away), "do not overlap in space"),
    "duplicate": (break_manifest("^(a,.*)$", r"\1\n\1"), "appears 2 times"),
    "both splits": (break_manifest("^b,", "a,"), "is in both splits"),
    "misspelt column": (break_manifest("T2w,gtv", "T2W,gtv"), "did you mean 'T2w'"),
    "no test patient": (break_manifest(",test,b", ",train,b"), "at least one test patient"),
    "outside": (break_manifest("a_T1w", "../a_T1w"), "leaves the manifest's folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_exit_code_2(in_root, patients, capsys, name):
    change, message = BAD[name]
    change(patients)
    def everything():
        made = [p for f in ("results", "figures") for p in (in_root / f).glob("*/*")
                if p.parent.name not in ("test-taken", "test-locked")]  # other tests' folders
        return sorted(patients.rglob("*")), sorted(made)

    before = everything()
    assert main(["reproduce", "--profile", "smoke", "--manifest", str(patients / "m.csv")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "nothing was started" in said
    assert str(patients) in said  # the manifest or the file that is meant
    assert everything() == before


@pytest.mark.parametrize(("arguments", "message"), [
    (["--set", "epsilonn=0.1"], "did you mean 'epsilon'"),
    (["--set", "epsilon='1e-3'"], "write 1.0e-3"),
    (["--set", "epsilon"], "expects name=value"),
    (["--profile", "slow"], "known profiles"),
    (["--set", "gradient_weights=[1.0]"], "2 to 2 weights"),
    (["--set", "gradient_weights=[1.0,8.0,1.0]"], "2 to 2 weights"),
    (["--manifest", "nowhere.csv"], "found none"),
])
def test_bad_parameters_are_refused_with_exit_code_2(in_root, capsys, arguments, message):
    assert main(["reproduce", "--profile", "smoke", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_another_manifest_does_not_take_over_a_run(in_root, patients, capsys):
    base = in_root / "results" / "test-taken"
    base.mkdir(parents=True)
    try:
        (base / "parameters.yaml").write_text("manifest: data_manifest.csv\n")
        arguments = ["--manifest", str(patients / "m.csv"), "--set", "run=test-taken"]
        assert main(["reproduce", "--profile", "smoke", *arguments]) == 2
        assert "was made from data_manifest.csv" in capsys.readouterr().err
        assert [p.name for p in base.iterdir()] == ["parameters.yaml"]
    finally:
        shutil.rmtree(base)


def test_two_processes_never_make_one_run_together(in_root, patients, capsys):
    base = in_root / "results" / "test-locked"
    arguments = ["reproduce", "--profile", "smoke", "--manifest", str(patients / "m.csv"),
                 "--set", "run=test-locked", "--", "--dry-run"]
    try:
        with taken(base) as descriptor:
            child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
        # the first process is gone, its Snakemake is not
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert f"results/test-locked is being made by process {os.getpid()}; nothing was started" in said
        assert [p.name for p in base.iterdir()] == [".lock"]
        child.kill()
        child.wait()
        assert main(arguments) == 0
    finally:
        child.kill()
        shutil.rmtree(base)


def test_the_command_exits_with_2_in_a_shell(root):
    done = subprocess.run(
        [sys.executable, "-m", "pgmif.cli.reproduce", "reproduce", "--set", "x=1"],
        cwd=root, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 2


def test_declared_parameters_are_those_of_the_cell(root):
    config = {"profile": "smoke", "points": False, "iterations": 3, "method": "pgmif"}
    assert declared_parameters(str(root / "notebooks/05_cnr_boxplots.ipynb"), config) == {
        "profile": "smoke", "points": False,
    }


def test_a_notebook_depends_on_all_that_it_imports(in_root):
    names = {path.stem for path in reached(in_root / "notebooks/06_sobel_analysis.ipynb")}
    assert {"paper", "gradients", "style"} <= names
    names = {path.stem for path in reached(in_root / "notebooks/00_cohort.ipynb")}
    assert "tissues" in names
    assert "training" not in names


def test_a_failing_notebook_is_kept_and_named(in_root, tmp_path, capsys):
    output = tmp_path / "out.ipynb"
    assert execute_notebook("05_cnr_boxplots", output, {"pointz": True}) == 1
    said = capsys.readouterr().err
    for part in ("05_cnr_boxplots failed in cell", "did you mean 'points'", str(output),
                 "papermill notebooks/05_cnr_boxplots.ipynb", "pointz: true"):
        assert part in said
    cells = json.loads(output.read_text())["cells"]
    assert any(o["output_type"] == "error" for c in cells for o in c.get("outputs", []))


def test_a_cell_that_the_kernel_skipped_is_no_success(in_root, tmp_path, capsys, monkeypatch):
    def cell(source, count, kind="code"):
        return {"cell_type": kind, "source": source, "execution_count": count}

    notebook = {"cells": [cell("# text", None, "markdown"), cell("x = 1", 1), cell("", None)]}
    assert cells_not_executed(notebook) == []
    notebook["cells"].append(cell("write()", None))
    assert cells_not_executed(notebook) == [3]
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: notebook)
    assert execute_notebook("05_cnr_boxplots", tmp_path / "out.ipynb", {}) == 1
    assert "found none of [3] executed" in capsys.readouterr().err


def test_a_running_notebook_says_how_far_it_is(in_root, tmp_path, capsys, monkeypatch):
    def talks(*_, **__):
        log = logging.getLogger("papermill")
        for text in ("Executing Cell 3" + "-" * 40, "a table\nof numbers",
                     "  4 of 30 patients (s), 2 s\n", "epoch   2  iteration    40  content -1.2\n"):
            log.info(text)
        return {"cells": []}

    monkeypatch.setattr("papermill.execute_notebook", talks)
    assert execute_notebook("05_cnr_boxplots", tmp_path / "out.ipynb", {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:-1] == ["out: 4 of 30 patients (s), 2 s", "out: epoch 2 iteration 40 content -1.2"]


def run(root, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pgmif.cli.reproduce", "reproduce", *arguments],
        cwd=root, capture_output=True, text=True, check=False,
    )


of_the_smoke_run = pytest.mark.xdist_group("smoke")  # one process: they read and write one folder


@pytest.fixture(scope="session")
def smoke(root):
    done = run(root, "--profile", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "results" / "phantom-smoke"


FIGURES = (
    "figure_0_phantoms", "figure_1_pgmif_architecture", "figure_2_dlmwl_architecture",
    "figure_3_baselines", "figure_4_patients", "figure_5a_cnr", "figure_5b_sobel", "figure_7_frontier",
    "figure_7_metrics", "figure_10_ideas", "figure_10_steps", "table_claims",
)


@of_the_smoke_run
@pytest.mark.slow
def test_smoke_makes_every_figure_and_table(root, smoke):
    for name in FIGURES:
        for suffix in (".png", ".pdf"):
            assert (root / "figures" / "phantom-smoke" / (name + suffix)).stat().st_size > 3000
    claims = pd.read_csv(smoke / "10_claims" / "claims.csv")
    assert set(claims["verdict"]) <= {"holds", "not reproduced", "cannot be tested"}
    label = "synthetic phantom cohort, smoke profile: hardly trained"
    assert (claims["cohort"] == label).all()
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
    assert all(max(counts) == 1 for counts in shown.values()), shown


@of_the_smoke_run
@pytest.mark.slow
def test_the_report_of_a_real_run(root, smoke):
    page = write_report(root, smoke.name)
    text = page.read_text()
    assert "hardly trained" in text, "the page names the profile's label"
    assert len(list((page.parent / "notebooks").glob("*.html"))) == len(
        list((smoke / "notebooks").glob("*.ipynb")))
    assert len(list((page.parent / "qc").glob("*.png"))) == 5


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(root):
    base = root / "results" / "interrupted"
    shutil.rmtree(base, ignore_errors=True)
    command = [sys.executable, "-m", "pgmif.cli.reproduce", "reproduce", "--profile", "smoke",
               "--set", "run=interrupted", "--", "--until", "preprocessing"]
    said = ""
    with subprocess.Popen(command, cwd=root, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True) as started:
        for line in started.stdout:
            said += line
            if "01_preprocessing: 1 of 5" in line:
                os.killpg(started.pid, signal.SIGINT)  # as a terminal does: the whole group
                break
        said += started.stdout.read()
    assert started.returncode == 130, said
    assert "stopped by Ctrl-C; the same command goes on from here" in said
    assert "Traceback" not in said
    kept = {p: p.stat().st_mtime_ns for p in (base / "00_cohort" / "volumes").iterdir()}
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "00_cohort: running" not in again.stdout
    assert {p: p.stat().st_mtime_ns for p in (base / "00_cohort" / "volumes").iterdir()} == kept
    assert (base / "01_preprocessing" / "preprocessing.csv").exists()
    shutil.rmtree(base)
    shutil.rmtree(root / "figures" / "interrupted", ignore_errors=True)


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
    from pgmif.runs.parameters import read_parameters
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


@pytest.mark.slow
def test_four_sequences_with_ct(root, tmp_path):
    text = (root / "data_manifest_ceT1w.csv").read_text().splitlines()
    table = [line.split(",") for line in text]
    table = [[*row[:5], row[4].replace("ceT1w", "CT"), *row[5:]] for row in table]
    (tmp_path / "m.csv").write_text("\n".join(map(",".join, table)))
    name = "four-test"
    try:
        done = run(root, "--profile", "smoke", "--manifest", str(tmp_path / "m.csv"), "--set",
                   f"run={name}", "--set", "phantom_train=1", "--set", "phantom_test=1",
                   "--", "--until", "cnr_boxplots")
        assert done.returncode == 0, done.stdout + done.stderr
        results = root / "results" / name
        cnr = pd.read_csv(results / "05_cnr_boxplots" / "cnr.csv")
        assert {"t1w", "t2w", "cet1w", "ct", "pgmif"} <= set(cnr["method"])
        assert cnr["cnr"].notna().all()
        stages = pd.read_csv(results / "01_preprocessing" / "preprocessing.csv")
        assert (stages["CT_tre_after_median_mm"] < stages["CT_tre_before_median_mm"] / 2).all()
        ct = read_image(results / "01_preprocessing/registered/sub-071_space-T2w_CT.nii.gz")
        low, high = sitk.MinimumMaximum(ct)
        assert low < -900  # whole HU, the window is for the network alone
        assert high > 700
    finally:
        for folder in ("results", "figures"):
            shutil.rmtree(root / folder / name, ignore_errors=True)


# both come aligned; ReMIND is a full head stored in sagittal order, with contrast-enhanced T1w
STAGES = {"sub-ms07": "aligned", "sub-remind022": "aligned"}


@pytest.mark.slow
@pytest.mark.real
def test_two_real_patients_end_to_end(root, real_mri, tmp_path):
    table = pd.read_csv(real_mri / "data_manifest.csv", dtype=str)
    table = table[table["subject"].isin(["sub-ms07", "sub-remind022"])]
    for column in ("T1w", "T2w", "gtv"):
        table[column] = [os.path.relpath(real_mri / p, tmp_path) for p in table[column]]
    table.to_csv(tmp_path / "m.csv", index=False)
    name = "real-test"
    shutil.rmtree(root / "results" / name, ignore_errors=True)
    try:
        done = run(root, "--profile", "smoke", "--manifest", str(tmp_path / "m.csv"),
                   "--allow-outside", "--set", f"run={name}")
        assert done.returncode == 0, done.stdout + done.stderr
        claims = pd.read_csv(root / "results" / name / "10_claims" / "claims.csv")
        assert claims["cohort"].str.startswith(f"cohort {tmp_path.name}").all()
        stages = pd.read_csv(root / "results" / name / "01_preprocessing" / "preprocessing.csv")
        assert stages.set_index("subject")["stage"].to_dict() == STAGES
        cnr = pd.read_csv(root / "results" / name / "05_cnr_boxplots" / "cnr.csv")
        assert cnr["cnr"].notna().all()
        assert {"t2w", "t2w_blurred", "t2w_sharpened", "pgmif"} <= set(cnr["method"])
        for figure in (*FIGURES[1:], "figure_0_cohort"):
            assert (root / "figures" / name / f"{figure}.png").stat().st_size > 3000
    finally:
        shutil.rmtree(root / "results" / name, ignore_errors=True)
        shutil.rmtree(root / "figures" / name, ignore_errors=True)
