"""One fault of masks, every command that can meet it: refused before work starts.

By `check`, and by `evaluate` as tumour or as reference region.
"""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.commands import check, evaluate, run
from helpers.dicoms import mask_contours, write_rtstruct


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


def test_a_structure_set_without_the_named_structure(series, folder, phantom):
    write_rtstruct(folder / "rt.dcm", {"Brain": mask_contours(phantom.gtv), "Cord": mask_contours(
        phantom.gtv)}, "1.2.3")
    said = check(folder, T1w="T1w", T2w="T2w", gtv="rt.dcm")
    assert "gtv_roi" in said
    said = run("evaluate", folder / "T2w", "--gtv", folder / "rt.dcm", "--source", folder / "T1w")
    assert "--roi" in said
