"""Displacements and their Jacobian against closed forms."""

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif_core.images.displacements import (
    displacement_error,
    displacement_lengths,
    head_points,
    smallest_jacobian,
)


def test_jacobian_against_closed_forms(deformed):
    stretch = sitk.AffineTransform(3)
    stretch.SetMatrix((np.diag([1.1, 1.0, 0.9])).ravel().tolist())
    assert smallest_jacobian(stretch, deformed.T2w) == pytest.approx(0.99, abs=1e-3)
    rigid = sitk.Euler3DTransform()
    rigid.SetRotation(0.1, -0.2, 0.05)
    assert smallest_jacobian(rigid, deformed.T2w) == pytest.approx(1, abs=1e-3)
    shift = sitk.TranslationTransform(3, (3.0, 4.0, 0.0))
    np.testing.assert_allclose(displacement_lengths(shift, deformed.T2w), 5.0)


@pytest.mark.parametrize("from_the_end", [False, True])
def test_the_least_jacobian_counts_but_not_at_the_border_of_the_volume(from_the_end):
    """Voxels of 4 mm, the head all but a slice; space is stretched more the farther from an end."""
    image = sitk.GetImageFromArray(np.ones((8, 9, 10), np.float32))
    image[:, :, 0] = 0
    image.SetSpacing((4.0, 4.0, 4.0))
    x = np.indices((8, 9, 10))[2] * 4.0 - 36 * from_the_end
    field = np.zeros((8, 9, 10, 3))
    field[..., 0] = (-1) ** from_the_end * 0.01 * x**2 / 2  # of which 1 + 0.01 |x| is the Jacobian
    moved = sitk.GetImageFromArray(field, isVector=True)
    moved.CopyInformation(image)
    stretch = sitk.DisplacementFieldTransform(moved)
    assert smallest_jacobian(stretch, image) == pytest.approx(1.04, abs=1e-6)
    assert smallest_jacobian(stretch, image[:2]) == 1  # all is border: nothing is known to be folded


def cube(size=(9, 8, 7), spacing=(1.0, 2.0, 3.0)):
    """A bright box from voxel 2 to the last but one of every axis, with a dark cavity of one voxel."""
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin((10.0, -20.0, 5.0))
    image[2:-1, 2:-1, 2:-1] = 1.0
    image[4, 4, 4] = 0.0
    return image


def test_points_of_the_head_are_its_voxels_each_once():
    image = cube()
    every = head_points(image, 1000)
    expected = {image.TransformIndexToPhysicalPoint((i, j, k))
                for i in range(2, 8) for j in range(2, 7) for k in range(2, 6)}
    assert len(every) == len(expected)
    assert {tuple(p) for p in every} == expected  # the cavity among them
    some = head_points(image, 60)
    assert len({tuple(p) for p in some}) == 60
    assert {tuple(p) for p in some} < expected
    np.testing.assert_array_equal(some, head_points(image, 60, seed=0))
    assert not np.array_equal(some, head_points(image, 60, seed=1))
    dot = sitk.Image(5, 5, 5, sitk.sitkFloat32)
    dot[2, 2, 2] = 1.0
    assert head_points(dot).tolist() == [[2, 2, 2]]
    with pytest.raises(ValueError, match="no head found: the image is constant"):
        head_points(dot * 0)


def test_the_error_is_the_way_that_is_left_after_there_and_back():
    image = cube()
    field = np.zeros((7, 8, 9, 3))
    field[...] = (-1.0, 2.0, -2.0)
    truth = sitk.GetImageFromArray(field, isVector=True)
    truth.CopyInformation(image)
    points = np.array([image.TransformIndexToPhysicalPoint(p) for p in ((4, 4, 3), (3, 5, 2))])
    for shift, error in (((1.0, -2.0, 2.0), 0), ((1.0, -2.0, 1.0), 1), ((3.0, -1.0, 0.0), 3)):
        there = sitk.TranslationTransform(3, shift)
        np.testing.assert_allclose(displacement_error(there, truth, points), [error] * 2, atol=1e-9)


def test_the_jacobian_is_looked_at_on_a_grid_of_four_millimetres(monkeypatch):
    """Voxels of 1, 2 and 3 mm are put together by 4, 2 and 1; of 9 mm none is."""
    factors = []
    shrink = sitk.BinShrink
    monkeypatch.setattr(sitk, "BinShrink", lambda image, by: factors.append(by) or shrink(image, by))
    for spacing in ((1.0, 2.0, 3.0), (9.0, 1.5, 2.4)):
        smallest_jacobian(sitk.Transform(3, sitk.sitkIdentity), cube((24, 24, 24), spacing))
    assert factors == [[4, 2, 1], [1, 3, 2]]
