import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.regions import head_mask, reference_region
from pgmif_core.images.slices import minmax_per_slice, place_on_slices, slice_grid
from pgmif_core.images.store import TrainingSlices, patient_details, read_patient, write_patient


def head_scene():
    """A bright head with an air hole, a tumour, a noisy half and one calm square."""
    rng = np.random.default_rng(0)
    sources = np.zeros((2, 2, 80, 90))
    sources[:, :, 5:75, 5:85] = 0.5 + rng.normal(0, 0.08, (2, 2, 70, 80))
    calm = (slice(40, 56), slice(45, 61))
    sources[(slice(None), slice(None), *calm)] = 0.6
    sources[:, :, 20:30, 60:70] = 0.0
    tumour = np.zeros((2, 80, 90), bool)
    tumour[0, 30:36, 30:40] = True
    return sources, tumour, calm


def test_reference_is_the_calm_window_near_the_tumour():
    sources, tumour, calm = head_scene()
    reference = reference_region(sources, tumour, (1.0, 1.0))
    assert not reference[1].any()
    rows, columns = np.nonzero(reference[0])
    assert reference.sum() == 100
    assert rows.min() >= calm[0].start
    assert rows.max() < calm[0].stop
    assert columns.min() >= calm[1].start
    assert columns.max() < calm[1].stop


def test_reference_against_a_slow_search():
    sources, tumour, _ = head_scene()
    sources += np.random.default_rng(1).normal(0, 0.01, sources.shape)
    reference = reference_region(sources, tumour, (2.0, 1.5), 11.0, 3.0, 25.0)
    head = head_mask(sources)[0]
    distance = ndimage.distance_transform_edt(~tumour[0], sampling=(2.0, 1.5))
    height, width = round(11 / 2.0), round(11 / 1.5)
    best, place = np.inf, None
    for top in range(80 - height + 1):
        for left in range(90 - width + 1):
            box = (slice(top, top + height), slice(left, left + width))
            centre = distance[top + height // 2, left + width // 2]
            if not head[box].all() or distance[box].min() < 3 or centre > 25:
                continue
            variance = sum(sources[m, 0][box].var() for m in range(2))
            if variance < best:
                best, place = variance, box
    expected = np.zeros_like(tumour[0])
    expected[place] = True
    assert np.array_equal(reference[0], expected)


def test_reference_never_sees_the_fused_image_and_refuses_the_impossible():
    sources, tumour, _ = head_scene()
    with pytest.raises(ValueError, match="tumour mask is empty"):
        reference_region(sources, np.zeros_like(tumour), (1, 1))
    with pytest.raises(ValueError, match="expected a 60 mm window inside the head"):
        reference_region(sources, tumour, (1, 1), window_mm=60)


def test_head_mask_leaves_air_out_unless_filled():
    sources, _, _ = head_scene()
    assert not head_mask(sources)[0, 25, 65]
    assert head_mask(sources, fill=True)[0, 25, 65]
    assert not head_mask(sources, fill=True)[0, 1, 1]
    assert not head_mask(np.zeros((2, 1, 5, 5))).any()


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (3, 6, 5), elements=st.floats(-1e6, 1e6, width=32)))
def test_minmax_per_slice(volume):
    scaled = minmax_per_slice(volume)
    assert scaled.dtype == np.float32
    for before, after in zip(volume, scaled, strict=True):
        if before.min() == before.max():
            assert (after == 0).all()
        else:
            assert after.min() == 0
            assert after.max() == pytest.approx(1)


def test_minmax_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        minmax_per_slice(np.full((1, 2, 2), np.nan))


@pytest.mark.parametrize(("size", "spacing"), [
    ((168, 192), (1.2, 1.2)), ((181, 217), (1.0, 1.0)), ((100, 60), (0.5, 2.0)), ((240, 240), (1, 1)),
])
def test_slice_grid_keeps_aspect_and_place(size, spacing):
    image = sitk.Image([*size, 4], sitk.sitkFloat32)
    image.SetSpacing([*map(float, spacing), 3.0])
    image.SetOrigin((10.0, -20.0, 5.0))
    grid = slice_grid(image)
    assert grid.GetSize() == (192, 192, 4)
    assert grid.GetSpacing()[0] == grid.GetSpacing()[1]
    extent = max(s * p for s, p in zip(size, spacing, strict=True))
    assert grid.GetSpacing()[0] * 192 == pytest.approx(extent, rel=1e-6)
    middles = [
        np.array(i.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in i.GetSize()]))
        for i in (image, grid)
    ]
    assert np.abs(middles[0] - middles[1]).max() <= max(spacing) / 2 + 1e-9


def test_a_slice_that_fits_is_not_interpolated():
    from pgmif_core.images.volumes import resample

    image = sitk.GetImageFromArray(np.random.default_rng(0).random((2, 192, 160), np.float32))
    placed = sitk.GetArrayFromImage(resample(image, slice_grid(image)))
    np.testing.assert_array_equal(placed[:, :, 16:176], sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("order", ["LPS", "RAS", "LAS", "RPI", "PIR", "LIP", "SLA"])
def test_slices_do_not_depend_on_the_order_of_the_file(order, phantom):
    wanted, stored = slice_grid(phantom.T2w), sitk.DICOMOrient(phantom.T2w, order)
    grid = slice_grid(stored)
    assert grid.GetSize() == wanted.GetSize()
    np.testing.assert_allclose(grid.GetDirection(), np.eye(3).ravel(), atol=1e-12)
    np.testing.assert_allclose(grid.GetOrigin(), wanted.GetOrigin(), atol=1e-9)
    placed = [sitk.GetArrayFromImage(place_on_slices(i, wanted)) for i in (stored, phantom.T2w)]
    np.testing.assert_allclose(*placed, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("coarse", "plane"), [(0, "PIR"), (1, "LIP"), (2, "LPS")])
def test_thick_slices_keep_their_plane(coarse, plane):
    image = sitk.Image([20, 22, 24], sitk.sitkFloat32)
    image.SetSpacing([4.0 if axis == coarse else 1.0 for axis in range(3)])
    assert slice_grid(image, 32).GetSize()[2] == image.GetSize()[coarse]
    assert sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        slice_grid(image, 32).GetDirection()) == plane


def test_fine_matrices_are_smoothed_before_they_shrink():
    noise = np.random.default_rng(0).normal(0, 1, (2, 512, 512)).astype(np.float32)
    image = sitk.GetImageFromArray(noise)
    grid = slice_grid(image)
    placed = sitk.GetArrayFromImage(place_on_slices(image, grid))
    spread = placed[:, 10:-10, 10:-10].std()
    # the mean over pixels 2.67 times as wide has σ/2.67; linear sampling alone keeps 0.4-1.0 σ
    assert spread < 0.5
    flat = sitk.GetImageFromArray(np.full((2, 512, 512), 3, np.float32))
    middle = sitk.GetArrayFromImage(place_on_slices(flat, grid))[:, 5:-5, 5:-5]
    np.testing.assert_allclose(middle, 3, rtol=1e-4)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    for subject in ("a", "b"):
        sources = rng.random((5, 2, 48, 48), np.float32)
        sources[0] = 0
        mask = np.zeros((5, 48, 48), bool)
        grid = sitk.Image([48, 48, 5], sitk.sitkFloat32)
        write_patient(tmp_path, PatientSlices(subject, sources, mask, mask, grid), {"note": 1})
    return tmp_path


def test_store_round_trip_is_memory_mapped(store):
    patient = read_patient(store, "a")
    assert isinstance(patient.sources, np.memmap)
    assert patient.grid.GetSize() == (48, 48, 5)
    assert patient_details(store, "a")["note"] == 1
    assert patient_details(store, "nobody") is None
    with pytest.raises(FileNotFoundError, match="01_preprocessing"):
        read_patient(store, "nobody")


def test_training_batches_depend_on_seed_and_iteration_alone(store):
    slices = TrainingSlices(store, ["a", "b"], 32, seed=3)
    assert len(slices) == 8
    first, again = slices.batch(7, 4), TrainingSlices(store, ["a", "b"], 32, 3).batch(7, 4)
    assert first.shape == (4, 2, 32, 32)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, slices.batch(8, 4))
    assert slices.batch(0, 20).shape[0] == 20
    with pytest.raises(ValueError, match="larger than the slices"):
        TrainingSlices(store, ["a"], 64, 0)
