"""The slice store, and the batches drawn from it."""

import numpy as np
import pytest
import SimpleITK as sitk

from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import (
    ARRAYS,
    TrainingSlices,
    array_path,
    patient_details,
    read_patient,
    write_patient,
)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    for subject in ("a", "b"):
        sources = rng.random((5, 2, 48, 48), np.float32)
        sources[0] = 0
        mask = np.zeros((5, 48, 48), bool)
        grid = sitk.Image([48, 48, 5], sitk.sitkFloat32)
        write_patient(tmp_path, PatientSlices(subject, sources, mask, mask, grid), {"note": 1})
    return tmp_path


def test_store_round_trip_is_memory_mapped(store):
    patient = read_patient(store, "a")
    assert isinstance(patient.sources, np.memmap)
    assert patient.grid.GetSize() == (48, 48, 5)
    assert patient_details(store, "a")["note"] == 1
    assert patient_details(store, "nobody") is None
    with pytest.raises(FileNotFoundError, match="01_preprocessing"):
        read_patient(store, "nobody")


@pytest.mark.parametrize("name", ARRAYS)
def test_a_patient_stored_by_another_version_is_named_with_the_remedy(store, name):
    array_path(store, "a", name).unlink()
    with pytest.raises(FileNotFoundError, match=f"expected a_{name}.npy, .*run 01_preprocessing again"):
        read_patient(store, "a")


@pytest.mark.parametrize("size", [3, 8, 11])  # 8 slices: batches that span two and three epochs
def test_every_slice_is_drawn_once_per_epoch_in_an_order_of_its_own(store, size):
    slices = TrainingSlices(store, ["a", "b"], 48, seed=3)  # whole slices: each tells which it is
    whole = [read_patient(store, s).sources[k] for s in ("a", "b") for k in range(1, 5)]
    drawn = np.concatenate([slices.batch(i, size) for i in range(8)])
    found = [next(k for k, w in enumerate(whole) if np.array_equal(w, d)) for d in drawn]
    epochs = [tuple(found[8 * e : 8 * e + 8]) for e in range(len(found) // 8)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len(set(epochs)) == len(epochs)


def test_training_batches_depend_on_seed_and_iteration_alone(store):
    slices = TrainingSlices(store, ["a", "b"], 32, seed=3)
    assert len(slices) == 8
    first, again = slices.batch(7, 4), TrainingSlices(store, ["a", "b"], 32, 3).batch(7, 4)
    assert first.shape == (4, 2, 32, 32)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, slices.batch(8, 4))
    assert slices.batch(0, 20).shape[0] == 20  # more than there are slices
    with pytest.raises(ValueError, match="larger than the slices"):
        TrainingSlices(store, ["a"], 64, 0)
