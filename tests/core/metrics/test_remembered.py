"""What is remembered between metrics changes none of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmif_core.metrics.remembered import KEPT, forget, remembered
from pgmif_core.metrics.standard import measure_fusion


def test_what_is_remembered_is_what_would_be_computed():
    calls = []

    @remembered
    def total(image, weight):
        calls.append(weight)
        return float(weight * image.sum())

    images = [np.full((2, 3), value) for value in range(KEPT + 1)]
    assert [total(image, 2) for image in images] == [12.0 * k for k in range(KEPT + 1)]
    assert total(images[-1].copy(), 2) == 12.0 * KEPT
    assert len(calls) == KEPT + 1
    assert total(images[-1].reshape(3, 2), 2) == 12.0 * KEPT
    assert len(calls) == KEPT + 2
    assert total(images[-1], 3) == 18.0 * KEPT
    assert len(calls) == KEPT + 3
    assert total(images[0], 2) == 0
    assert len(calls) == KEPT + 4
    forget()
    assert total(images[0], 2) == 0
    assert len(calls) == KEPT + 5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_metrics_do_not_depend_on_what_was_measured_before(seed):
    rng = np.random.default_rng(seed)
    images = rng.random((4, 48, 52), np.float32)
    forget()
    expected = measure_fusion(images[0], images[1:3])
    others = ((images[3], images[1:3]), (images[0], images[2:]), (images[1], images[:3]))
    for fused, sources in others:
        measure_fusion(fused, sources)
    assert measure_fusion(images[0], images[1:3]) == expected
