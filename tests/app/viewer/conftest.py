"""Random images and masks for the viewer."""

import numpy as np
import pytest
from helpers.viewers import SHAPE


@pytest.fixture
def images():
    rng = np.random.default_rng(4)
    return {"T1w": rng.random(SHAPE), "T2w": rng.random(SHAPE), "fused": rng.random(SHAPE)}


@pytest.fixture
def masks():
    gtv, reference = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    gtv[1, 3:7, 4:8] = reference[1, 3:7, 10:13] = True
    gtv[2, 4:5, 4:6] = True  # a slice without reference
    return {"gtv": gtv, "reference": reference}
