"""One fault, every command that can meet it: refused before work starts, with advice that helps."""

import ast
import re
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import typer
from dicoms import image, mask_contours, write_dicom_series, write_rtstruct
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif_core.images.volumes import write_image

HEADER = "subject,split,T1w,T2w,gtv,source,license"
COLUMNS = ("gtv_roi", "gtv_label", "gtv_space", "manifest")  # `fuse` and `evaluate` have none


def options_of(command):
    return {name for p in typer.main.get_command(app).commands[command].params
            for name in (*p.opts, *p.secondary_opts)} | {"--help"}


def run(command, *arguments, code=2):
    done = CliRunner().invoke(app, [command, *map(str, arguments)])
    assert done.exit_code == code, done.output + repr(done.exception)
    text = " ".join(done.output.split())
    advised = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    for other, given in re.findall(r"pgmif ([a-z]+)((?: --[a-z-]+)*)", text):
        own = set(given.split())
        assert own <= options_of(other), text
        advised -= own
    assert advised <= options_of(command), f"{command} advises what it has not: {text}"
    if command in ("fuse", "evaluate"):
        assert not [c for c in COLUMNS if c in text], text
    return text


@pytest.fixture
def folder(phantom, tmp_path):
    for k in (1, 2):
        for name in ("T1w", "T2w", "gtv"):
            write_image(getattr(phantom, name), tmp_path / f"{name}{k}.nii.gz")
    write_image(phantom.T2w, tmp_path / "fused.nii.gz")
    return tmp_path


def check(folder, code=2, options=(), **files):
    named = {"T1w": "T1w1.nii.gz", "T2w": "T2w1.nii.gz", "gtv": "gtv1.nii.gz"} | files
    rows = [f"a,train,{named['T1w']},{named['T2w']},{named['gtv']},x,y",
            "b,test,T1w2.nii.gz,T2w2.nii.gz,gtv2.nii.gz,x,y"]
    (folder / "m.csv").write_text("\n".join([HEADER, *rows, ""]))
    return run("check", folder / "m.csv", *options, code=code)


def fuse(folder, t1w="T1w1.nii.gz", t2w="T2w1.nii.gz", code=2, options=()):
    output = folder / "out.nii.gz"
    text = run("fuse", "--t1w", folder / t1w, "--t2w", folder / t2w, "-o", output, "--method", "pwa",
               "--slice-size", 32, *options, code=code)
    assert output.exists() is (code == 0)
    return text


def evaluate(folder, fused="fused.nii.gz", gtv="gtv1.nii.gz", source="T2w1.nii.gz", code=2, options=()):
    return run("evaluate", folder / fused, "--gtv", folder / gtv, "--source", folder / source, *options,
               code=code)


# one image by itself: `check`, `fuse`, and `evaluate` as image, source or mask

def sheared(path):
    loaded = nibabel.load(path)
    affine = loaded.affine.copy()
    affine[0, 1] = 0.3 * affine[1, 1]
    nibabel.Nifti1Image(np.asarray(loaded.dataobj), affine).to_filename(path)


def without_frame(path):
    loaded = nibabel.load(path)
    loaded.set_sform(None, 0)
    loaded.set_qform(None, 0)
    nibabel.Nifti1Image(np.asarray(loaded.dataobj), None, loaded.header).to_filename(path)


def of_two_frames(path):
    loaded = nibabel.load(path)
    other = loaded.affine.copy()
    other[:3, 3] += 30
    loaded.set_qform(other, 1)
    loaded.set_sform(loaded.affine, 1)
    nibabel.save(loaded, path)


def not_finite(path):
    loaded = nibabel.load(path)
    voxels = np.asarray(loaded.dataobj).astype(np.float32)
    voxels[3, 3, 3] = np.nan
    nibabel.Nifti1Image(voxels, loaded.affine).to_filename(path)


def flat(path):
    loaded = nibabel.load(path)
    nibabel.Nifti1Image(np.asarray(loaded.dataobj)[..., 0], loaded.affine).to_filename(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:2000])


def text(path):
    path.write_text("no image")


BY_ITSELF = {
    sheared: "sheared affine", without_frame: "--assume-ras",
    of_two_frames: "one place in space, found two", flat: "expected a 3-D volume",
    cut: "truncated", text: "of another type", not_finite: "expected finite",
}


@pytest.mark.parametrize("spoil", BY_ITSELF, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["T1w1", "T2w1"])
def test_an_image_that_cannot_be_used(folder, spoil, name):
    spoil(folder / f"{name}.nii.gz")
    for said in (check(folder), fuse(folder), evaluate(folder, source=f"{name}.nii.gz"),
                 evaluate(folder, fused=f"{name}.nii.gz", source="fused.nii.gz")):
        assert BY_ITSELF[spoil] in said
        assert f"{name}.nii.gz" in said
        assert "found" in said


def test_an_image_without_a_frame_is_taken_for_ras_where_asked_for(folder):
    # T2w, its mask and T1w alike: they are taken for centred about one place
    for name in ("T1w1", "T2w1", "gtv1", "fused"):
        without_frame(folder / f"{name}.nii.gz")
    option = ["--assume-ras"]
    check(folder, code=0, options=option)
    fuse(folder, code=0, options=option)
    evaluate(folder, code=0, options=option)


# masks: `check`, and `evaluate` as tumour or as reference region

def smaller(mask):
    return np.where(mask, 0.4, 0)


def of_intensities(mask):
    return np.random.default_rng(0).normal(300, 80, mask.shape) * (1 + mask)


def of_labels(mask):
    labels = mask.astype(np.int16)
    labels[:, : mask.shape[1] // 2][mask[:, : mask.shape[1] // 2] > 0] = 4
    labels[1, 30:33, 30:33] = 2
    return labels


def of_a_head(mask):
    k, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in mask.shape)]
    return (y**2 + x**2 < 0.4) & (k > -2)


MASKS = {
    smaller: "found an empty mask", of_intensities: "expected a mask",
    np.zeros_like: "found an empty mask", of_a_head: "the mask of a brain, a head or an organ",
    np.ones_like: "in the air around the head",
    of_labels: "several",
}


@pytest.mark.parametrize("change", MASKS, ids=lambda f: f.__name__)
def test_a_mask_that_cannot_be_one(folder, phantom, change):
    own = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(phantom.gtv)).astype(np.float32))
    own.CopyInformation(phantom.gtv)
    sitk.WriteImage(own, str(folder / "gtv1.nii.gz"))
    said = [check(folder), evaluate(folder)]
    if change is not of_labels:  # of a reference region every label counts
        said.append(evaluate(folder, gtv="gtv2.nii.gz",
                             options=["--reference", folder / "gtv1.nii.gz"]))
    for line in said:
        assert MASKS[change] in line
        assert "gtv1.nii.gz" in line or "column gtv" in line


def test_a_mask_of_the_images_matrix_elsewhere_shows_both_affines(folder):
    loaded = nibabel.load(folder / "gtv1.nii.gz")
    shifted = loaded.affine.copy()
    shifted[2, 3] += 0.7 * loaded.header.get_zooms()[2]
    for moved in (np.diag([-1.0, 1, 1, 1]) @ loaded.affine, np.eye(4), shifted):
        nibabel.Nifti1Image(np.asarray(loaded.dataobj), moved).to_filename(folder / "gtv1.nii.gz")
        for line in (check(folder), evaluate(folder)):
            assert line.count("[[") == 2 or "inside the head" in line or "outside the" in line


def test_a_reference_region_inside_the_tumour(folder):
    said = evaluate(folder, options=["--reference", folder / "gtv2.nii.gz"])
    assert "expected a reference region beside the tumour" in said


@pytest.mark.parametrize(("scale", "told"), [(1.0, False), (1.01, True), (255.0, True)])
def test_an_image_that_is_not_in_the_unit_range_is_told_so(folder, phantom, scale, told):
    voxels = sitk.GetArrayFromImage(phantom.T2w)
    fused = sitk.GetImageFromArray(np.float32(voxels / voxels.max() * scale))
    fused.CopyInformation(phantom.T2w)
    write_image(fused, folder / "fused.nii.gz")
    assert ("every slice is min-max normalised" in evaluate(folder, code=0)) is told


# two images together: `check` and `fuse`

def test_equal_images(folder):
    shutil.copy(folder / "T2w1.nii.gz", folder / "T1w1.nii.gz")
    for said in (check(folder), fuse(folder)):
        assert "T1w and T2w hold the same image" in said


def test_images_far_apart(folder):
    loaded = nibabel.load(folder / "T1w1.nii.gz")
    loaded.affine[0, 3] += 900
    nibabel.Nifti1Image(np.asarray(loaded.dataobj), loaded.affine).to_filename(folder / "T1w1.nii.gz")
    for said in (check(folder), fuse(folder)):
        assert "do not overlap in space" in said


def test_a_localizer_is_called_so(folder, phantom):
    axes = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)  # sagittal
    middle = np.array(phantom.T2w.TransformContinuousIndexToPhysicalPoint(
        [(n - 1) / 2 for n in phantom.T2w.GetSize()]))
    grid = image(np.zeros((5, 64, 64)), (4.0, 4.0, 25.0), axes)
    away = grid.TransformContinuousIndexToPhysicalPoint([31.5, 31.5, 2.0])
    grid.SetOrigin((middle - away).tolist())
    write_image(sitk.Resample(phantom.T1w, grid), folder / "T1w1.nii.gz")
    for said in (check(folder), fuse(folder)):
        assert "T1w looks like a localizer: 5 slices" in said
    check(folder, code=0, options=["--allow-unlikely"])


def test_exchanged_sequences_are_called_so(folder):
    for said in (check(folder, T1w="T2w1.nii.gz", T2w="T1w1.nii.gz"),
                 fuse(folder, "T2w1.nii.gz", "T1w1.nii.gz")):
        assert "the two look exchanged" in said
    fuse(folder, "T2w1.nii.gz", "T1w1.nii.gz", code=0, options=["--allow-unlikely"])


def test_too_few_slices(folder):
    loaded = nibabel.load(folder / "T1w1.nii.gz")
    nibabel.save(loaded.slicer[:, :, 4:6], folder / "T1w1.nii.gz")
    for said in (check(folder), fuse(folder)):
        assert "at least 4 voxels along every axis" in said


@pytest.mark.parametrize("slices", [4, 5, 6, 7])
def test_few_slices_that_are_enough_are_fused(folder, slices):
    for name in ("T1w1", "T2w1", "gtv1"):
        loaded = nibabel.load(folder / f"{name}.nii.gz")
        coarse = sitk.Shrink(sitk.ReadImage(str(folder / f"{name}.nii.gz")), [2, 2, 1])
        assert loaded.shape[2] >= 8
        first = 4 - slices // 2
        sitk.WriteImage(coarse[:, :, first : first + slices], str(folder / f"{name}.nii.gz"))
    fuse(folder, code=0)


@pytest.fixture
def series(phantom, tmp_path):
    for name, who in (("T1w", "A"), ("T2w", "A"), ("T1w_of_b", "B")):
        volume = getattr(phantom, name[:3])
        write_dicom_series(volume, tmp_path / name, PatientID=who, frame_of_reference="1.2.3")
    return tmp_path


def test_another_patients_series(series, folder):
    for said in (check(folder, T1w="T1w_of_b", T2w="T2w"), fuse(folder, "T1w_of_b", "T2w")):
        assert "expected T1w, T2w of one patient, found that their PatientID differs" in said
        assert "--allow-different-patients" in said
    option = ["--allow-different-patients"]
    check(folder, code=0, options=option, T1w="T1w_of_b", T2w="T2w")
    fuse(folder, "T1w_of_b", "T2w", code=0, options=option)


def test_a_structure_set_without_the_named_structure(series, folder, phantom):
    write_rtstruct(folder / "rt.dcm", {"Brain": mask_contours(phantom.gtv), "Cord": mask_contours(
        phantom.gtv)}, "1.2.3")
    said = check(folder, T1w="T1w", T2w="T2w", gtv="rt.dcm")
    assert "gtv_roi" in said
    said = run("evaluate", folder / "T2w", "--gtv", folder / "rt.dcm", "--source", folder / "T1w")
    assert "--roi" in said


# outputs

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


# advice in texts that no test above provokes

OF_OTHERS = {  # git, torchrun and Slurm, Dask, GDCM, Snakemake
    "--abbrev", "--always", "--porcelain", "--untracked-files", "--gpus-per-node", "--nodes",
    "--nproc-per-node", "--standalone", "--nthreads", "--raw", "--until",
}


def literals(path):
    tree = ast.parse(path.read_text())
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_every_command_that_is_advised_is_there(root):
    """`make x`, `pgmif x` and `--option`, in any text of the package."""
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    commands = typer.main.get_command(app).commands
    known = {option for name in commands for option in options_of(name)}
    known |= {"--version"} | set(re.findall(r'"(--[a-z-]+)"', "".join(
        (root / "pgmif" / f"{name}.py").read_text() for name in ("cli/reproduce", "runs/notebooks"))))
    seen, unknown = 0, set()
    for path in [*(root / "pgmif_core").rglob("*.py"), *(root / "pgmif").rglob("*.py")]:
        for text in literals(path):
            for target in re.findall(r"(?:`|with )make ([a-z]+)|make ([a-z]+)(?= [A-Z]+=)", text):
                target = "".join(target)
                assert target in targets, f"{path.name}: make {target}"
                seen += 1
            for name in re.findall(r"`pgmif ([a-z]+)", text):
                assert name in commands, f"{path.name}: pgmif {name}"
                seen += 1
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text):
                unknown.add(option) if option not in known | OF_OTHERS else None
                seen += 1
    assert sorted(unknown) == []
    assert seen > 60
