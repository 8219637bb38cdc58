"""Names of folders and files as people and other systems give them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif_core.images.volumes import write_image

NAMES = ["study {v2}", "{wildcards.method}", "{", "study [v2]", "[red]x[/red]", "[/]", "a b", "ü é 陈",
         "%d %s", "it's", '"q"', "$HOME", "#1", "a;b", "a&b", "-x", "~", "*", "?", "a=b", "=1+1",
         "x" * 120]


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [os.fspath(a) for a in arguments], env={"COLUMNS": "400"})
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.output


@pytest.fixture(scope="module")
def patients(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("patients")
    for name in ("p1", "p2"):
        for stem, image in (("t1", phantom.T1w), ("t2", phantom.T2w), ("seg", phantom.gtv)):
            write_image(image, folder / name / f"{stem}.nii.gz")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_scan_and_check_show_a_folder_as_it_is_called(patients, tmp_path, name):
    folder = Path(shutil.copytree(patients, tmp_path / name))
    said = run("scan", folder)
    assert f"{folder}, layout brats" in said
    manifest = folder / "data_manifest.csv"
    assert f"{manifest}: 2 training" in said or f"{manifest}: 1 training" in said
    assert f"{manifest}: 2 patients" in run("check", manifest)
    (folder / "p1" / "t1.nii.gz").write_bytes(b"")
    done = run("check", manifest, code=2)
    assert f"{folder}/p1/t1.nii.gz: expected" in done
    assert f"1 problem in {manifest}" in done


@pytest.mark.parametrize("name", ["study {v2}", "[red]x[bold]", "it's ü"])
def test_patients_and_files_may_be_called_so_too(patients, tmp_path, name):
    for k in (1, 2):
        place = tmp_path / f"{name} {k}"
        shutil.copytree(patients / "p1", place)
        for stem in ("t1", "t2", "seg"):
            (place / f"{stem}.nii.gz").rename(place / f"{name}_{stem}.nii.gz")
    run("scan", tmp_path)
    run("check", tmp_path / "data_manifest.csv")
    place, output = tmp_path / f"{name} 1", tmp_path / f"{name} out" / f"{name}.nii.gz"
    said = run("fuse", "--t1w", place / f"{name}_t1.nii.gz", "--t2w", place / f"{name}_t2.nii.gz", "-o",
               output, "--method", "average", "--slice-size", "32")
    assert f"{output}: " in said
    run("evaluate", output, "--gtv", place / f"{name}_seg.nii.gz", "--source",
        f"{name}={place / f'{name}_t2.nii.gz'}")


def test_names_that_are_no_utf8_are_left_out_and_named(patients, tmp_path):
    shutil.copytree(patients, tmp_path / "study")
    strange = os.fsdecode(os.fsencode(tmp_path / "study") + b"/M\xfcller")
    shutil.copytree(patients / "p1", strange)
    said = run("scan", tmp_path / "study")
    assert "M\\xfcller" in said
    assert "no UTF-8; rename the folder or file" in said
    run("check", tmp_path / "study" / "data_manifest.csv")


@pytest.mark.parametrize("content", [b"M\xfcller/t1.nii.gz", b"p1/t1\x07.nii.gz"])
def test_a_manifest_with_such_names_is_refused(patients, tmp_path, content):
    folder = Path(shutil.copytree(patients, tmp_path / "study"))
    run("scan", folder)
    manifest = folder / "data_manifest.csv"
    manifest.write_bytes(manifest.read_bytes().replace(b"p1/t1.nii.gz", content))
    assert "expected" in run("check", manifest, code=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study {v2}", "{wildcards.method} [x] it's $HOME"])
def test_the_pipeline_orders_notebooks_for_any_folder(root, patients, tmp_path, name):
    folder = Path(shutil.copytree(patients, tmp_path / name))
    run("scan", folder)
    command = [sys.executable, "-m", "pgmif", "reproduce", "--profile", "smoke", "--set",
               "run=strange-paths", "--manifest", str(folder / "data_manifest.csv"), "--", "--dry-run"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "preprocessing" in done.stdout + done.stderr
    finally:
        for kind in ("results", "figures"):
            shutil.rmtree(root / kind / "strange-paths", ignore_errors=True)


@pytest.mark.slow
def test_the_repository_may_lie_in_any_folder(root, tmp_path):
    """A dry run of a copy whose path has braces, brackets, spaces and a quote."""
    here = tmp_path / "it's {here} [now]"
    left = (".git", ".venv", "results", "figures", "docs", "__pycache__", ".snakemake")
    shutil.copytree(root, here, ignore=shutil.ignore_patterns(*left))
    command = [sys.executable, "-m", "pgmif", "reproduce", "--profile", "smoke", "--",
               "--dry-run"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
