"""What `scan` takes for which sequence, and for the tumour."""

import pytest
from helpers.trees import bids, found, patient, tree

from pgmif.cohort.sequence_names import column_of


def test_contrast_enhanced_images_are_no_t1w(tmp_path):
    bids(tmp_path)
    tree(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_ce-gd_T1w.nii.gz")
    files, _ = found(tmp_path)
    assert "ce-gd" not in files["sub-01"]["T1w"]
    assert "ce-gd" in files["sub-01"]["ceT1w"]


@pytest.mark.parametrize(("name", "column"), [
    ("t1.nii.gz", "T1w"), ("p1_T1w.nii", "T1w"), ("x-t1n.nii.gz", "T1w"), ("t1_pre.nii.gz", "T1w"),
    ("pre_contrast_t1.nii.gz", "T1w"), ("T1_native.nrrd", "T1w"), ("t1ce.nii.gz", "ceT1w"),
    ("t1_post.nii.gz", "ceT1w"), ("T1_gd.mha", "ceT1w"), ("t1c.nii.gz", "ceT1w"),
    ("post_contrast_t1w.nii.gz", "ceT1w"), ("t2.nii.gz", "T2w"), ("t2f.nii.gz", "FLAIR"),
    ("flair.nii.gz", "FLAIR"), ("gtv.nii.gz", "gtv"), ("tumour.nrrd", "gtv"), ("seg.nii.gz", "gtv"),
    ("brain_mask.nii.gz", ""), ("bet_mask.nii.gz", ""), ("t1_bet_mask.nii.gz", ""),
    ("HD-BET_mask.nii.gz", ""), ("aseg.nii.gz", ""), ("parotid_seg.nii.gz", ""), ("notes.txt", ""),
    ("t1.json", ""), ("T2W.NII.GZ", "T2w"), ("report.pdf", ""),
    ("brain_mask_t2.nii.gz", ""), ("GTV_T2.nii.gz", "gtv"), ("flair_t2.nii.gz", "FLAIR"),
    ("FLAIR_T2w.nii.gz", "FLAIR"), ("swi_t2.nii.gz", ""), ("post_ax_t1.nii.gz", "ceT1w"),
    ("gd_tra_t1.nii.gz", "ceT1w"), ("ax_pre_t1.nii.gz", "T1w"), ("ax_t1.nii.gz", "T1w"),
    ("brain_tumor_seg.nii.gz", "gtv"), ("head_neck_gtv.nii.gz", "gtv"), ("brain_seg.nii.gz", ""),
])
def test_which_sequence_a_name_says(tmp_path, name, column):
    (tmp_path / name).write_bytes(b"")
    assert column_of(tmp_path / name) == column


def test_before_contrast_counts_before_after_and_before_what_does_not_say(tmp_path):
    tree(tmp_path, *patient("a", "a/t1_post.nii.gz", "a/t1_pre.nii.gz"))
    files, notes = found(tmp_path)
    assert files["a"]["T1w"] == "a/t1_pre.nii.gz"
    assert files["a"]["ceT1w"] == "a/t1_post.nii.gz"
    assert "a/T1w.nii.gz: a second T1w; t1_pre.nii.gz is taken" in notes


def test_a_brain_mask_beside_the_tumour_is_left_and_named(tmp_path):
    tree(tmp_path, *patient("a", "a/brain_mask.nii.gz", "a/T1w_bet_mask.nii.gz"))
    files, notes = found(tmp_path)
    assert files["a"]["gtv"] == "a/gtv.nii.gz"
    for name in ("brain_mask", "T1w_bet_mask"):
        assert f"a/{name}.nii.gz: the mask of an organ, no tumour" in notes


def test_a_pattern_that_fits_a_brain_mask_takes_the_tumour(tmp_path):
    tree(tmp_path, "a/x_t1.nii", "a/x_t2.nii", "a/x_mask.nii", "a/brain_mask.nii", "a/other.nii")
    files, notes = found(tmp_path, patterns={"T1w": "*t1*", "T2w": "*t2*", "gtv": "*mask*"})
    assert files["a"]["gtv"] == "a/x_mask.nii"
    assert "a/brain_mask.nii: the mask of an organ, no tumour" in notes
    assert "a/other.nii: fits no --name" in notes


@pytest.mark.parametrize(("acquisition", "column"), [
    ("postcontrast", "ceT1w"), ("gd", "ceT1w"), ("post", "ceT1w"), ("precontrast", "T1w"),
    ("compost", "T1w"), ("mprage", "T1w"),
])
def test_contrast_in_the_acquisition_of_a_bids_name(tmp_path, acquisition, column):
    tree(tmp_path, f"sub-01/anat/sub-01_acq-{acquisition}_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
    assert column in found(tmp_path)[0]["sub-01"]
