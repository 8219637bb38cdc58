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
