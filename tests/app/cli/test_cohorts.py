"""`pgmif scan` and `pgmif check` on trees as they are published and as people have them."""

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from helpers.commands import call
from helpers.dicoms import PLANTED, bids_tree, frame_of, mask_contours, write_rtstruct
from helpers.phantoms import tiny
from helpers.trees import tree

from pgmif.cohort.layouts import scan_folder
from pgmif.cohort.manifest import read_gtv, read_manifest
from pgmif.cohort.sequence_names import LayoutError
from pgmif_core.images.volumes import read_image


def test_scan_and_check_the_public_layout(npc277, tmp_path):
    manifest = npc277 / "data_manifest.csv"
    output = call("scan", npc277, "--layout", "npc277", "--test", "1")
    assert "2 training and 1 test patients, T1w, T2w, ceT1w" in output
    table = pd.read_csv(manifest, dtype=str)
    assert table["subject"].tolist() == ["sub-001", "sub-002", "sub-003"]
    assert table["T2w"][0] == "data/MRI-Segments/001/T2WI"
    assert table["gtv"][0] == "data/MRI-Segments/001/ROI-T2.nii"
    assert set(table["license"]) == {"CC-BY-4.0"}
    assert "no problem" in call("check", manifest)
    found = read_image(read_manifest(manifest).file("sub-001", "T2w"))
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(tiny(0).T2w), atol=0.51
    )
    assert "--force" in call("scan", npc277, code=2)
    call("scan", npc277, "--force", "--test", "0.3", "--seed", "4", "--modalities", "T1w,T2w")
    assert "ceT1w" not in pd.read_csv(manifest)
    assert "FLIAR" in call("scan", npc277, "--force", "--modalities", "T1w,T2w,FLIAR", code=2)


def test_the_split_is_seeded_and_by_patient(npc277, tmp_path):
    splits = []
    for seed in (0, 0, 1, 2, 3):
        call("scan", npc277, "-o", tmp_path / "m.csv", "--force", "--seed", seed, "--test", 1)
        splits.append(tuple(pd.read_csv(tmp_path / "m.csv")["split"]))
    assert splits[0] == splits[1]
    assert len(set(splits)) > 1
    assert all(s.count("test") == 1 for s in splits)


def test_a_patient_without_a_sequence_is_left_out_and_named(npc277, tmp_path):
    import shutil

    folder = shutil.copytree(npc277 / "data", tmp_path / "data").parent
    shutil.rmtree(folder / "data" / "MRI-Segments" / "002" / "CE-T1WI")
    (folder / "data" / "MRI-Segments" / "003" / "ROI-T2.nii").unlink()
    output = call("scan", folder)
    assert "T1w, T2w, seed 0" in output  # not all have ceT1w, so it is not used
    table = pd.read_csv(folder / "data_manifest.csv", dtype=str).set_index("subject")
    assert table.loc["sub-003", "gtv_space"] == "T1w"
    assert table.loc["sub-003", "gtv"].endswith("ROI-T1.nii")
    output = call("scan", folder, "--force", "--modalities", "T1w,T2w,ceT1w")
    assert "left out: 002: no ceT1w" in output


def test_scan_bids(tmp_path):
    folder = bids_tree(tmp_path / "bids", 3, tiny)
    second = folder / "sub-01" / "ses-02" / "anat"
    second.mkdir(parents=True)
    (second / "sub-01_ses-02_T2w.nii.gz").write_bytes(b"")
    output = call("scan", folder)
    assert "layout bids" in output
    assert "sub-01/ses-02: a further session" in output
    assert "no problem" in call("check", folder / "data_manifest.csv")
    assert set(pd.read_csv(folder / "data_manifest.csv")["license"]) == {"CC0"}


def own_names(folder, patients=3):
    for k in range(patients):
        place = folder / f"pat{k + 1}"
        place.mkdir(parents=True)
        for name in ("ax_t1_tse", "ax_t2_tse", "contour_T"):
            (place / f"{name}.nii.gz").write_bytes(b"")
    return folder


def test_scan_names_of_ones_own(tmp_path):
    folder = own_names(tmp_path / "own")
    said = call("scan", folder, code=2)
    assert "the first folder holds pat1/ax_t1_tse.nii.gz" in said
    assert "--name 'T1w=*t1_tse*'" in said
    names = ("--name", "T1w=*t1_tse*", "--name", "T2w=*t2_tse*", "--name", "gtv=contour*")
    (folder / "pat3" / "old_t1_tse.nii.gz").write_bytes(b"")
    said = call("scan", folder, *names)
    assert "pat3/ax_t1_tse.nii.gz, pat3/old_t1_tse.nii.gz: all fit T1w=*t1_tse*, none taken" in said
    table = pd.read_csv(folder / "data_manifest.csv")
    assert table["subject"].tolist() == ["sub-pat1", "sub-pat2"]
    assert table["T1w"].tolist() == ["pat1/ax_t1_tse.nii.gz", "pat2/ax_t1_tse.nii.gz"]
    assert "no T1w" in call("scan", folder, "--force", *names[2:], code=2)
    assert "found 't1w'" in call("scan", folder, "--force", "--name", "t1w=*", code=2)
    assert "expected NAME=VALUE" in call("scan", folder, "--force", "--name", "T1w", code=2)
    assert "given twice" in call("scan", folder, "--force", *names, *names[:2], code=2)


def test_scan_real_patients(real_mri, tmp_path):
    output = call("scan", real_mri, "-o", tmp_path / "m.csv", "--test", "3", "--rename")
    assert "3 training and 3 test patients, T1w, T2w" in output
    assert f"pgmif check {tmp_path / 'm.csv'} --allow-outside" in output
    table = pd.read_csv(tmp_path / "m.csv")
    assert table["subject"].tolist() == [f"sub-{k:03d}" for k in range(1, 7)]
    assert "leaves the manifest's folder" in call("check", tmp_path / "m.csv", code=2)


def test_folders_without_patients_are_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(LayoutError, match="expected"):
            scan_folder(folder)
        assert "expected" in call("scan", folder, code=2)


def test_check_reports_all_problems_at_once(npc277, tmp_path):
    import shutil

    folder = shutil.copytree(npc277 / "data", tmp_path / "data").parent
    call("scan", folder, "--test", "1")
    place = folder / "data" / "MRI-Segments"
    next(p for p in (place / "001" / "T1WI").iterdir()
         if pydicom.dcmread(p).InstanceNumber == 4).unlink()
    (place / "003" / "T2WI" / "0000.dcm").write_bytes(b"junk")
    output = call("check", folder / "data_manifest.csv", code=2)
    assert "row 2 (sub-001), column T1w" in output
    assert "A slice is missing" in output
    assert "row 4 (sub-003), column T2w" in output
    assert not any(str(v) in output for v in PLANTED.values())


def test_a_structure_set_as_gtv(npc277, tmp_path):
    import shutil

    folder = shutil.copytree(npc277 / "data", tmp_path / "data").parent
    place = folder / "data" / "MRI-Segments" / "001"
    loops = {"GTVp": mask_contours(tiny(0).gtv), "brainstem": mask_contours(tiny(0).gtv)}
    write_rtstruct(place / "rs.dcm", loops, frame_of(place / "T2WI"))
    call("scan", folder, "--test", "1")
    manifest = folder / "data_manifest.csv"
    table = pd.read_csv(manifest, dtype=str)
    table["gtv_roi"] = ""
    table.loc[0, "gtv"] = "data/MRI-Segments/001/rs.dcm"
    table.to_csv(manifest, index=False)
    call("check", manifest)
    found = sitk.GetArrayFromImage(read_gtv(read_manifest(manifest), "sub-001")) > 0
    expected = sitk.GetArrayFromImage(tiny(0).gtv) > 0
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.95
    table.loc[0, "gtv_roi"] = "GTVn"
    table.to_csv(manifest, index=False)
    output = call("check", manifest, code=2)
    assert "'GTVp', 'brainstem'" in output
    assert "row 2" in output


def test_only_who_asks_for_the_public_cohort_gets_its_citation(npc277, tmp_path):
    call("scan", npc277, "-o", tmp_path / "m.csv")
    table = pd.read_csv(tmp_path / "m.csv", dtype=str)
    assert set(table["license"]) == {"not stated"}


def test_names_that_leave_nothing_are_numbered(tmp_path):
    for name in ("陈", "李", "王"):
        tree(tmp_path, *(f"{name}/{s}.nii.gz" for s in ("t1", "t2", "mask")))
    call("scan", tmp_path)
    subjects = pd.read_csv(tmp_path / "data_manifest.csv")["subject"]
    assert subjects.tolist() == ["sub-001", "sub-002", "sub-003"]
