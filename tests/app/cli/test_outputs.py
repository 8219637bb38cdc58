"""Files that `fuse` writes: suffixes, and what lies beside them."""

import pytest
from helpers.commands import evaluate, run
from typer.testing import CliRunner

from pgmif.cli import app


@pytest.mark.parametrize("name", ["f.NII.GZ", "f.mha", "f.MHD", "f.Nrrd"])
def test_every_suffix_that_is_written_is_read_again(folder, name):
    output = folder / "new" / name
    run("fuse", "--t1w", folder / "T1w1.nii.gz", "--t2w", folder / "T2w1.nii.gz", "-o", output,
        "--method", "average", "--slice-size", 32, code=0)
    evaluate(folder, fused=f"new/{name}", code=0)


@pytest.mark.parametrize("name", ["f.png", "f.nii.bz2", "f.dcm", "f.hdr", "f.img", "f.nifti", "f.gz"])
def test_other_suffixes_are_refused_and_nothing_is_made(folder, name):
    before = sorted(folder.iterdir())
    said = run("fuse", "--t1w", folder / "T1w1.nii.gz", "--t2w", folder / "T2w1.nii.gz", "-o",
               folder / name, "--method", "average")
    assert "expected a name ending in" in said
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(("output", "beside"), [
    ("f.nii.gz", "f.json"), ("f.nii", "f.json"), ("f.mhd", "f.raw"), ("f.mhd", "f.zraw"),
    ("f.nrrd", "f.json"),
])
def test_files_beside_the_output_are_not_lost(folder, output, beside):
    (folder / beside).write_text("mine")
    done = CliRunner().invoke(app, ["fuse", "--t1w", str(folder / "T1w1.nii.gz"), "--t2w",
                                    str(folder / "T2w1.nii.gz"), "-o", str(folder / output), "--method",
                                    "average", "--slice-size", "32"])
    assert (folder / beside).read_text() == "mine"
    if done.exit_code:
        assert done.exit_code == 2
        assert beside in done.output
