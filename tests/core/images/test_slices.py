"""Slices: their grid, their range, and what was not imaged."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.images import shifted
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from pgmif_core.images.patient import PatientSlices, before_moving, partly_imaged, place_sources
from pgmif_core.images.slices import (
    covered_slices,
    minmax_acquired,
    minmax_per_slice,
    normalised_slices,
    place_on_slices,
    slice_grid,
    slice_ranges,
    upright,
)
from pgmif_core.images.volumes import resample
from pgmif_core.images.windows import windowed


@pytest.mark.parametrize("offset", [20.0, 100.0, 1000.0, 31.5])
def test_an_offset_of_the_background_changes_no_slice(odd, offset):
    grid = slice_grid(odd.T2w)
    expected, imaged, _ = normalised_slices(windowed(odd.T2w, "T2w"), grid)
    found = normalised_slices(windowed(shifted(odd.T2w, offset), "T2w"), grid).planes
    np.testing.assert_allclose(found, expected, atol=4e-3)
    assert not found[~imaged].any()


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


def literal_minmax(volume, imaged, floor):
    """The range of every slice and what it makes of it, a pixel at a time."""
    ranges, scaled = [], np.zeros(volume.shape)
    for k, plane in enumerate(volume):
        seen = [float(plane[p]) for p in np.ndindex(*plane.shape) if imaged[k][p]]
        low, high = (min(seen), max(seen)) if seen else (0.0, 0.0)
        if 0 < len(seen) < plane.size and floor <= low < floor + 0.01 * (high - low):
            low = floor
        ranges.append((low, high))
        for p in np.ndindex(*plane.shape):
            if imaged[k][p] and high > low:
                scaled[k][p] = (plane[p] - low) / (high - low)
    return ranges, scaled


@settings(max_examples=80, deadline=None)
@given(arrays(np.int16, (3, 4, 5), elements=st.sampled_from([-3, 0, 1, 2, 120, 150, 250])),
       arrays(bool, (3, 4, 5), elements=st.sampled_from([True, True, True, False])),
       st.sampled_from([0.0, -3.0, 1.0]), st.booleans())
def test_ranges_and_slices_a_pixel_at_a_time(volume, imaged, floor, whole):
    imaged[0] = True
    imaged[1] &= not whole
    volume = volume.astype(np.float32)
    ranges, scaled = literal_minmax(volume, imaged, floor)
    np.testing.assert_allclose(slice_ranges(volume, imaged, floor), ranges)
    np.testing.assert_allclose(minmax_per_slice(volume, imaged, floor), scaled, atol=1e-6)
    everywhere = np.ones(volume.shape, bool)
    np.testing.assert_allclose(minmax_per_slice(volume), literal_minmax(volume, everywhere, 0.0)[1],
                               atol=1e-6)


def test_air_is_at_zero_where_nothing_else_is_said():
    volume, imaged = np.arange(1.0, 201).reshape(1, 10, 20), np.ones((1, 10, 20), bool)
    imaged[0, 9, 19] = False
    assert slice_ranges(volume - 0.5, imaged).tolist() == [[0, 198.5]]
    # outside its range after interpolation, which overshoots
    acquired = sitk.GetImageFromArray(np.float32([[[-0.2, 0.5], [1.0, 1.3]]]))
    planes = normalised_slices(acquired, acquired, minmax="acquired").planes
    np.testing.assert_allclose(planes, [[[0, 0.5], [1, 1]]])


def test_a_range_that_begins_near_the_floor_begins_there():
    for least, expected in ((2.5, 1.0), (3.5, 3.5)):  # a hundredth of 251 above 1, and more than that
        volume, imaged = np.full((1, 4, 5), 251.0), np.ones((1, 4, 5), bool)
        volume[0, 1, 2], imaged[0, 3, 4] = least, False
        assert slice_ranges(volume, imaged, floor=1.0).tolist() == [[expected, 251.0]]


@pytest.mark.parametrize(("grey", "share", "partly"), [
    (0.1, 0.02, True), (0.07, 0.02, False), (0.1, 0.004, False)])
def test_slices_are_partly_imaged_where_more_than_a_corner_of_the_head_is_missed(grey, share, partly):
    sources, imaged = np.zeros((1, 2, 30, 40), np.float32), np.ones((1, 30, 40), bool)
    sources[0, 1, :25] = grey  # 1000 pixels, of the head where they exceed 0.08
    imaged[0].flat[: round(1000 * share)] = False
    nothing, grid = np.zeros(imaged.shape, bool), sitk.Image(40, 30, 1, sitk.sitkFloat32)
    patient = PatientSlices("a", sources, nothing, nothing, grid, imaged)
    assert partly_imaged(patient).tolist() == [partly]


def test_covered_slices_show_something_of_every_source():
    sources = np.zeros((4, 2, 3, 5))
    sources[0, :, 1, 2] = sources[1, 0, 0, 0] = sources[3] = 0.1
    assert covered_slices(sources).tolist() == [True, False, False, True]


def by_slice(image, change):
    """An image with every slice of its upright view changed by `change(k, plane)`."""
    own = upright(image)
    planes = sitk.GetArrayFromImage(own).astype(np.float32)
    other = sitk.GetImageFromArray(np.stack([change(k, plane) for k, plane in enumerate(planes)]))
    other.CopyInformation(own)
    return other


def test_acquired_slices_each_fill_the_range(odd):
    sagittal = sitk.PermuteAxes(odd.T1w, [2, 0, 1])
    for image in (odd.T1w, odd.T2w, sagittal):
        scaled, own = minmax_acquired(image), upright(image)
        assert scaled.GetOrigin() == own.GetOrigin()
        assert scaled.GetDirection() == own.GetDirection()
        for after, before in zip(*map(sitk.GetArrayFromImage, (scaled, own)), strict=True):
            expected = (before - before.min()) / max(before.max() - before.min(), 1e-9)
            np.testing.assert_allclose(after, expected, atol=1e-5)


def test_where_nothing_is_interpolated_the_order_of_minmax_is_none(odd):
    grid = slice_grid(odd.T2w, max(upright(odd.T2w).GetSize()[:2]))
    orders = [place_sources({"T2w": odd.T2w}, grid, minmax=m) for m in ("placed", "acquired")]
    # padded slices begin at the level of air, others at their minimum
    np.testing.assert_allclose(orders[0].sources, orders[1].sources, atol=2e-3)
    assert (orders[1].ranges == [0, 1]).all()


def test_gains_of_acquired_slices_matter_only_where_they_are_moved_first(odd):
    """Slices each with another gain: gone if scaled before they are moved, else not."""
    grid = slice_grid(odd.T2w)
    uneven = by_slice(odd.T1w, lambda k, plane: plane * (1 + k % 3))
    same = {}
    for minmax in ("placed", "acquired"):
        both = [place_sources({"T1w": image}, grid, minmax=minmax).sources[:, 0]
                for image in (upright(odd.T1w), uneven)]
        same[minmax] = float(np.abs(both[0] - both[1]).max())
        assert 0 <= both[0].min() <= both[0].max() <= 1
    assert same["acquired"] < 1e-4 < 0.05 < same["placed"]
    assert sitk.GetArrayFromImage(before_moving(uneven, "T1w", "acquired")).max() == 1
    assert sitk.GetArrayFromImage(before_moving(uneven, "T1w")).max() > 1


def test_minmax_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        minmax_per_slice(np.full((1, 2, 2), np.nan))
    with pytest.raises(ValueError, match="NaN or infinite"):
        minmax_per_slice(np.array([[[0, 1], [2, np.inf]]]))


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
    padded = grid.GetSpacing()[0] == spacing[0]  # by whole pixels
    assert np.abs(middles[0] - middles[1]).max() <= (spacing[0] / 2 if padded else 0) + 1e-9


@pytest.mark.parametrize(("height", "width"), [(192, 160), (192, 161), (161, 192), (155, 192)])
@pytest.mark.parametrize("thickness", [1.0, 4.0])
def test_a_slice_that_fits_is_not_interpolated(height, width, thickness):
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((2, height, width), np.float32))
    image.SetSpacing((1.0, 1.0, thickness))
    placed = sitk.GetArrayFromImage(resample(image, slice_grid(image)))
    top, left = ((192 - n) // 2 for n in (height, width))  # whole pixels of padding
    np.testing.assert_array_equal(placed[:, top : top + height, left : left + width],
                                  sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("spacing", [(1.0, 1.5), (1.5, 1.0), (1.0, 1.0012), (1.0012, 1.0)])
def test_pixels_that_are_not_square_become_so(spacing):
    image = sitk.Image([192, 192, 3], sitk.sitkFloat32)
    image.SetSpacing((*spacing, 4.0))
    assert slice_grid(image).GetSpacing() == pytest.approx((max(spacing), max(spacing), 4.0), rel=1e-9)


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


@pytest.mark.parametrize(("spacing", "plane"), [
    ((1.4, 1, 1), "LPS"), ((1.6, 1, 1), "PIR"), ((2.0, 1.0, 1.4), "LPS"),
    ((2.2, 1.0, 1.4), "PIR"), ((0.9, 1.2, 0.7), "LPS"), ((0.8, 1.4, 0.7), "LIP")])
def test_slices_are_thick_from_one_and_a_half(spacing, plane):
    image = sitk.Image([20, 22, 24], sitk.sitkFloat32)
    image.SetSpacing(list(map(float, spacing)))
    assert sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        slice_grid(image, 32).GetDirection()) == plane


@pytest.mark.parametrize(("pixels", "smoothed"), [(220, False), (240, True), (264, True)])
def test_pixels_are_smoothed_where_they_grow_by_more_than_a_fifth(pixels, smoothed):
    noise = np.random.default_rng(0).normal(0, 1, (2, pixels, pixels)).astype(np.float32)
    image = sitk.GetImageFromArray(noise)
    grid = slice_grid(image)
    plain, placed = (sitk.GetArrayFromImage(f(image, grid)) for f in (resample, place_on_slices))
    assert bool(placed.std() < 0.95 * plain.std()) is smoothed
    if not smoothed:
        np.testing.assert_array_equal(placed, plain)


@pytest.mark.parametrize(("pixels", "smoothed"), [(3, False), (4, True)])
def test_what_is_too_narrow_for_a_gaussian_is_placed_as_it_is(pixels, smoothed):
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((2, pixels, pixels), np.float32))
    grid = sitk.Image([pixels // 2, pixels // 2, 2], sitk.sitkFloat32)
    grid.SetSpacing([2.0, 2.0, 1.0])
    plain, placed = (sitk.GetArrayFromImage(f(image, grid)) for f in (resample, place_on_slices))
    assert bool(np.abs(placed - plain).max() > 0.01) is smoothed


@pytest.mark.parametrize("order", ["LPS", "PIR", "ASL"])
@pytest.mark.parametrize(("size", "spacing"), [
    ((480, 300), (0.5, 0.8)),  # pixels grow 2.5 and 1.56 times
    ((4, 576), (0.4, 0.4)), ((3, 576), (0.4, 0.4)),  # too few to smooth along the first
    ((230, 230), (1.0, 1.0)),  # 1.198 times: left alone
])
def test_smoothing_is_a_gaussian_within_slices_however_they_are_stored(size, spacing, order):
    noise = np.random.default_rng(1).normal(0, 1, (9, *size[::-1])).astype(np.float32)
    image = sitk.GetImageFromArray(noise)
    image.SetSpacing((*spacing, 1.0))
    grid = slice_grid(image)
    thick = sitk.Image([192, 192, 3], sitk.sitkFloat32)  # every third slice, and nothing between
    thick.SetSpacing((*grid.GetSpacing()[:2], 3.0))
    thick.SetOrigin(grid.GetOrigin())
    factors = grid.GetSpacing()[0] / np.array(spacing)
    sigma = [0.5 * np.sqrt(f**2 - 1) if f > 1.2 and n > 3 else 0
             for f, n in zip(factors, size, strict=True)]
    smooth = sitk.GetImageFromArray(ndimage.gaussian_filter(noise, (0, *sigma[::-1]), mode="nearest"))
    smooth.CopyInformation(image)
    expected = sitk.GetArrayFromImage(resample(smooth, thick))
    found = sitk.GetArrayFromImage(place_on_slices(sitk.DICOMOrient(image, order), thick))
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=0.03)


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
