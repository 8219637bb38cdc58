"""The phantom's tumour."""

import numpy as np
import SimpleITK as sitk

from pgmif_core.phantom import PhantomSize, make_phantom
from pgmif_core.phantom.acquisition import voxel_points


def test_tumour_starts_in_the_fossa_and_grows_with_stage():
    sizes = {}
    for seed in (3, 5, 6, 2):  # of stage 1 to 4
        phantom = make_phantom(seed, PhantomSize(10, 5.0, 3.0))
        mask = sitk.GetArrayFromImage(phantom.gtv) > 0
        points = voxel_points(phantom.gtv)[:, mask]
        assert np.linalg.norm(points.mean(axis=1) - [phantom.tumour.side * 9, 2, 0]) < 14
        sizes[phantom.tumour.stage] = mask.sum()
    assert list(sizes) == [1, 2, 3, 4]
    assert list(sizes.values()) == sorted(sizes.values())
    assert sizes[1] > 0
