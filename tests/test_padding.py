"""What was not imaged is no intensity: padding, offsets, hot voxels, fields of view that differ."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from dicoms import image, write_dicom_series
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif.cohort.manifest import read_manifest
from pgmif.figures.qc import missing_parts
from pgmif.one_patient import fuse_images, measure
from pgmif.runs.parameters import Parameters
from pgmif.steps.preprocessing import preprocess_patient
from pgmif_core.evaluation.measures import fuse_volume, t2w_where_alone
from pgmif_core.images.modalities import hot_voxels, windowed
from pgmif_core.images.patient import PatientSlices, partly_imaged
from pgmif_core.images.regions import reference_region
from pgmif_core.images.slices import minmax_per_slice, normalised_slices, slice_grid
from pgmif_core.images.store import read_patient
from pgmif_core.images.volumes import air_level, imaged_part, read_image, resample, write_image
from pgmif_core.methods.pgmif_plus import PlusSettings, standardised
from pgmif_core.phantom import PhantomSize, make_phantom


@pytest.fixture(scope="module")
def odd():
    return make_phantom(5, PhantomSize(12, 6.0, 2.4))


def shifted(picture, offset):
    return sitk.Cast(picture + offset, sitk.sitkFloat32)


@pytest.mark.parametrize("offset", [20.0, 100.0, 1000.0, 31.5])
def test_an_offset_of_the_background_changes_no_slice(odd, offset):
    grid = slice_grid(odd.T2w)
    expected, imaged = normalised_slices(windowed(odd.T2w, "T2w"), grid)
    found, _ = normalised_slices(windowed(shifted(odd.T2w, offset), "T2w"), grid)
    np.testing.assert_allclose(found, expected, atol=4e-3)
    assert not found[~imaged].any()


@pytest.mark.parametrize("method", ["moi", "average"])
def test_an_offset_of_the_background_changes_no_cnr(odd, method):
    t1w = sitk.Resample(odd.T1w, odd.T2w, sitk.Transform(), sitk.sitkLinear, 0.0)
    cnr = {}
    for offset in (0.0, 50.0):
        images = {"T1w": shifted(t1w, offset), "T2w": shifted(odd.T2w, offset)}
        fused = fuse_images(images, method).image
        table = measure(fused, odd.gtv, images).set_index("image")
        cnr[offset] = table["cnr"]
    np.testing.assert_allclose(cnr[50.0], cnr[0.0], atol=0.05)


def test_padding_decides_no_range():
    rng = np.random.default_rng(0)
    volume = (rng.random((3, 9, 8)) + 1).astype(np.float32)
    imaged = np.ones(volume.shape, bool)
    imaged[:, :2] = False
    volume[~imaged] = -1000
    found = minmax_per_slice(volume, imaged)
    np.testing.assert_allclose(found[:, 2:], minmax_per_slice(volume[:, 2:]))
    assert not found[~imaged].any()
    imaged[1] = False
    assert not minmax_per_slice(volume, imaged)[1].any()


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


@pytest.mark.parametrize(("padding", "limit", "signed"),
    [(-2000, None, 1), (0, None, 1), (-2000, -1500, 1)])
def test_pixel_padding_is_as_dark_as_air(tmp_path, padding, limit, signed):
    voxels = np.random.default_rng(0).integers(10, 900, (6, 16, 17)).astype(float)
    voxels[:, :4] = padding if limit is None else np.linspace(padding, limit, 4)[:, None]
    more = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    folder = write_dicom_series(image(voxels), tmp_path / "s", PixelPaddingValue=padding, **more)
    found = sitk.GetArrayFromImage(read_image(folder))
    assert found.min() == voxels[:, 4:].min()
    np.testing.assert_array_equal(found[:, 4:], voxels[:, 4:])
    assert (found[:, :4] == voxels[:, 4:].min()).all()


@pytest.mark.parametrize("value", [32767.0, -9000.0])
@pytest.mark.parametrize("count", [1, 3])
def test_hot_voxels_are_cut_and_named(odd, value, count):
    hot = sitk.Image(odd.T2w)
    for k in range(count):
        hot[2 + 3 * k, 2, 5] = value
    assert hot_voxels(hot) == [5]
    assert hot_voxels(odd.T2w) == hot_voxels(odd.T1w) == []
    cnr = [float(measure(i, odd.gtv, {"T2w": i}).cnr[0]) for i in (odd.T2w, hot)]
    assert cnr[1] == pytest.approx(cnr[0], abs=0.05)
    kept = sitk.GetArrayFromImage(windowed(hot, "T2w")) - sitk.GetArrayFromImage(odd.T2w)
    assert np.count_nonzero(kept) <= count


def test_hot_voxels_and_missing_parts_are_flagged(odd, tmp_path):
    t1w = sitk.Image(odd.T1w)
    t1w[3, 3, 4] = 30000.0
    narrow = t1w[28:, :, :]  # misses a part of the head in every slice
    for k in (1, 2):
        for name, picture in (("T1w", narrow), ("T2w", odd.T2w), ("gtv", odd.gtv)):
            write_image(picture, tmp_path / f"{name}{k}.nii.gz")
    rows = [f"s{k},{s},T1w{k}.nii.gz,T2w{k}.nii.gz,gtv{k}.nii.gz,x,y" for k,
        s in ((1, "train"), (2, "test"))]
    header = "subject,split,T1w,T2w,gtv,source,license"
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]) + "\n")
    row = preprocess_patient(read_manifest(tmp_path / "m.csv"), tmp_path / "store",
                             Parameters(register_bspline=False), tmp_path / "registered", "s2")
    assert "T1w does not show" in row["flags"]
    patient = read_patient(tmp_path / "store", "s2")
    assert not (patient.gtv & ~patient.imaged).any()
    assert not (patient.reference & ~patient.imaged).any()
    assert partly_imaged(patient).any()
    t1w[3, 3, 4] = 0.0
    t1w[60, 50, 4] = 30000.0
    write_image(t1w, tmp_path / "T1w2.nii.gz")
    row = preprocess_patient(read_manifest(tmp_path / "m.csv"), tmp_path / "store",
                             Parameters(register_bspline=False), tmp_path / "registered", "s2")
    assert "T1w: a few voxels beyond all others cut in slice 4" in row["flags"]
    assert "does not show" not in row["flags"]


def test_flags_need_more_than_a_corner():
    t2w = np.ones((4, 10, 10))
    tumour = np.zeros(t2w.shape, bool)
    tumour[1:3, 4:6, 4:6] = True
    whole, corner, half = (np.ones(t2w.shape, bool) for _ in range(3))
    corner[:, 0, 0] = False
    half[:, :, :5] = False
    parts = {"T2w": half, "T1w": corner, "CT": whole}
    assert missing_parts(parts, t2w, tumour) == []
    assert missing_parts({"T1w": half}, t2w, tumour) == [
        "T1w does not show 50.0 % of the head and 50.0 % of the tumour"]
    half[0] = False  # a slice that it does not show at all is flagged elsewhere
    assert "50.0 % of the head" in missing_parts({"T1w": half}, t2w, tumour)[0]


def partial(odd, keep):
    """A patient whose T1w shows only part of the slices' columns."""
    grid = slice_grid(odd.T2w, 96)
    t2w, _ = normalised_slices(odd.T2w, grid)
    imaged = np.ones(t2w.shape, bool)
    imaged[:, :, keep:] = False
    sources = np.stack([np.where(imaged, t2w * 0.8, 0), t2w], axis=1).astype(np.float32)
    nothing = np.zeros(t2w.shape, bool)
    return PatientSlices("", sources, nothing, nothing, grid, imaged), t2w


@pytest.mark.parametrize("method", ["average", "pwa", "laplacian", "pgmif_plus"])
def test_where_t1w_was_not_imaged_the_fused_image_is_t2w(odd, method):
    import torch

    patient, t2w = partial(odd, 60)
    weights = PlusSettings((0.5, 0.5)) if method == "pgmif_plus" else None
    raw = fuse_volume(method, patient, weights)
    found = t2w_where_alone(raw, method, patient)
    outside = ~patient.imaged & partly_imaged(patient)[:, None, None]
    seen = standardised(torch.from_numpy(t2w[:, None])).numpy()[:, 0] if weights else t2w
    np.testing.assert_allclose(found[outside], seen[outside], atol=1e-6)
    np.testing.assert_array_equal(found[patient.imaged], raw[patient.imaged])
    if method == "average":
        assert raw[outside].sum() == pytest.approx(0.5 * t2w[outside].sum(), rel=1e-3)


@pytest.mark.parametrize("cut", ["slices", "columns"])
def test_fuse_says_where_t2w_stands_alone_and_keeps_its_brightness(odd, tmp_path, cut):
    t1w = odd.T1w[:, :, :8] if cut == "slices" else odd.T1w[: odd.T1w.GetSize()[0] - 36, :, :]
    write_image(t1w, tmp_path / "t1.nii.gz")
    write_image(odd.T2w, tmp_path / "t2.nii.gz")
    done = CliRunner().invoke(app, [
        "fuse", "--t1w", str(tmp_path / "t1.nii.gz"), "--t2w", str(tmp_path / "t2.nii.gz"), "--method",
        "average", "-o", str(tmp_path / "f.nii.gz"), "--save-registered", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert "there the fused image is T2w alone" in " ".join(done.output.split())
    fused = sitk.GetArrayFromImage(read_image(tmp_path / "f.nii.gz"))
    t2w = minmax_per_slice(sitk.GetArrayFromImage(odd.T2w))
    part = (slice(10, 12),) if cut == "slices" else (slice(None), slice(None), slice(-24, None))
    tissue = t2w[part] > 0.15
    assert np.median(fused[part][tissue] / t2w[part][tissue]) == pytest.approx(1, abs=0.05)


def test_evaluate_measures_the_slices_that_the_pipeline_does(odd):
    t1w = sitk.Resample(odd.T1w, odd.T2w, sitk.Transform(), sitk.sitkLinear, 0.0)
    tumour = np.flatnonzero(sitk.GetArrayViewFromImage(odd.gtv).any(axis=(1, 2)))
    cut = sitk.GetArrayFromImage(t1w)
    cut[tumour[-1] :] = 0  # not imaged there
    short = sitk.GetImageFromArray(cut)
    short.CopyInformation(t1w)
    kept = sitk.GetArrayFromImage(odd.gtv)
    kept[tumour[-1] :] = 0
    inside = sitk.GetImageFromArray(kept)
    inside.CopyInformation(odd.gtv)
    tables = [measure(odd.T2w, gtv, {"T1w": short, "T2w": odd.T2w}) for gtv in (odd.gtv, inside)]
    pd.testing.assert_frame_equal(*tables)


def test_the_calmest_window_is_not_looked_for_where_nothing_was_imaged():
    rng = np.random.default_rng(0)
    sources = rng.random((2, 1, 60, 60)) * 0.3 + 0.5
    sources[0, :, :, 40:] = 0
    tumour = np.zeros((1, 60, 60), bool)
    tumour[0, 25:35, 30:38] = True
    imaged = np.ones((1, 60, 60), bool)
    imaged[:, :, 40:] = False
    region = reference_region(sources, tumour, (1.0, 1.0), imaged=imaged)
    assert region.any()
    assert not (region & ~imaged).any()
    assert (reference_region(sources, tumour, (1.0, 1.0)) & ~imaged).any()
