"""Displacements and their Jacobian against closed forms."""

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif_core.images.displacements import displacement_lengths, smallest_jacobian


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
