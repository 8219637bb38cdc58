"""Volumes: reading, writing, resampling; fills, offsets and air."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.dicoms import image
from helpers.images import array, like

from pgmif_core.images.checks import image_notes
from pgmif_core.images.volumes import (
    ImageError,
    air_level,
    fill_note,
    imaged_part,
    overlap_fraction,
    read_image,
    resample,
    same_grid,
    write_image,
)
from pgmif_core.images.windows import windowed


@pytest.fixture
def oblique():
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((4, 6, 5)).astype(np.float32))
    image.SetSpacing((0.9, 1.1, 3.0))
    image.SetOrigin((12.0, -30.0, 7.0))
    turn = sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.1)
    image.SetDirection(turn.GetMatrix())
    return image


def test_nifti_round_trip_keeps_voxels_and_geometry(oblique, tmp_path):
    again = read_image(write_image(oblique, tmp_path / "sub" / "x.nii.gz", {"A": 1}))
    assert same_grid(oblique, again, 1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(oblique), sitk.GetArrayFromImage(again))
    assert sorted(p.name for p in (tmp_path / "sub").iterdir()) == ["x.json", "x.nii.gz"]


def test_our_reader_agrees_with_simpleitk(oblique, tmp_path):
    path = write_image(oblique, tmp_path / "x.nii")
    theirs = sitk.ReadImage(str(path), sitk.sitkFloat32)
    assert same_grid(read_image(path), theirs, 1e-4)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read_image(path)), sitk.GetArrayFromImage(theirs)
    )


def save(path, voxels, affine=None):
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def bad_files(folder):
    good = save(folder / "good.nii.gz", np.random.default_rng(0).random((9, 8, 7), np.float32))
    (folder / "directory.nii.gz").mkdir()
    (folder / "text.nii.gz").write_text("this is not an image")
    (folder / "cut.nii.gz").write_bytes(good.read_bytes()[:-400])
    (folder / "cut_inside.nii.gz").write_bytes(gzip.compress(gzip.decompress(good.read_bytes())[:900]))
    save(folder / "four.nii.gz", np.zeros((4, 4, 4, 2), np.float32))
    save(folder / "nan.nii.gz", np.full((4, 4, 4), np.nan, np.float32))
    infinite = np.zeros((4, 4, 4), np.float32)
    infinite[0, 0, 0] = np.inf
    save(folder / "inf.nii.gz", infinite)
    singular = nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), None)
    singular.header["sform_code"], singular.header["qform_code"] = 1, 0
    for row in ("srow_x", "srow_y", "srow_z"):
        singular.header[row] = (1, 0, 0, 0)
    nibabel.save(singular, folder / "singular.nii.gz")
    shear = np.eye(4)
    shear[0, 1] = 0.5
    save(folder / "shear.nii.gz", np.ones((4, 4, 4), np.float32), shear)


@pytest.mark.parametrize(("name", "message"), [
    ("missing", "no such file"), ("directory", "found a directory"), ("text", "readable NIfTI"),
    ("cut", "truncated"), ("cut_inside", "truncated"), ("four", "3-D volume"),
    ("nan", "finite intensities"), ("inf", "finite intensities"), ("singular", "invertible affine"),
    ("shear", "orthogonal axes"),
])
def test_bad_images_are_refused_with_file_and_cure(tmp_path, name, message):
    bad_files(tmp_path)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / f"{name}.nii.gz")
    assert f"{name}.nii.gz" in str(caught.value)
    assert "expected" in str(caught.value)
    assert "found" in str(caught.value)


def test_overlap_and_resampling(oblique):
    assert overlap_fraction(oblique, oblique) == pytest.approx(1)
    far = sitk.Image(oblique)
    far.SetOrigin((500.0, 0.0, 0.0))
    assert overlap_fraction(oblique, far) == 0
    assert resample(oblique, oblique) is oblique
    shifted = resample(oblique, oblique, sitk.TranslationTransform(3, (0.0, 0.0, 0.0)))
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(shifted), sitk.GetArrayFromImage(oblique), atol=1e-5
    )


@pytest.mark.parametrize(("air", "ringing"), [(0.0, -60.0), (-1000.0, -1100.0), (5.0, 4.0)])
def test_padding_is_background_not_the_lowest_ringing_voxel(air, ringing):
    voxels = np.full((4, 12, 10), air, np.float32)
    voxels[:, 3:9, 3:8] = 800
    voxels[2, 4, 2] = ringing
    image = sitk.GetImageFromArray(voxels)
    wide = sitk.Image([16, 18, 4], sitk.sitkFloat32)
    wide.SetOrigin((-3.0, -3.0, 0.0))
    padded = sitk.GetArrayFromImage(resample(image, wide))
    assert padded[0, 0, 0] == min(air, 0)
    assert np.array_equal(padded[:, 3:-3, 3:-3], voxels)


@pytest.mark.parametrize("fill", [-1024.0, -32768.0, 65535.0])
def test_a_fill_value_is_no_intensity(phantom, tmp_path, fill):
    voxels = array(phantom.T2w)
    low = voxels[:, :, 8:].min()
    voxels[:, :, :8] = fill
    read = array(read_image(write_image(like(voxels, phantom.T2w), tmp_path / "a.nii.gz")))
    np.testing.assert_allclose(read[:, :, 8:], voxels[:, :, 8:])
    np.testing.assert_allclose(read[:, :, :8], low)
    kept = read_image(tmp_path / "a.nii.gz")
    assert f"{fill:g}, far from all other values" in fill_note(windowed(kept, "T2w"))
    assert image_notes("T2w", kept) == [f"T2w: {fill_note(kept)}"]


@pytest.mark.parametrize("change", [
    lambda v: np.where(v < 50, 0, v + 700), lambda v: (v > 200) * 1.0, lambda v: np.clip(v, 0, 300),
    lambda v: np.where(v < 50, 0, (v - 300) / 100),
])
def test_backgrounds_masks_and_clipped_images_are_left_alone(phantom, tmp_path, change):
    voxels = change(array(phantom.T2w)).astype(np.float32)
    read = read_image(write_image(like(voxels, phantom.T2w), tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(array(read), voxels)
    assert fill_note(read) == ""


@pytest.mark.parametrize(("low", "level"), [(34.0, 33.0), (101.9, 100.0), (1025.0, 1024.0), (8.0, 0.0)])
def test_an_offset_is_a_round_number_close_below(low, level):
    voxels = np.random.default_rng(0).random((4, 9, 9)) * 1000 + low
    voxels[0, 0, 0] = low
    assert air_level(image(voxels)) == pytest.approx(level, abs=1.01 if low == 34.0 else 0)


@pytest.mark.parametrize(("voxels", "level"), [
    (lambda r: r.random((4, 9, 9)) * 800, 0.0), (lambda r: r.random((4, 9, 9)) * 800 + 300.5, 300.0),
    (lambda r: r.random((4, 9, 9)) * 800 + 1024.0, 1024.0),
    (lambda r: r.normal(0, 1, (40, 9, 9)), pytest.approx(-2.3, abs=0.2)),
    (lambda r: np.where(r.random((4, 9, 9)) < 0.5, -1000.0, 40.0), -1000.0),
])
def test_the_level_outside_is_that_of_air(voxels, level):
    picture = image(voxels(np.random.default_rng(0)))
    assert air_level(picture) == level
    wider = image(np.zeros((6, 20, 20)), origin=(-5, -5, -3))
    moved = sitk.GetArrayFromImage(resample(picture, wider))
    outside = ~imaged_part(picture, wider)
    assert outside.any()
    np.testing.assert_allclose(moved[outside], air_level(picture), rtol=1e-6)
