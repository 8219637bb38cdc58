"""The phantom's tumour."""

import numpy as np

from pgmif_core.phantom.anatomy import label_grid, paint_head
from pgmif_core.phantom.tissues import tissue_labels
from pgmif_core.phantom.tumour import grow_tumour


def test_tumour_starts_in_the_fossa_and_grows_with_stage():
    grid = label_grid(25)
    head, zyx = paint_head(np.random.default_rng(5), grid)
    tissues = [tissue_labels()[name] for name in ("tumour", "necrosis")]
    assert not np.isin(head, tissues).any()
    volumes = {}
    for seed in range(24):
        labels, tumour = grow_tumour(np.random.default_rng(seed), head, zyx)
        found = np.isin(labels, tissues)
        np.testing.assert_array_equal(labels[~found], head[~found])
        middle = [axis[index].mean() for axis, index in zip(grid, found.nonzero(), strict=True)]
        assert np.linalg.norm(np.array(middle) - [0, 2, tumour.side * 9]) < 14
        volumes.setdefault(tumour.stage, []).append(found.sum())
    medians = [np.median(volumes[stage]) for stage in (1, 2, 3, 4)]
    assert medians == sorted(medians)
    assert min(map(min, volumes.values())) > 0
