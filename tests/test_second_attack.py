"""What a second day of attack found: neighbours of faults that other files test, one row each."""

import os
import signal
import subprocess
import sys

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from dicoms import image, write_rtstruct

from pgmif_core.checks import background_note, exchanged, image_problems, mask_problems, pair_problems
from pgmif_core.dicom import ContourError, rasterise
from pgmif_core.gradients import sobel_magnitude
from pgmif_core.images import air_level, read_image, volume_files, write_image
from pgmif_core.losses import pixelwise_gradient_loss, relative_alignment, weighted_gradient_loss
from pgmif_core.masks import ImageError, read_mask
from pgmif_core.metrics import contrast_to_noise_ratio, inter_patient_cv
from pgmif_core.parameters import ParameterError, check_parameters, plain_yaml
from pgmif_core.sequence_names import column_of
from pgmif_core.slices import hot_voxels
from pgmif_core.staleness import AFTER, _rule
from pgmif_core.supervision import alive, supervised


def like(voxels, grid, kind=np.float32):
    result = sitk.GetImageFromArray(np.asarray(voxels).astype(kind))
    result.CopyInformation(grid)
    return result


def array(picture):
    return sitk.GetArrayFromImage(picture)


# images

@pytest.mark.parametrize("fill", [-1024.0, -32768.0, 65535.0])
def test_a_fill_value_is_no_intensity(phantom, tmp_path, fill):
    voxels = array(phantom.T2w)
    low = voxels[:, :, 8:].min()
    voxels[:, :, :8] = fill
    read = array(read_image(write_image(like(voxels, phantom.T2w), tmp_path / "a.nii.gz")))
    np.testing.assert_allclose(read[:, :, 8:], voxels[:, :, 8:])
    np.testing.assert_allclose(read[:, :, :8], low)


@pytest.mark.parametrize("change", [
    lambda v: np.where(v < 50, 0, v + 700), lambda v: (v > 200) * 1.0, lambda v: np.clip(v, 0, 300),
    lambda v: np.where(v < 50, 0, (v - 300) / 100),
])
def test_backgrounds_masks_and_clipped_images_are_left_alone(phantom, tmp_path, change):
    voxels = change(array(phantom.T2w)).astype(np.float32)
    read = read_image(write_image(like(voxels, phantom.T2w), tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(array(read), voxels)


@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_some_hot_voxels_are_cut_and_named(phantom, count):
    voxels = array(phantom.T2w)
    voxels[5, 2:5, 2:6].flat[:0] = 0
    corner = [(r, c) for r in range(2, 5) for c in range(2, 6)][:count]
    for row, column in corner:
        voxels[5, row, column] = 50 * voxels.max()
        voxels[5] = np.minimum(voxels[5], 50_000)
    assert hot_voxels(like(voxels, phantom.T2w)) == [5]
    assert hot_voxels(phantom.T2w) == []


@pytest.mark.parametrize(("low", "level"), [(34.0, 33.0), (101.9, 100.0), (1025.0, 1024.0), (8.0, 0.0)])
def test_an_offset_is_a_round_number_close_below(low, level):
    voxels = np.random.default_rng(0).random((4, 9, 9)) * 1000 + low
    voxels[0, 0, 0] = low
    assert air_level(image(voxels)) == pytest.approx(level, abs=1.01 if low == 34.0 else 0)


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


def test_a_background_among_tissue_is_named_and_no_reason_to_exchange(phantom):
    def scored(picture):
        voxels = array(picture)
        inside = voxels > 60
        scores = (voxels - voxels[inside].mean()) / voxels[inside].std()
        return like(np.where(inside, scores, 0), picture)

    t1w = sitk.Resample(phantom.T1w, phantom.T2w)
    assert "brighter than some tissue" in background_note(scored(phantom.T2w))
    assert background_note(phantom.T2w) == ""
    assert not exchanged(scored(t1w), scored(phantom.T2w))
    assert not exchanged(scored(phantom.T2w), scored(t1w))


def test_system_files_are_not_of_a_series(tmp_path):
    for name in ("1.dcm", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in volume_files(tmp_path)] == ["1.dcm"]


# masks and contours

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


def circle(radius, height, count=120):
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.c_[60 + radius * np.cos(t), 60 + radius * np.sin(t), np.full(count, float(height))]


def fine_grid():
    grid = sitk.Image([300, 300, 8], sitk.sitkFloat32)
    grid.SetSpacing([0.4, 0.4, 3.0])
    return grid


@pytest.mark.parametrize("wall", [0.8, 1.0, 1.5])
def test_a_thin_rim_keeps_its_hole(tmp_path, wall):
    loops = [circle(r, 6) for r in (20, 20 - wall)]
    write_rtstruct(tmp_path / "r.dcm", {"GTV": loops}, "1.2.3")
    area = array(rasterise(tmp_path / "r.dcm", "GTV", fine_grid())).sum() * 0.16
    assert area == pytest.approx(np.pi * (20**2 - (20 - wall) ** 2), rel=0.06)


def test_a_contour_half_way_between_slices_fills_one(tmp_path):
    write_rtstruct(tmp_path / "r.dcm", {"GTV": [circle(10, 7.5)]}, "1.2.3")
    filled = array(rasterise(tmp_path / "r.dcm", "GTV", fine_grid())).any(axis=(1, 2))
    assert filled.sum() == 1


def test_open_contours_are_called_so(tmp_path):
    path = write_rtstruct(tmp_path / "r.dcm", {"GTV": [circle(10, 6)]}, "1.2.3")
    data = pydicom.dcmread(path)
    data.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    data.save_as(path)
    with pytest.raises(ContourError, match=r"expected closed contours.*found none: OPEN_PLANAR"):
        rasterise(path, "GTV", fine_grid())


@pytest.mark.parametrize(("name", "column"), [
    ("brain_mask_t2.nii.gz", ""), ("GTV_T2.nii.gz", "gtv"), ("flair_t2.nii.gz", "FLAIR"),
    ("FLAIR_T2w.nii.gz", "FLAIR"), ("swi_t2.nii.gz", ""), ("post_ax_t1.nii.gz", "ceT1w"),
    ("gd_tra_t1.nii.gz", "ceT1w"), ("ax_pre_t1.nii.gz", "T1w"), ("ax_t1.nii.gz", "T1w"),
    ("brain_tumor_seg.nii.gz", "gtv"), ("head_neck_gtv.nii.gz", "gtv"), ("brain_seg.nii.gz", ""),
])
def test_which_sequence_a_longer_name_says(tmp_path, name, column):
    (tmp_path / name).write_bytes(b"")
    assert column_of(tmp_path / name) == column


# the core by itself

def test_the_sobel_operator_has_a_derivative_where_it_is_flat():
    picture = torch.zeros(1, 1, 12, 12)
    picture[..., 4:8, 4:8] = torch.rand(4, 4)
    picture.requires_grad_()
    (slope,) = torch.autograd.grad(sobel_magnitude(picture).mean(), picture)
    assert torch.isfinite(slope).all()


def test_weights_can_be_learned_and_have_to_be_numbers():
    fused, sources = torch.rand(2, 1, 9, 9), torch.rand(2, 2, 9, 9)
    weights = torch.tensor([1.0, 8.0], requires_grad=True)
    loss = weighted_gradient_loss(fused, sources, weights, 0.03)
    assert loss.item() == pytest.approx(weighted_gradient_loss(fused, sources, (1, 8), 0.03).item())
    assert torch.autograd.grad(loss, weights)[0].abs().min() > 0
    for wrong in ((1.0, float("nan")), (1.0,), (1.0, 2.0, 3.0)):
        with pytest.raises(ValueError, match="one gradient weight per source"):
            weighted_gradient_loss(fused, sources, wrong, 0.03)


def test_half_precision_stays_in_its_range():
    edges = torch.zeros(1, 1, 16, 16)
    edges[..., ::2] = 2.2e-4
    half = edges.half()
    assert -1 <= float(pixelwise_gradient_loss(half, half, 1e-4)) <= 0
    with pytest.raises(ValueError, match="epsilon: expected at least"):
        pixelwise_gradient_loss(half, half, 1e-8)
    noise = torch.rand(1, 1, 300, 300).half()
    assert np.isfinite(float(pixelwise_gradient_loss(noise, noise, 1e-3, "sum")))


def test_relative_alignment_takes_volumes():
    volume = torch.rand(1, 1, 4, 9, 8)
    assert relative_alignment(volume, volume, 0.03, dims=3) == pytest.approx(1)


def test_rounding_is_no_noise_and_no_mean():
    picture, tumour, reference = np.full((20, 20), 0.1), *np.zeros((2, 20, 20), bool)
    tumour[:2], reference[5:9] = True, True
    picture[tumour] = 0.5
    with pytest.raises(ValueError, match="constant"):
        contrast_to_noise_ratio(picture, tumour, reference)
    with pytest.raises(ValueError, match="mean"):
        inter_patient_cv([0.1, 0.2, -0.3])


def test_one_slice_is_one_slice():
    rng = np.random.default_rng(0)
    picture, tumour, reference = rng.random((16, 16)), *np.zeros((2, 16, 16), bool)
    tumour[2:5, 2:5], reference[8:14, 8:14] = True, True
    both = [contrast_to_noise_ratio(picture, tumour, reference, pooled) for pooled in (True, False)]
    assert both[0] == pytest.approx(both[1])
    with pytest.raises(TypeError, match="masked"):
        contrast_to_noise_ratio(np.ma.masked_array(picture), tumour, reference)


# a run

@pytest.mark.parametrize(("name", "value"), [
    ("seed", 10**23), ("slice_size", 10**6), ("dpi", 10**6), ("crop", 10**9), ("channels", 10**6),
    ("phantom_slices", 10**9),
])
def test_parameters_have_an_upper_end(name, value):
    with pytest.raises(ParameterError, match=name):
        check_parameters({name: value})


@pytest.mark.parametrize(("text", "value"), [
    ("1e-3", 1e-3), ("1e2", 100.0), ("-2.5E+1", -25.0), ("e3", "e3"),
])
def test_numbers_with_an_exponent_are_numbers(text, value):
    assert plain_yaml(text) == value


def test_a_process_that_has_ended_is_not_alive():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(child.pid)
    assert alive(os.getpid())


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with supervised():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_every_step_has_its_rule(root):
    text = (root / "Snakefile").read_text()
    for step in AFTER:
        assert f"\nrule {_rule(step)}:\n" in text
