"""Motion of the phantom between its sequences."""

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif_core.phantom.acquisition import (
    displaced_points,
    empty_image,
    true_displacement,
    voxel_points,
)


@pytest.mark.parametrize("seed", range(12))
def test_motion_is_within_its_bounds(seed):
    image = empty_image((43, 57, 6), (4.0, 4.0, 8.0), np.zeros(3))
    displacement, motion = true_displacement(np.random.default_rng(seed), image)
    assert motion.shift_mm <= 5
    assert motion.rotation_deg <= 3
    assert 0.5 < motion.deformation_rms_mm < 1.7
    moved = np.linalg.norm(displaced_points(image, displacement) - voxel_points(image), axis=0)
    # shift + rotation at the far corner + deformation
    assert moved.max() <= 5 + np.deg2rad(3) * 170 + 3
    assert moved.min() < moved.max() - 0.5


def test_displacement_file_and_sampling_agree(phantom, tmp_path):
    from pgmif_core.images.volumes import read_displacement, write_displacement

    field = read_displacement(write_displacement(phantom.displacement, tmp_path / "x.nii.gz"))
    transform = sitk.DisplacementFieldTransform(field)
    ours = displaced_points(phantom.T1w, phantom.displacement)[:, 3, 20, 30]
    point = phantom.T1w.TransformIndexToPhysicalPoint((30, 20, 3))
    assert np.allclose(transform.TransformPoint(point), ours, atol=1e-3)
