"""Whole phantoms: repeatable, with grids of their own, and sequences that leave the others alone."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.phantoms import TINY

from pgmif_core.phantom import FULL_SIZE, make_phantom, tissue_map
from pgmif_core.phantom.acquisition import displaced_points
from pgmif_core.phantom.tissues import tissue_labels


@pytest.fixture(scope="module")
def further():
    """The phantom again, with two more sequences."""
    return make_phantom(20240071, TINY, further=("ceT1w", "CT"))


def test_the_same_seed_gives_the_same_patient_whatever_else_is_acquired(phantom, further, deformed):
    for a, b in zip(phantom[:4], further[:4], strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(a), sitk.GetArrayFromImage(b))
    t2w, other = (sitk.GetArrayFromImage(p.T2w) for p in (phantom, deformed))
    assert not np.array_equal(t2w, other)  # of another seed


def test_the_map_of_tissues_is_that_which_t2w_shows(phantom):
    labels = tissue_labels()
    tissue = tissue_map(20240071, phantom.T2w, TINY)
    drawn = sitk.GetArrayFromImage(phantom.gtv) > 0
    tumour = np.isin(tissue, [labels["tumour"], labels["necrosis"]])
    assert 2 * (drawn & tumour).sum() / (drawn.sum() + tumour.sum()) > 0.85
    t2w = sitk.GetArrayFromImage(phantom.T2w)
    dark, grey, bright = (np.median(t2w[tissue == labels[n]]) for n in ("air", "muscle", "csf"))
    assert dark < grey < bright


def test_sequences_have_grids_of_their_own(phantom):
    assert phantom.T1w.GetSize() != phantom.T2w.GetSize()
    assert phantom.T1w.GetSpacing() != phantom.T2w.GetSpacing()
    assert phantom.gtv.GetSize() == phantom.T2w.GetSize()
    assert sitk.GetArrayFromImage(phantom.gtv).any()
    assert phantom.T2w.GetSize()[0] != phantom.T2w.GetSize()[1]


def test_paper_size_has_as_many_slices_as_the_paper(root):
    import yaml

    protocol = yaml.safe_load((root / "published" / "protocol.yaml").read_text())
    paper = yaml.safe_load((root / "params" / "paper.yaml").read_text())
    per_patient = round(protocol["slices"]["training"] / protocol["patients"]["training"])
    assert FULL_SIZE.slices == paper["phantom_slices"] == per_patient


def test_a_third_sequence_shows_the_agent_and_another_motion(phantom, further):
    assert phantom.ceT1w is None
    assert further.ceT1w.GetSize() == further.T1w.GetSize()
    moved = [sitk.GetArrayFromImage(d) for d in (further.displacement, further.ceT1w_displacement)]
    assert np.abs(moved[0] - moved[1]).mean() > 0.5  # the patient moved once more
    gtv = sitk.GetArrayFromImage(sitk.Resample(further.gtv, further.T1w, sitk.Transform(),
                                               sitk.sitkNearestNeighbor)) > 0
    t1w, enhanced = (sitk.GetArrayFromImage(i)[gtv].mean() for i in (further.T1w, further.ceT1w))
    assert enhanced > 1.2 * t1w


def test_ct_shows_hounsfield_units(phantom, further):
    alone = make_phantom(20240071, TINY, further=("CT",))
    for a, b in zip((*alone[:4], alone.CT), (*phantom[:4], further.CT), strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(a), sitk.GetArrayFromImage(b))
    hu = sitk.GetArrayFromImage(further.CT)
    assert np.median(hu[:, :6]) == pytest.approx(-1000, abs=10)  # air in front of the face
    assert hu.min() >= -1024
    assert 700 < hu.max() < 1700
    # seen where the patient lay: the tumour, eroded against partial volume, is soft tissue
    lattice = sitk.GetArrayFromImage(further.CT_displacement)
    assert 0.5 < np.linalg.norm(lattice, axis=-1).mean() < 12
    inner = sitk.BinaryErode(further.gtv, [2, 2, 0])
    points = displaced_points(further.CT, further.CT_displacement).reshape(3, -1).T
    probe = sitk.Resample(inner, sitk.Image(further.T2w), sitk.Transform(), sitk.sitkNearestNeighbor)
    size = np.array(probe.GetSize())
    index = np.round([probe.TransformPhysicalPointToContinuousIndex(p.tolist()) for p in points])
    inside = ((index >= 0) & (index < size)).all(axis=1)
    mask = np.zeros(len(points), bool)
    x, y, z = index[inside].astype(int).T
    mask[inside] = sitk.GetArrayFromImage(probe)[z, y, x] > 0
    assert mask.sum() > 20
    assert np.median(hu.reshape(-1)[mask]) == pytest.approx(45, abs=15)
