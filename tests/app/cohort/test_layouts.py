"""What `scan` takes for a patient and for a session; and that it names what it left."""

import pytest
from helpers.trees import bids, found, patient, tree

from pgmif.cohort.layouts import scan_folder


def test_scan_brats_names(tmp_path):
    for style in (("t1", "t1ce", "t2", "flair", "seg"), ("t1n", "t1c", "t2w", "t2f", "seg")):
        folder = tmp_path / style[0]
        for name in ("BraTS-001", "BraTS-002"):
            (folder / name).mkdir(parents=True)
            for suffix in style:
                (folder / name / f"{name}_{suffix}.nii.gz").write_bytes(b"")
            (folder / name / "notes.txt").write_text("")
        layout, found = scan_folder(folder)
        assert layout == "brats"
        assert set(found[0].files) == {"T1w", "ceT1w", "T2w", "FLAIR", "gtv"}
        assert found[0].files["ceT1w"].name == f"BraTS-001_{style[1]}.nii.gz"
        assert "notes.txt" in found[0].notes[0]


def test_a_brain_mask_is_no_tumour(tmp_path):
    tree(tmp_path / "a", "p1/t1.nii.gz", "p1/t2.nii.gz", "p1/brain_mask.nii.gz", "p1/tumor_seg.nii.gz")
    _, (patient,) = scan_folder(tmp_path / "a")
    assert patient.files["gtv"].name == "tumor_seg.nii.gz"
    tree(tmp_path / "b", "p1/t1.nii.gz", "p1/t2.nii.gz", "p1/a_seg.nii.gz", "p1/b_seg.nii.gz")
    _, (patient,) = scan_folder(tmp_path / "b")
    assert "gtv" not in patient.files
    assert "several contours, none taken" in patient.notes[0]
    tree(tmp_path / "c", "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz",
         "derivatives/x/sub-1/sub-1_dseg.nii.gz", "derivatives/x/sub-1/sub-1_label-lesion_mask.nii.gz",
         "derivatives/x/sub-1/sub-1_space-MNI152_label-lesion_mask.nii.gz")
    _, (patient,) = scan_folder(tmp_path / "c")
    assert patient.files["gtv"].name == "sub-1_label-lesion_mask.nii.gz"


def test_two_time_points_are_one_patient(tmp_path):
    for name in ("BraTS-GLI-00005-000", "BraTS-GLI-00005-001", "BraTS-GLI-00006-000", "P1_baseline",
                 "P1_followup"):
        tree(tmp_path, *(f"{name}/{name}-{s}.nii.gz" for s in ("t1n", "t2w", "seg")))
    _, found = scan_folder(tmp_path)
    assert [p.subject for p in found] == ["BraTS-GLI-00005-000", "BraTS-GLI-00006-000", "P1_baseline"]
    assert "a further session" in found[0].notes[-1]


def test_a_session_is_its_whole_name(tmp_path):
    """ses-1 is no part of ses-10."""
    bids(tmp_path, ("ses-1", "ses-10"), (("ses-10", "GTV"),))
    files, notes = found(tmp_path)
    assert {p.split("/")[1] for c, p in files["sub-01"].items() if c != "gtv"} == {"ses-10"}
    assert "ses-10_label-GTV" in files["sub-01"]["gtv"]
    assert "sub-01/ses-1: a further session" in notes


@pytest.mark.parametrize("mask", ["ses-2", "ses-01", "ses-11"])
def test_a_mask_of_another_session_is_not_taken(tmp_path, mask):
    bids(tmp_path, ("ses-1",), ((mask, "GTV"),))
    files, notes = found(tmp_path)
    assert "gtv" not in files["sub-01"]
    assert "the mask of another session than 1" in notes


def test_a_mask_of_no_session_does_not_fit_images_of_one(tmp_path):
    bids(tmp_path, ("ses-1",), ())
    tree(tmp_path, "derivatives/gtv/sub-01/sub-01_label-GTV_mask.nii.gz")
    assert "gtv" not in found(tmp_path)[0]["sub-01"]


@pytest.mark.parametrize(("label", "taken"), [
    ("GTV", True), ("GTVp", True), ("tumor", True), ("lesion", True), ("brain", False), ("WM", False),
    ("notGTV", False), ("nontumor", False), ("parotid", False), ("headgtv", False),
])
def test_entities_are_compared_whole(tmp_path, label, taken):
    files, _ = found(bids(tmp_path, masks=(("ses-1", label),)))
    assert ("gtv" in files["sub-01"]) is taken


def test_a_subject_is_its_whole_name(tmp_path):
    """The mask of sub-011 is not that of sub-01."""
    bids(tmp_path, masks=())
    bids(tmp_path, subject="sub-011")
    files, _ = found(tmp_path)
    assert "gtv" not in files["sub-01"]
    assert "sub-011" in files["sub-011"]["gtv"]


@pytest.mark.parametrize("names", [
    ("2019-001", "2019-002", "2020-001"), ("001", "002"), ("1999", "2000"), ("P-7", "P-8"),
    ("12-345-678", "12-345-679"),
])
def test_names_of_numbers_and_years_are_patients(tmp_path, names):
    for name in names:
        tree(tmp_path, *patient(name))
    assert set(found(tmp_path)[0]) == set(names)


@pytest.mark.parametrize(("first", "second"), [
    ("p1_baseline", "p1_followup"), ("p1-visit1", "p1-visit2"), ("p1_ses-a", "p1_ses-b"),
    ("BraTS-GLI-00005-000", "BraTS-GLI-00005-001"), ("p1_tp1", "p1_tp2"),
])
def test_two_time_points_are_one_patient_and_the_second_is_named(tmp_path, first, second):
    tree(tmp_path, *patient(first), *patient(second))
    files, notes = found(tmp_path)
    assert len(files) == 1
    assert f"{second}: a further session of" in notes


@pytest.mark.parametrize("visits", [
    ("study1", "study2"), ("time1", "time2"), ("preop", "postop"), ("scan1", "scan2"),
    ("week-000", "week-012"), ("11", "21"), ("visit_1", "visit_2"), ("month3", "month6"),
])
def test_words_of_visits_are_no_patients(tmp_path, visits):
    for person in ("UPENN-GBM-00001", "UPENN-GBM-00002"):
        for visit in visits:
            tree(tmp_path, *patient(f"{person}_{visit}"))
    files, notes = found(tmp_path)
    assert len(files) == 2
    assert f"UPENN-GBM-00001_{visits[1]}: a further session" in notes


def test_a_mask_belongs_to_the_images_of_its_run(tmp_path):
    for run in "12":
        tree(tmp_path, *(f"sub-01/anat/sub-01_run-{run}_{s}.nii.gz" for s in ("T1w", "T2w")))
    tree(tmp_path, "derivatives/seg/sub-01/sub-01_run-2_label-GTV_mask.nii.gz")
    files, notes = found(tmp_path)
    assert all("run-2" in name for name in files["sub-01"].values())
    assert "sub-01_run-1_T2w.nii.gz: a second T2w" in notes


def test_of_a_bids_tree_everything_else_is_named(tmp_path):
    bids(tmp_path)
    left = ["sub-01/ses-1/func/sub-01_bold.nii.gz", "sub-01/sub-01_T2w.nii.gz",
            "derivatives/seg/sub-zz/sub-zz_label-GTV_mask.nii.gz", "derivatives/notes.txt"]
    _, notes = found(tree(tmp_path, *left))
    for name in left:
        assert f"{name}: no" in notes


def test_a_name_inside_another_note_is_named_too(tmp_path):
    tree(tmp_path, *patient("a", "a/ax_T1w.nii.gz"), "T1w.nii.gz", "ax_T1w.nii.gz")
    notes = found(tmp_path)[1].split("; ")
    assert "T1w.nii.gz: no folder of a patient" in notes
    assert "ax_T1w.nii.gz: no folder of a patient" in notes
