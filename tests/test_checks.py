"""Images and masks of one patient that cannot belong together, or be what they are called."""

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif.cohort.manifest import patient_problems, read_manifest
from pgmif_core.images.checks import image_problems, mask_problems, pair_problems, region_problems
from pgmif_core.images.masks import ImageError, read_mask
from pgmif_core.images.volumes import write_image


def like(voxels, grid, kind=np.float32):
    result = sitk.GetImageFromArray(np.asarray(voxels).astype(kind))
    result.CopyInformation(grid)
    return result


def array(picture):
    return sitk.GetArrayFromImage(picture)


@pytest.mark.parametrize("change", [lambda v: v * 0.5, lambda v: v + 1, lambda v: 2000 - v])
def test_one_image_in_another_unit_is_the_same(phantom, change):
    other = like(change(array(phantom.T2w)), phantom.T2w)
    (problem,) = pair_problems({"T1w": other, "T2w": phantom.T2w})
    assert "hold the same image" in problem
    (problem,) = pair_problems({"T1w": other[1:, :, :], "T2w": phantom.T2w})
    assert "hold the same image" in problem


def test_a_mask_is_no_image(phantom):
    for voxels in (array(phantom.gtv) > 0, array(phantom.T2w) > 100):
        (problem,) = image_problems("T2w", like(voxels, phantom.T2w))
        assert "expected intensities, found 2 different values" in problem


def test_an_image_scaled_to_one_is_no_probability(phantom, tmp_path):
    voxels = array(phantom.T2w)
    path = write_image(like(voxels / voxels.max(), phantom.T2w), tmp_path / "gtv.nii.gz")
    with pytest.raises(ImageError, match="probabilities that are 0 almost everywhere"):
        read_mask(path, lambda: phantom.T2w)


def test_every_label_of_a_reference_region_counts(phantom, tmp_path):
    labels = np.zeros(array(phantom.gtv).shape, np.uint8)
    labels[3, 10:14, 10:14], labels[4, 10:14, 10:14] = 1, 4
    path = tmp_path / "ref.nii.gz"
    sitk.WriteImage(like(labels, phantom.gtv, np.uint8), str(path))
    assert array(read_mask(path, lambda: phantom.T2w, "*")).sum() == 32


def test_a_tumour_between_two_slices_is_named(phantom):
    fine = sitk.Image([160, 190, 50], sitk.sitkUInt8)
    fine.SetSpacing([1.2, 1.2, 1.0])
    fine.SetOrigin(phantom.T2w.GetOrigin())
    voxels = array(fine)
    voxels[10:12, 80:92, 70:82] = 1
    (problem,) = mask_problems(like(voxels, fine, np.uint8), phantom.T2w, "T2w")
    assert "found it between two of them" in problem


@pytest.fixture
def cohort(phantom, tmp_path):
    """A function that writes a patient with other files, and says what is wrong with it."""
    t1w = sitk.Resample(phantom.T1w, phantom.T2w)

    def problems(moved=(0.0, 0.0, 0.0), reference=None, space="", **more):
        shift = sitk.Image(t1w)
        shift.SetOrigin((np.array(t1w.GetOrigin()) + moved).tolist())
        gtv = sitk.Image(phantom.gtv)
        gtv.SetOrigin(shift.GetOrigin())
        for k in (1, 2):
            for name, picture in {"T1w": shift, "T2w": phantom.T2w, "gtv": gtv, **more}.items():
                write_image(picture, tmp_path / f"{name}{k}.nii.gz")
            if reference is not None:
                write_image(reference, tmp_path / f"ref{k}.nii.gz")
        refs = [f"ref{k}.nii.gz" if reference is not None else "" for k in (1, 2)]
        rows = [f"s{k},{split},T1w{k}.nii.gz,T2w{k}.nii.gz,gtv{k}.nii.gz,{space},{refs[k - 1]},x,y"
                for k, split in ((1, "train"), (2, "test"))]
        header = "subject,split,T1w,T2w,gtv,gtv_space,reference,source,license"
        (tmp_path / "m.csv").write_text("\n".join([header, *rows, ""]))
        return patient_problems(read_manifest(tmp_path / "m.csv"), "s1")

    return problems


def test_a_mask_on_the_grid_of_t1w_is_told_to_be_so(cohort):
    """Not to be given the affine of T2w, which would move the tumour."""
    (problem,) = cohort(moved=(4.0, 0.0, 0.0))
    assert "found one on the grid of T1w: set gtv_space to T1w" in problem
    assert cohort(moved=(4.0, 0.0, 0.0), space="T1w") == []


def test_a_tumour_as_its_own_reference_region_is_refused_on_any_sequence(cohort, phantom):
    for space in ("", "T1w"):
        (problem,) = cohort(reference=phantom.gtv, space=space)
        assert "expected a reference region beside the tumour" in problem


@pytest.mark.parametrize("voxels", [1, 4, 8, 9])
def test_a_reference_region_has_some_voxels(phantom, voxels):
    drawn = np.zeros(array(phantom.gtv).shape)
    drawn[4, 20, 20 : 20 + voxels] = 1
    problems = region_problems(like(drawn, phantom.gtv, np.uint8), phantom.gtv)
    assert bool(problems) is (voxels < 9)


def test_sequences_of_one_head_are_not_the_same_image(phantom):
    """Registered, exactly on one grid, and after one was made of the other by a curve."""
    t1w = sitk.Resample(phantom.T1w, phantom.T2w)
    assert pair_problems({"T1w": t1w, "T2w": phantom.T2w}) == []
    voxels = array(phantom.T2w)
    noisy = voxels + np.random.default_rng(0).normal(0, 0.05 * voxels.std(), voxels.shape)
    assert pair_problems({"T1w": like(noisy, phantom.T2w), "T2w": phantom.T2w}) == []
