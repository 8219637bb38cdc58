"""The phantom's tumour."""

import numpy as np
import pandas as pd
import SimpleITK as sitk

from pgmif_core.phantom import PhantomSize, make_phantom
from pgmif_core.phantom.acquisition import voxel_points


def test_tumour_starts_in_the_fossa_and_grows_with_stage():
    sizes = {}
    for seed in range(14):
        phantom = make_phantom(seed, PhantomSize(10, 5.0, 3.0))
        mask = sitk.GetArrayFromImage(phantom.gtv) > 0
        points = voxel_points(phantom.gtv)[:, mask]
        assert mask.any()
        assert np.linalg.norm(points.mean(axis=1) - [phantom.tumour.side * 9, 2, 0]) < 14
        sizes.setdefault(phantom.tumour.stage, []).append(mask.sum())
    means = pd.Series({k: np.mean(v) for k, v in sizes.items()}).sort_index()
    assert means.is_monotonic_increasing
    assert len(means) >= 3
