"""Contours → planes → voxels, part by part and by hand: every limit just below and just above it."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.dicoms import oblique

from pgmif_core.images.dicom import ContourError, filling
from pgmif_core.images.dicom.filling import Planes, contour_planes, fill_slices, filled

UP = np.array([0.0, 0.0, 1.0])
PATH = Path("rs.dcm")


def square(side=20.0, height=0.0, centre=(0.0, 0.0)):
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * side / 2 + centre
    return np.column_stack([corners, np.full(4, float(height))])


def grid(step=3.0, size=(40, 30, 8), origin=(0.0, 0.0, 0.0), direction=None):
    made = sitk.Image(size, sitk.sitkUInt8)
    made.SetSpacing((1.0, 2.0, step))
    made.SetOrigin(origin)
    made.SetDirection(np.ravel(np.eye(3) if direction is None else direction).tolist())
    return made


def tilted(degrees, side=20.0, axis=(1.0, 0.0, 0.0)):
    return square(side) @ oblique(degrees, axis).T


@pytest.mark.parametrize("side", [20.0, 0.5])  # of a quarter of a square millimetre, too
def test_the_normal_is_that_of_the_contours_whichever_way_they_run(side):
    normal = oblique(3, (1, 0, 0)) @ UP
    for loops in ([tilted(3, side)], [tilted(3, side)[::-1]], [tilted(3, side), tilted(3, side)[::-1]]):
        np.testing.assert_allclose(filling._normal(loops, UP), normal, atol=1e-12)
    line = np.array([(0, 0, 0), (1, 0, 0), (2, 0, 0)], float)
    np.testing.assert_array_equal(filling._normal([line], UP), UP)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0, 0.0)])
@pytest.mark.parametrize("direction", [np.eye(3), oblique(25)])
def test_the_frame_is_the_grids_turned_to_the_contours(axis, direction):
    for milli_radians in (0.5, 0.9, 1.2, 40, 80):  # 4.6 degrees
        turned = oblique(np.rad2deg(milli_radians / 1000), axis)
        loop = square() @ (direction @ turned).T
        frame = filling._frame(PATH, [loop], grid(direction=direction))
        if milli_radians < 1:
            np.testing.assert_array_equal(frame, direction.reshape(3, 3))
            continue
        np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(frame[:, 2], (direction @ turned)[:, 2], atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1)
        # of the grid's first axis as much as lies in the plane
        assert frame[:, 0] @ direction[:, 0] == pytest.approx(
            np.sqrt(1 - (direction[:, 0] @ frame[:, 2]) ** 2), abs=1e-12)


def test_steep_planes_are_refused_with_how_many_slices_they_cross():
    """Of 20 mm, at 6 degrees: 2.09 mm, of slices of 1.5 mm 1.4; a smaller contour crosses less."""
    loops = [tilted(6, 20.0), tilted(6, 4.0)]
    for several in (loops, loops[::-1]):
        with pytest.raises(ContourError, match=r"crosses 1\.4 of them \(tilted by 6°\)"):
            filling._frame(PATH, several, grid(1.5))


def test_no_contour_has_no_plane():
    planes = contour_planes(PATH, [], grid(origin=(1.0, 2.0, 3.0)))
    np.testing.assert_array_equal(planes.frame, np.eye(3))
    assert (planes.origin.tolist(), planes.heights.shape, planes.loops, planes.pixel) == (
        [1, 2, 3], (0,), [], 1.0)
    assert not fill_slices(planes, grid()).any()


def test_contours_that_are_not_flat_are_refused():
    for bent, refused in ((1.4, False), (1.6, True)):
        loop = square() + np.outer([0, bent, 0, bent], UP)  # no tilt on the whole
        if refused:
            with pytest.raises(ContourError, match=r"found one that crosses 0\.5 of them"):
                contour_planes(PATH, [square(), loop], grid())
        else:
            assert len(contour_planes(PATH, [square(height=6), loop], grid()).heights) == 2


@pytest.mark.parametrize(("heights", "expected"), [
    ([0, 0.04], [0.02]), ([0, 0.06], [0, 0.06]),  # at least a twentieth of a millimetre
    ([0, 3, 6, 6.7], [0, 3, 6.35]), ([0, 3, 6, 6.8], [0, 3, 6, 6.8]),  # a quarter of the usual distance
    ([0, 30, 60, 61.4], [0, 30, 60.7]), ([0, 30, 60, 61.6], [0, 30, 60, 61.6]),  # of two slices at most
    ([6, 0, 3.2, 3], [0, 3.1, 6]),
])
def test_which_heights_are_one_plane(heights, expected):
    loops = [square(10 + k, height) for k, height in enumerate(heights)]
    planes = contour_planes(PATH, loops, grid())
    np.testing.assert_allclose(planes.heights, expected)
    assert sum(map(len, planes.loops)) == len(heights)
    assert planes.pixel == contour_planes(PATH, loops, grid(0.5)).pixel == 1.0
    assert all(loop.shape == (4, 2) for of in planes.loops for loop in of)


def planes_at(heights, loops=None, pixel=1.0):
    loops = loops or [[square(10)[:, :2]] for _ in heights]
    return Planes(np.eye(3), np.zeros(3), np.array(heights, float), loops, pixel)


@pytest.mark.parametrize(("heights", "step", "expected"), [
    ([0], 3, (1.5, 1.499)), ([0, 3], 3, (1.5, 1.499)), ([0, 1], 3, (1.5, 1.499)),
    ([0, 4], 3, (2, 1.999)), ([0, 5], 3, (2.5, 1.75)),  # from three quarters of a slice on
    ([0, 6, 12], 3, (3, 2.25)), ([0, 30, 36], 3, (3, 2.25)), ([0, 12], 3, (5, 4.25)),
    ([0], 12, (6, 5.999)), ([0, 20], 12, (6, 5.999)),
])
def test_how_far_a_contour_reaches(heights, step, expected):
    assert filling._reach(planes_at(heights), step) == pytest.approx(expected)


@pytest.mark.parametrize(("heights", "reach", "covered", "empty"), [
    ([0, 3, 6], (1.5, 1.499), {-1.5005: 0, 0: 0, 1.5: 0, 1.501: 1, 4.5: 1, 4.501: 2, 7.499: 2},
     [-1.5012, 7.5, 9]),
    ([0, 6, 12], (3, 2.25), {-2.25: 0, 3: 0, 3.001: 1, 9: 1, 14.25: 2}, [-2.26, 14.26]),
    ([0, 30], (1.5, 1.499), {1.5: 0, 1.5009: 0, 28.5: 1, 31.4: 1}, [1.5012, 15, 28.49, 31.5]),
    ([4], (1.5, 1.499), {2.5: 0, 4: 0, 5.499: 0}, [2.498, 5.5]),
])
def test_the_nearest_plane_within_reach_counts(heights, reach, covered, empty):
    """Each plane has a square of its own beside the others."""
    loops = [[square(4, centre=(10 * k, 0))[:, :2]] for k in range(len(heights))]
    planes = planes_at(heights, loops)
    expected = covered | dict.fromkeys(empty)
    points = np.array([(10.0 * k, 0.0, z) for z in expected for k in range(len(heights))])
    found = filling._covered(planes, points, reach).reshape(len(expected), len(heights))
    for row, (z, plane) in zip(found, expected.items(), strict=True):
        assert np.flatnonzero(row).tolist() == ([] if plane is None else [plane]), z


def test_the_box_that_contours_touch_and_its_subpixels():
    direction = oblique(20, (0, 0, 1))
    own = grid(origin=(5.0, -3.0, 2.0), direction=direction)

    def at(*index):
        return np.array(own.TransformContinuousIndexToPhysicalPoint(index))

    loop = np.array([at(10.3, 5.2, 1), at(20.6, 5.2, 1), at(20.6, 8.9, 1), at(10.3, 8.9, 1)])
    planes = contour_planes(PATH, [loop], own)
    low, high = filling._box(planes, own)
    assert (low.tolist(), high.tolist()) == ([9, 4], [23, 11])
    moved = [loop + at(*by, 0) - at(0, 0, 0) for by in ((-15, -7), (25, 25))]
    outside = contour_planes(PATH, moved, own)
    assert [x.tolist() for x in filling._box(outside, own)] == [[0, 0], [40, 30]]
    nowhere = filling._box(contour_planes(PATH, [loop + at(-60, -60, 0) - at(0, 0, 0)], own), own)
    assert [x.tolist() for x in nowhere] == [[0, 0], [0, 0]]
    points = filling._subpixels(own, 3, np.array([9, 4]), np.array([23, 11]))
    assert points.shape == (7 * 4, 14 * 4, 3)
    for row, column in ((0, 0), (5, 3), (27, 55)):
        index = (9 + (column + 0.5) / 4 - 0.5, 4 + (row + 0.5) / 4 - 0.5, 3)
        np.testing.assert_allclose(points[row, column], at(*index), atol=1e-9)
    for high in ([9, 11], [23, 4], [8, 3]):
        assert filling._subpixels(own, 3, np.array([9, 4]), np.array(high)) is None


@pytest.mark.parametrize(("begin", "columns"), [(10.0, range(10, 21)), (10.1, range(10, 21)),
                                                (10.2, range(11, 21))])
def test_a_voxel_is_filled_from_half_of_it_on(begin, columns):
    """By its four by four subpixels, at eighths of a pixel."""
    loop = np.array([(begin, 7.0, 3.0), (20.0, 7.0, 3.0), (20.0, 41.0, 3.0), (begin, 41.0, 3.0)])
    mask = fill_slices(contour_planes(PATH, [loop], grid()), grid())
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [1]
    assert np.flatnonzero(mask[1, 10]).tolist() == list(columns)
    assert np.flatnonzero(mask[1, :, 15]).tolist() == list(range(4, 21))  # from 3.5 to 20.5


@pytest.mark.parametrize(("outer", "inner", "pixel", "hole"), [
    (20, 19, 2, False), (20, 18.8, 2, True),  # nine tenths of the area
    (40, 38.73, 1, True), (40, 39.24, 1, False),  # half a pixel all round
    (20, 8, 1, True), (20, 19.9, 1, False),
])
def test_what_is_a_hole_and_what_a_copy(outer, inner, pixel, hole):
    loops = [square(outer)[:, :2], square(inner)[:, :2]]
    rim = (outer + inner) / 4
    for several in (loops, loops[::-1]):
        found = filled(several, np.array([(0.0, 0.0), (rim, 0.0), (outer, 0.0)]), pixel)
        assert found.tolist() == [not hole, True, False]


def test_what_sticks_out_by_more_than_a_fiftieth_is_joined():
    outer = square(40)[:, :2]
    for out, hole in ((0.2, True), (0.8, False)):
        inner = square(20, centre=(10 + out, 0))[:, :2]
        found = filled([outer, inner], np.array([(10.0, 0.0), (20 + out / 2, 0.0), (-10.0, 0.0)]), 1.0)
        assert found.tolist() == [not hole, not hole, True]


def test_a_contour_smaller_than_what_is_looked_at_is_kept():
    speck = square(0.01, centre=(30.003, 0.002))[:, :2]
    found = filled([square(20)[:, :2], square(8)[:, :2], speck],
                   np.array([(30.003, 0.002), (0.0, 0.0), (9.0, 0.0), (20.0, 0.0)]), 1.0)
    assert found.tolist() == [True, False, True, False]
    assert filled([square(20)[:, :2], speck], np.array([(30.003, 0.002)]), 1.0).all()
    small_hole = filled([square(2)[:, :2], square(0.8)[:, :2]], np.array([(0.0, 0.0), (0.9, 0.0)]), 0.1)
    assert small_hole.tolist() == [False, True]


def test_of_nested_contours_every_second_is_a_hole():
    loops = [square(side)[:, :2] for side in (10, 40, 20, 30)]
    points = np.array([(17.0, 0.0), (12.0, 0.0), (7.0, 0.0), (0.0, 0.0)])
    assert filled(loops, points, 1.0).tolist() == [True, False, True, False]


def test_lengths_and_samples_by_hand():
    loop = np.array([(0, 0), (6, 0), (6, 2), (0, 2)], float)
    assert filling._length(loop) == 16
    assert filling._length(loop[:3]) == pytest.approx(8 + np.hypot(6, 2))
    points, area = filling._samples([loop, loop + np.array([2, 6])])
    assert points.shape == (128**2, 2)
    assert area == pytest.approx(8 * 8 / 128**2)
    np.testing.assert_allclose(points.min(axis=0), 1 / 32)
    np.testing.assert_allclose(points.max(axis=0), 8 - 1 / 32)
    assert len(np.unique(points[:, 0])) == len(np.unique(points[:, 1])) == 128
