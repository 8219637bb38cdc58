"""One fault of images, every command that can meet it: refused before work starts."""

import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.commands import check, evaluate, fuse
from helpers.dicoms import image

from pgmif_core.images.volumes import write_image

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


def test_another_patients_series(series, folder):
    for said in (check(folder, T1w="T1w_of_b", T2w="T2w"), fuse(folder, "T1w_of_b", "T2w")):
        assert "expected T1w, T2w of one patient, found that their PatientID differs" in said
        assert "--allow-different-patients" in said
    option = ["--allow-different-patients"]
    check(folder, code=0, options=option, T1w="T1w_of_b", T2w="T2w")
    fuse(folder, "T1w_of_b", "T2w", code=0, options=option)
