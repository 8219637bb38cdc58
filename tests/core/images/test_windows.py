"""Windows of intensities: hot voxels are cut and named."""

import numpy as np
import pytest
from helpers.images import array, like

from pgmif_core.images.windows import hot_voxels


@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_some_hot_voxels_are_cut_and_named(phantom, count):
    voxels = array(phantom.T2w)
    corner = [(r, c) for r in range(2, 5) for c in range(2, 6)][:count]
    for row, column in corner:
        voxels[5, row, column] = 50 * voxels.max()
        voxels[5] = np.minimum(voxels[5], 50_000)
    assert hot_voxels(like(voxels, phantom.T2w)) == [5]
    assert hot_voxels(phantom.T2w) == []
