"""RTSTRUCT → mask: against analytic shapes at small tilts, and contours that lie over one another."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicoms import image, oblique, write_rtstruct
from helpers.images import array, dice

from pgmif_core.images.dicom import ContourError, rasterise

FRAME = "1.2.3"


def grid_of(thickness=3.0, direction=None, size=(64, 64, 24)):
    grid = image(np.zeros(size[::-1]), (1.5, 1.5, thickness), direction, (-48, -48, -36))
    grid.SetMetaData("frame-of-reference", FRAME)
    return grid


def centre_of(grid):
    return np.array(grid.TransformContinuousIndexToPhysicalPoint([n / 2 for n in grid.GetSize()]))


def ring(centre, radius, axes, height, count=80, scale=1.0):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return centre + radius * (np.cos(angle)[:, None] * axes[:, 0]
                              + scale * np.sin(angle)[:, None] * axes[:, 1]) + height * axes[:, 2]


def ellipsoids(grid, axes, thickness, lesions):
    """Contours of ellipsoids (offset in mm, radius) on planes `thickness` apart, normal axes[:, 2]."""
    loops, centre = [], centre_of(grid)
    for offset, radius in lesions:
        middle = centre + np.array(offset, float)
        base = (middle - centre) @ axes[:, 2]
        for k in range(-20, 21):
            height = k * thickness - base  # the planes of all lesions are the same ones
            if abs(height) < radius:
                loops.append(ring(middle, np.sqrt(radius**2 - height**2), axes, height))
    return loops


def truth(grid, lesions):
    depth, rows, columns = grid.GetSize()[::-1]
    k, j, i = np.mgrid[0:depth, 0:rows, 0:columns]
    steps = np.array(grid.GetDirection()).reshape(3, 3) * np.array(grid.GetSpacing())
    points = np.stack([i, j, k], axis=-1) @ steps.T + np.array(grid.GetOrigin())
    middle = centre_of(grid)
    return np.any([np.linalg.norm(points - middle - np.array(o, float), axis=-1) < r for o,
        r in lesions],
                  axis=0)


def mask_of(path, grid, loops):
    write_rtstruct(path, {"GTV": loops}, FRAME)
    return sitk.GetArrayFromImage(rasterise(path, "GTV", grid)) > 0


@pytest.mark.parametrize("lesions", [
    [((0, 0, 0), 18)], [((-24, -6, 0), 14), ((24, 4, 0), 15)],
    [((-24, 0, 12), 11), ((22, 0, -14), 12), ((0, 20, 0), 9)],
])
@pytest.mark.parametrize("degrees", [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("thickness", [3.0, 1.5])
def test_tilted_planes_give_the_analytic_shape(tmp_path, lesions, degrees, thickness):
    grid = grid_of(thickness, size=(64, 64, int(72 / thickness)))
    axes = oblique(degrees, (1, 0.4, 0))
    mask = mask_of(tmp_path / "rs.dcm", grid, ellipsoids(grid, axes, thickness, lesions))
    expected = truth(grid, lesions)
    assert dice(mask, expected) > 0.97
    drawn = np.flatnonzero(expected.any(axis=(1, 2)))
    assert set(np.flatnonzero(mask.any(axis=(1, 2)))) <= set(range(drawn[0] - 1, drawn[-1] + 2))


@pytest.mark.parametrize("degrees", [0.0, 0.6, 1.0])
def test_tilt_against_an_oblique_grid(tmp_path, degrees):
    direction = oblique(25)
    grid = grid_of(direction=direction)
    axes = oblique(degrees, (0, 1, 0.2)) @ direction
    lesions = [((-20, 0, 0), 13), ((20, 3, 2), 12)]
    mask = mask_of(tmp_path / "rs.dcm", grid, ellipsoids(grid, axes, 3.0, lesions))
    assert dice(mask, truth(grid, lesions)) > 0.97


def test_planes_that_cross_slices_are_refused(tmp_path):
    grid = grid_of()
    loops = ellipsoids(grid, oblique(15, (1, 0, 0)), 3.0, [((0, 0, 0), 18)])
    with pytest.raises(ContourError, match=r"crosses .* of them"):
        mask_of(tmp_path / "rs.dcm", grid, loops)


def flat(grid, radius, k=12, shift=(0.0, 0.0), scale=1.0, reverse=False):
    """A circle on slice k."""
    corner = np.array(grid.TransformIndexToPhysicalPoint((32, 32, k))) + np.array([*shift, 0])
    loop = ring(corner, radius, np.eye(3), 0.0, 100, scale)
    return loop[::-1] if reverse else loop


def area(path, grid, loops, k=12):
    return mask_of(path, grid, loops)[k].sum() * 1.5**2


@pytest.mark.parametrize("degrees", [0.0, 0.5])
@pytest.mark.parametrize(("loops", "expected"), [
    ([(20,), (20,)], 20**2), ([(20,), (20,), (20,)], 20**2), ([(20,), (19.5,)], 20**2),
    ([(20,), (8,)], 20**2 - 8**2), ([(20,), (20,), (8,)], 20**2 - 8**2),
    ([(20,), (8,), (8,)], 20**2 - 8**2),
    ([(24,), (16,), (8,)], 24**2 - 16**2 + 8**2), ([(24,), (24,), (16,), (16,), (8,), (8,)], 384),
    ([(20,), (8, (12, 0)), (8, (-11, 0))], 20**2 - 2 * 8**2),
    ([(10, (-20, 0)), (10, (20, 0))], 200), ([(10, (-20, 0)), (10, (20, 0)), (4, (20, 0))], 200 - 16),
])
def test_copies_holes_and_islands(tmp_path, loops, expected, degrees):
    grid = grid_of()
    made = [flat(grid, *(loop if len(loop) == 2 else (loop[0],))) if len(loop) == 1 else
            flat(grid, loop[0], shift=loop[1]) for loop in loops]
    if degrees:
        middle = flat(grid, 1).mean(axis=0)
        made = [(loop - middle) @ oblique(degrees, (1, 0, 0)).T + middle for loop in made]
    assert area(tmp_path / "rs.dcm", grid, made) == pytest.approx(np.pi * expected, rel=0.04)
    assert area(tmp_path / "rs.dcm", grid, made[::-1]) == pytest.approx(np.pi * expected, rel=0.04)


def test_overlaps_are_joined_and_nothing_is_lost(tmp_path):
    grid = grid_of()
    one, two = flat(grid, 12, shift=(-6, 0)), flat(grid, 12, shift=(6, 0), reverse=True)
    alone = [mask_of(tmp_path / "rs.dcm", grid, [loop]) for loop in (one, two)]
    both = mask_of(tmp_path / "rs.dcm", grid, [one, two])
    assert (both ^ (alone[0] | alone[1])).sum() <= 2  # border pixels that both cover in part


def test_a_keyhole_is_a_hole(tmp_path):
    grid = grid_of()
    outer, inner = flat(grid, 20), flat(grid, 8, reverse=True)
    keyhole = np.vstack([outer, outer[:1], inner, inner[:1]])
    assert area(tmp_path / "rs.dcm", grid, [keyhole]) == pytest.approx(np.pi * (400 - 64), rel=0.05)


@pytest.mark.parametrize("degrees", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("slices", "filled"), [
    ((8, 9, 10), (8, 9, 10)), ((8, 9, 12, 13), (8, 9, 12, 13)), ((8, 9, 11), (8, 9, 11)), ((8,), (8,)),
    ((6, 8, 10, 12), tuple(range(6, 13))), ((4, 7, 10, 13), tuple(range(3, 15))),
    ((8, 20, 21), (8, 20, 21)),
])
def test_no_slice_is_invented(tmp_path, slices, filled, degrees):
    grid = grid_of()
    loops = [flat(grid, 9, k) for k in slices]
    middle = centre_of(grid)
    loops = [(loop - middle) @ oblique(degrees, (0, 1, 0)).T + middle for loop in loops]
    found = mask_of(tmp_path / "rs.dcm", grid, loops)
    assert tuple(np.flatnonzero(found.sum(axis=(1, 2)) > 20)) == filled


@pytest.mark.parametrize("jitter", [0.01, 0.04, 0.3])
def test_rounded_heights_of_two_lesions_are_one_plane(tmp_path, jitter):
    grid, rng = grid_of(), np.random.default_rng(0)
    loops = [flat(grid, 10, k, shift) for k in range(8, 16) for shift in ((-20, 0), (20, 0))]
    moved = [loop + np.array([0, 0, rng.uniform(-jitter, jitter)]) for loop in loops]
    np.testing.assert_array_equal(mask_of(tmp_path / "a.dcm", grid, moved),
                                  mask_of(tmp_path / "b.dcm", grid, loops))


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
