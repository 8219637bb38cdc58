"""Trees of the public layout, DICOM series, and the report of a finished run."""

import pytest
from helpers.dicoms import npc277_tree, write_dicom_series
from helpers.phantoms import tiny
from helpers.reports import clone, page  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def npc277(tmp_path_factory):
    """Three phantoms in the layout of the public cohort."""
    return npc277_tree(tmp_path_factory.mktemp("npc277"), 3, tiny)


@pytest.fixture
def series(phantom, tmp_path):
    """DICOM series of two patients: T1w and T2w of one, T1w of another."""
    for name, who in (("T1w", "A"), ("T2w", "A"), ("T1w_of_b", "B")):
        volume = getattr(phantom, name[:3])
        write_dicom_series(volume, tmp_path / name, PatientID=who, frame_of_reference="1.2.3")
    return tmp_path
