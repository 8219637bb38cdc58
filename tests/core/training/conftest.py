"""Slice stores of random patients."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.trainings import make_store

from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import write_patient


@pytest.fixture
def store(tmp_path):
    """A patient of two sequences."""
    return make_store(tmp_path / "store")


@pytest.fixture
def wide_store(tmp_path):
    """A patient of two sequences and one of three."""
    rng = np.random.default_rng(0)
    sources = np.cumsum(rng.random((4, 3, 48, 48), np.float32), axis=-1)
    sources /= sources.max()
    mask = np.zeros((4, 48, 48), bool)
    grid = sitk.Image([48, 48, 4], sitk.sitkFloat32)
    for name, count in (("two", 2), ("three", 3)):
        patient = PatientSlices(name, sources[:, :count], mask, mask, grid)
        write_patient(tmp_path / "store", patient, {})
    return tmp_path / "store"
