"""RTSTRUCT: which structure, in which frame, on which grid."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicoms import image, mask_contours, oblique, write_rtstruct
from helpers.images import dice

from pgmif_core.images.dicom import ContourError, contour_names, is_rtstruct, rasterise, structures


def sphere(grid, radius, centre=(0.0, 0.0, 0.0)):
    size = grid.GetSize()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), -1).reshape(-1, 3)
    affine = np.array(grid.GetDirection()).reshape(3, 3) * np.array(grid.GetSpacing())
    points = index @ affine.T + np.array(grid.GetOrigin()) - centre
    inside = np.linalg.norm(points, axis=1) <= radius
    return inside.reshape(size).transpose(2, 1, 0)


def circles(grid, radius, reverse=False):
    """Where each slice plane of a grid cuts a sphere around the origin: analytic contours."""
    axes = np.array(grid.GetDirection()).reshape(3, 3)
    loops = []
    for k in range(grid.GetSize()[2]):
        height = np.array(grid.TransformIndexToPhysicalPoint((0, 0, k))) @ axes[:, 2]
        if abs(height) < radius:
            angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)[:: -1 if reverse else 1]
            ring = np.sqrt(radius**2 - height**2)
            flat = np.stack([ring * np.cos(angle), ring * np.sin(angle), np.full(120, height)])
            loops.append((axes @ flat).T)
    return loops


def oblique_grid():
    grid = image(np.zeros((40, 80, 90)), (0.8, 0.9, 1.5), oblique(25))
    middle = np.array(grid.TransformContinuousIndexToPhysicalPoint([44.3, 39.6, 19.4]))
    grid.SetOrigin((-middle).tolist())
    return grid


def test_a_sphere_with_a_hole_is_rasterised_on_an_oblique_grid(tmp_path):
    grid = oblique_grid()
    loops = {"GTVp": circles(grid, 22), "shell": circles(grid, 22) + circles(grid, 11, reverse=True)}
    path = write_rtstruct(tmp_path / "rs.dcm", loops, "1.2.3")
    assert is_rtstruct(path)
    assert contour_names(path) == ["GTVp", "shell"]
    mask = sitk.GetArrayFromImage(rasterise(path, "gtv*", grid)) > 0
    assert dice(mask, sphere(grid, 22)) > 0.97
    shell = sitk.GetArrayFromImage(rasterise(path, "shell", grid)) > 0
    expected = sphere(grid, 22) & ~sphere(grid, 11)
    assert dice(shell, expected) > 0.97
    assert not shell[20, 39, 44]


def test_contours_drawn_on_thicker_slices_fill_those_between(tmp_path):
    grid = oblique_grid()
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": circles(grid, 22)[::2]}, "1.2.3")
    mask = sitk.GetArrayFromImage(rasterise(path, "GTV", grid)) > 0
    assert dice(mask, sphere(grid, 22)) > 0.95


def test_bad_structure_sets_are_refused(tmp_path):
    grid = oblique_grid()
    grid.SetMetaData("frame-of-reference", "1.2.3")
    away = [loop + 500 for loop in circles(grid, 22)]
    loops = {"GTVp": circles(grid, 22), "GTVn": circles(grid, 9), "far": away, "empty": []}
    path = write_rtstruct(tmp_path / "rs.dcm", loops, "1.2.3")
    for pattern, message in (
        ("tumour", "no such structure: 'GTVp', 'GTVn', 'far', 'empty'"),
        ("GTV*", "several: 'GTVp', 'GTVn'"), ("empty", "found none"), ("far", "inside the image"),
    ):
        with pytest.raises(ContourError, match=message.replace("*", r"\*")):
            rasterise(path, pattern, grid)
    grid.SetMetaData("frame-of-reference", "1.2.4")
    with pytest.raises(ContourError, match="another"):
        rasterise(path, "GTVp", grid)
    tilted = image(np.zeros((40, 80, 90)), (0.8, 0.9, 1.5), oblique(60), origin=(-30, -30, -30))
    with pytest.raises(ContourError, match="crosses"):
        rasterise(path, "GTVp", tilted)


def test_closed_contours_of_three_points_or_more_are_taken():
    contour = pydicom.Dataset()
    contour.ContourSequence = []
    for count, cut, kind in ((2, 0, "CLOSED_PLANAR"), (3, 0, "CLOSED_PLANAR"), (4, 2, "CLOSED_PLANAR"),
                             (5, 0, "OPEN_PLANAR"), (6, 1, "CLOSEDPLANAR_XOR"), (7, 0, "")):
        item = pydicom.Dataset()
        item.ContourData = [str(v) for v in range(3 * count - cut)]
        if kind:
            item.ContourGeometricType = kind
        contour.ContourSequence.append(item)
    found = structures._loops(contour)
    assert [len(loop) for loop in found] == [3, 3, 5, 7]  # what is cut off is no point
    np.testing.assert_array_equal(found[1], np.arange(9.0).reshape(3, 3))
    with pytest.warns(UserWarning, match="Invalid value for VR DS: 'nan'"):
        contour.ContourSequence[1].ContourData = ["1"] * 8 + ["nan"]
    assert [len(loop) for loop in structures._loops(contour)] == [3, 5, 7]


def test_contours_traced_from_a_mask_give_the_mask_back(tmp_path, phantom):
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": mask_contours(phantom.gtv)}, "1.2.3")
    found = sitk.GetArrayFromImage(rasterise(path, "GTV", phantom.gtv)) > 0
    assert dice(found, sitk.GetArrayFromImage(phantom.gtv) > 0) > 0.97


def lesions(grid, heights, radius=8.0):
    """Circles around the grid's middle on the slices (continuous index) `heights`."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    loops = []
    for k in heights:
        ring = np.stack([45 + radius * np.cos(angle), 40 + radius * np.sin(angle), np.full(60, k)], 1)
        loops.append(np.array([grid.TransformContinuousIndexToPhysicalPoint(p) for p in ring.tolist()]))
    return loops


def filled(path, grid):
    return np.flatnonzero(sitk.GetArrayFromImage(rasterise(path, "*", grid)).any(axis=(1, 2))).tolist()


def test_two_lesions_are_not_joined(tmp_path):
    grid = image(np.zeros((30, 80, 90)), (0.8, 0.9, 3.0), oblique(25))
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": lesions(grid, (5.0, 25.0))}, "1.2.3")
    assert filled(path, grid) in ([5, 25], [4, 5, 6, 24, 25, 26])
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": lesions(grid, (3, 4, 5, 20, 21))}, "1.2.3")
    assert filled(path, grid) == [3, 4, 5, 20, 21]


def test_contours_finer_than_the_slices_do_not_cancel(tmp_path):
    grid = image(np.zeros((12, 80, 90)), (0.8, 0.9, 6.0), oblique(25))
    fine = lesions(grid, np.arange(2, 8, 1 / 12))  # every 0.5 mm
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": fine}, "1.2.3")
    assert filled(path, grid) == list(range(2, 9)) or filled(path, grid) == list(range(2, 8))
    assert sitk.GetArrayFromImage(rasterise(path, "GTV", grid))[5, 40, 45] == 1


def test_names_with_brackets_and_another_frame_per_structure(tmp_path):
    grid = image(np.zeros((12, 80, 90)), (0.8, 0.9, 3.0))
    grid.SetMetaData("frame-of-reference", "1.2.3")
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV [MR]": lesions(grid, (5, 6))}, "1.2.3")
    assert sitk.GetArrayFromImage(rasterise(path, "gtv [mr]", grid)).any()
    data = pydicom.dcmread(path)
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "9.9.9"
    data.save_as(path)
    with pytest.raises(ContourError, match="frame of reference"):
        rasterise(path, "GTV [MR]", grid)


def test_without_frames_of_structures_the_files_own_counts(tmp_path):
    grid = image(np.zeros((12, 80, 90)), (0.8, 0.9, 3.0))
    grid.SetMetaData("frame-of-reference", "1.2.3")
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": lesions(grid, (5, 6))}, "1.2.3")
    data = pydicom.dcmread(path)
    del data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    for frame, refused in (("1.2.3", False), ("9.9.9", True), (None, False)):
        if frame:
            data.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = frame
        else:
            del data.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID
        data.save_as(path)
        if refused:
            with pytest.raises(ContourError, match="frame of reference"):
                rasterise(path, "GTV", grid)
        else:
            assert sitk.GetArrayFromImage(rasterise(path, "GTV", grid)).any()
