"""What one modality does not show is taken from the other."""

import numpy as np
import pytest

from pgmif_core.evaluation.measures import fuse_volume, t2w_where_alone
from pgmif_core.images.patient import PatientSlices, partly_imaged
from pgmif_core.images.slices import normalised_slices, slice_grid
from pgmif_core.methods.pgmif_plus import PlusSettings, standardised


def partial(odd, keep):
    """A patient whose T1w shows only part of the slices' columns."""
    grid = slice_grid(odd.T2w, 96)
    t2w = normalised_slices(odd.T2w, grid).planes
    imaged = np.ones(t2w.shape, bool)
    imaged[:, :, keep:] = False
    sources = np.stack([np.where(imaged, t2w * 0.8, 0), t2w], axis=1).astype(np.float32)
    nothing = np.zeros(t2w.shape, bool)
    return PatientSlices("", sources, nothing, nothing, grid, imaged), t2w


@pytest.mark.parametrize("method", ["average", "pwa", "laplacian", "pgmif_plus"])
def test_where_t1w_was_not_imaged_the_fused_image_is_t2w(odd, method):
    import torch

    patient, t2w = partial(odd, 60)
    weights = PlusSettings((0.5, 0.5)) if method == "pgmif_plus" else None
    raw = fuse_volume(method, patient, weights)
    found = t2w_where_alone(raw, method, patient)
    outside = ~patient.imaged & partly_imaged(patient)[:, None, None]
    seen = standardised(torch.from_numpy(t2w[:, None])).numpy()[:, 0] if weights else t2w
    np.testing.assert_allclose(found[outside], seen[outside], atol=1e-6)
    np.testing.assert_array_equal(found[patient.imaged], raw[patient.imaged])
    if method == "average":
        assert raw[outside].sum() == pytest.approx(0.5 * t2w[outside].sum(), rel=1e-3)
