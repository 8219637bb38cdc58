"""The command behind `make reproduce`: what it refuses and says before anything starts."""

import os
import re
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.cohorts import manifest
from helpers.commands import main
from helpers.dicoms import into_air
from helpers.pipelines import run

from pgmif_core.files import taken
from pgmif_core.images.volumes import write_image


@pytest.fixture
def patients(cohort_folder):
    """A folder with one training and one test patient and a good manifest."""
    manifest(cohort_folder)
    return cohort_folder


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
        [sys.executable, "-m", "pgmif", "reproduce", "--set", "x=1"],
        cwd=root, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 2


@pytest.mark.parametrize("command", [["reproduce"], ["report"], ["train", "pgmif"]])
def test_outside_of_a_clone_a_run_is_refused(tmp_path, command):
    done = subprocess.run([sys.executable, "-m", "pgmif", *command], cwd=tmp_path, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2
    assert "expected a clone of the pgmif repository" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "figure"), [
    ([], "figure_0_phantoms.png"), (["--manifest", "m.csv"], "figure_0_cohort.png"),
])
def test_a_plan_names_the_figure_of_its_own_kind_of_cohort(root, patients, arguments, figure):
    named = [str(patients / a) if a.endswith(".csv") else a for a in arguments]
    done = run(root, "--profile", "smoke", *named, "--set", "run=planned", "--", "--dry-run",
               "--quiet", "progress")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"figure_0_\w+\.png", done.stdout + done.stderr)) == {figure}
