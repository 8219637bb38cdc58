"""Whole runs of their own: interrupted, of four sequences, of real patients."""

import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.pipelines import FIGURES, run

from pgmif_core.images.volumes import read_image


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(root):
    base = root / "results" / "interrupted"
    shutil.rmtree(base, ignore_errors=True)
    command = [sys.executable, "-m", "pgmif", "reproduce", "--profile", "smoke",
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
