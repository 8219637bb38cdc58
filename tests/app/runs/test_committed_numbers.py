"""The committed tables are of this code: one test phantom is made, fused and measured anew."""

import numpy as np
import pandas as pd
import pytest

from pgmif.cohort.manifest import read_manifest
from pgmif.runs.parameter_files import read_parameters
from pgmif.steps.cohort import make_patient, resolve_manifest
from pgmif.steps.preprocessing import preprocess_patient
from pgmif.steps.sobel_analysis import READINGS
from pgmif_core.evaluation.gain import limit_row
from pgmif_core.evaluation.measures import cnr, fuse_volume, sobel_against
from pgmif_core.images.patient import measured_slices
from pgmif_core.images.store import read_patient
from pgmif_core.methods.pgmif_plus import read_settings
from pgmif_core.methods.registry import METHODS

SUBJECT = "sub-072"  # of the smallest tumours: few slices
# another processor registers a little otherwise, and divides by a small σ
CNR_TOLERANCE, Q_TOLERANCE = {"abs": 0.05, "rel": 0.03}, {"abs": 0.005}


@pytest.fixture(scope="module")
def remade(root, tmp_path_factory):
    """The patient as 00 and 01 make it from the manifest, on the slices that are measured."""
    folder = tmp_path_factory.mktemp("remade")
    parameters = read_parameters(root / "params" / "quick.yaml")
    source = read_manifest(root / "data_manifest.csv")
    make_patient(source, folder / "volumes", parameters, SUBJECT)
    cohort = read_manifest(resolve_manifest(source, parameters, folder), allow_outside=True)
    row = preprocess_patient(cohort, folder / "slices", parameters, folder / "registered", SUBJECT)
    return measured_slices(read_patient(folder / "slices", SUBJECT)), row


@pytest.fixture(scope="module")
def committed(root):
    """Every number of the patient in figures/phantom: CNR by method, Q by method, the registration; of
    what is trained, whose weights there are not kept, that of the released weights."""
    folder = root / "figures" / "phantom"
    paths = [folder / f"{name}.csv" for name in (
        "figure_5a_cnr", "figure_5b_sobel", "figure_registration", "table_limit")]
    paths.append(root / "figures" / "phantom-paper" / "table_quick_patients.csv")
    tables = {path.stem: pd.read_csv(path).query("subject == @SUBJECT") for path in paths}
    return {name: table.set_index("method") if "method" in table else table.iloc[0]
            for name, table in tables.items()}


def weights_of(root, name):
    if name == "pgmif_plus":
        return read_settings(root / "weights" / "pgmif_plus.json")
    return root / "weights" / f"{name}.safetensors" if METHODS[name].needs_weights else None


@pytest.mark.parametrize("name", METHODS)
def test_cnr_and_q_of_a_method_are_those_committed(root, remade, committed, name):
    patient, _ = remade
    volume = fuse_volume(name, patient, weights_of(root, name))
    trained = committed["table_quick_patients"]
    own = (trained if name in trained.index else committed["figure_5a_cnr"]).loc[name]
    assert cnr(volume, patient) == pytest.approx(own["cnr"], **CNR_TOLERANCE)
    assert cnr(volume, patient, pooled=False) == pytest.approx(own["cnr_within"], **CNR_TOLERANCE)
    for m, modality in enumerate(("T1w", "T2w")):
        q = (own[f"q_{modality.lower()}"] if name in trained.index
             else committed["figure_5b_sobel"].loc[name, modality])
        assert sobel_against(volume, patient, m) == pytest.approx(q, **Q_TOLERANCE)


def test_every_reading_of_the_paper_is_measured(remade):
    patient, _ = remade
    values = [sobel_against(np.asarray(patient.sources[:, 0]), patient, 1, r) for r in READINGS]
    assert len(set(values)) == len(READINGS)


def test_registration_and_limit_are_those_committed(remade, committed):
    patient, row = remade
    known = committed["figure_registration"]
    assert row["tre_before_median_mm"] == pytest.approx(known["tre_before_median_mm"], abs=0.002)
    assert row["tre_after_median_mm"] == pytest.approx(known["tre_after_median_mm"], abs=0.05)
    assert row["reference_slices"] == known["reference_slices"]
    limit = limit_row(patient, ("T1w", "T2w"))["limit"]
    assert limit == pytest.approx(committed["table_limit"]["limit"], **CNR_TOLERANCE)
