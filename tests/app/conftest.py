"""Cohorts of two phantom patients as files, and the repository as working folder."""

import pytest
from helpers.registrations import registered_once

from pgmif import one_patient
from pgmif_core.images.volumes import write_image


@pytest.fixture(autouse=True)
def no_registration_twice(monkeypatch):
    """A patient's images are registered by the first test that needs it."""
    monkeypatch.setattr(one_patient, "register", registered_once)


@pytest.fixture
def cohort_folder(tmp_path, phantom):
    """Two patients with real files; the manifest is written by the tests."""
    for subject in ("a", "b"):
        for column in ("T1w", "T2w", "gtv"):
            write_image(getattr(phantom, column), tmp_path / f"{subject}_{column}.nii.gz")
    return tmp_path


@pytest.fixture
def in_root(root, monkeypatch):
    """The repository, which is the working folder."""
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def folder(phantom, tmp_path):
    """Two patients as T1w1.nii.gz … gtv2.nii.gz, and an image that stands for a fused one."""
    for k in (1, 2):
        for name in ("T1w", "T2w", "gtv"):
            write_image(getattr(phantom, name), tmp_path / f"{name}{k}.nii.gz")
    write_image(phantom.T2w, tmp_path / "fused.nii.gz")
    return tmp_path
