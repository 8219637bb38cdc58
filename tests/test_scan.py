"""What `scan` takes for which sequence, for a patient, for a session; and that it says what it left."""

import csv
import json

import pytest
from dicoms import image, write_dicom_series
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif.cohort.layouts import scan_folder, unused
from pgmif.cohort.sequence_names import column_of


def tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def found(folder, layout="auto", patterns=None):
    """Subject → column → file name, and all notes together."""
    _, patients = scan_folder(folder, layout, patterns)
    files = {p.subject: {c: f.relative_to(folder).as_posix() for c, f in p.files.items()}
             for p in patients}
    return files, "; ".join([note for p in patients for note in p.notes] + unused(folder, patients))


def scan(folder, *options, code=0):
    done = CliRunner().invoke(app, ["scan", str(folder), *options])
    assert done.exit_code == code, done.output
    manifest = folder / "data_manifest.csv"
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    rows = list(csv.DictReader(lines))
    return " ".join(done.output.split()), rows


def patient(name, *more):
    return [f"{name}/T1w.nii.gz", f"{name}/T2w.nii.gz", f"{name}/gtv.nii.gz", *more]


# BIDS

def bids(folder, sessions=("ses-1",), masks=(("ses-1", "GTV"),), subject="sub-01"):
    for session in sessions:
        start = f"{subject}/{session}/anat/{subject}_{session}"
        tree(folder, *(f"{start}_{suffix}.nii.gz" for suffix in ("T1w", "T2w")))
    for session, label in masks:
        tree(folder, f"derivatives/gtv/{subject}/{subject}_{session}_label-{label}_mask.nii.gz")
    return folder


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


def test_contrast_enhanced_images_are_no_t1w(tmp_path):
    bids(tmp_path)
    tree(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_ce-gd_T1w.nii.gz")
    files, _ = found(tmp_path)
    assert "ce-gd" not in files["sub-01"]["T1w"]
    assert "ce-gd" in files["sub-01"]["ceT1w"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', '{"Name": 3}', "\ufeff{}", "\udcff"])
def test_a_description_decides_nothing(tmp_path, text):
    for k in (1, 2):
        bids(tmp_path, subject=f"sub-{k:02d}")
    (tmp_path / "dataset_description.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    _, rows = scan(tmp_path)
    assert len(rows) == 2
    assert all(row["license"] == "not stated" for row in rows)


def test_a_description_is_cited_and_is_no_formula(tmp_path):
    for k in (1, 2):
        bids(tmp_path, subject=f"sub-{k:02d}")
    description = {"Name": "=HYPERLINK(1)", "License": "@x", "BIDSVersion": "1.9.0"}
    (tmp_path / "dataset_description.json").write_text(json.dumps(description))
    _, rows = scan(tmp_path)
    assert {(row["source"], row["license"]) for row in rows} == {("'=HYPERLINK(1)", "'@x")}


# names of files

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


# patients

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


def test_subjects_are_different_whatever_their_folders_are_called(tmp_path):
    names = ("Ann B", "Ann-B", "ann_b", "Ann.B", "Ü", "é", "002", "sub-x", "x")
    for name in names:
        tree(tmp_path, *patient(name))
    _, rows = scan(tmp_path)
    subjects = [row["subject"] for row in rows]
    assert len({s.lower() for s in subjects}) == len(names)
    folders = {row["T1w"].split("/")[-2] for row in rows}
    assert folders == set(names)


def test_renamed_subjects_are_numbers(tmp_path):
    for name in ("Ann", "001", "Bob"):
        tree(tmp_path, *patient(name))
    _, rows = scan(tmp_path, "--rename")
    assert sorted(row["subject"] for row in rows) == ["sub-001", "sub-002", "sub-003"]


def test_paths_that_a_spreadsheet_takes_for_formulas(tmp_path):
    for name in ("=cmd", "+1", "@x", "-y"):
        tree(tmp_path, *patient(name))
    _, rows = scan(tmp_path)
    for row in rows:
        for value in row.values():
            assert value[:1] not in ("=", "+", "-", "@")
        assert (tmp_path / row["T1w"]).exists()


def test_folders_whose_headers_name_two_patients_are_left_out(tmp_path):
    volume = image([[[1, 2], [3, 4]]] * 4)
    for name in ("a", "b", "c"):
        for sequence in ("T1w", "T2w"):
            who = "OTHER" if (name, sequence) == ("c", "T2w") else name
            write_dicom_series(volume, tmp_path / name / sequence, PatientID=who)
        tree(tmp_path, f"{name}/gtv.nii.gz")
    text, rows = scan(tmp_path)
    assert {row["subject"] for row in rows} == {"sub-a", "sub-b"}
    assert "left out: c: expected T1w, T2w of one patient, found that their PatientID differs" in text
    assert "OTHER" not in text


# what was left

def test_everything_that_was_not_used_is_named(tmp_path):
    tree(tmp_path, *patient("a", "a/t1_second_t1w.nii.gz", "a/scanner.pdf"), *patient("b"),
         "c/T1w.nii.gz", "empty/readme.txt", "loose.nii.gz")
    text, rows = scan(tmp_path)
    assert len(rows) == 2
    for said in ("left out: c: no T2w, gtv", "a/scanner.pdf: no known sequence", "a second T1w",
                 "loose.nii.gz: no folder of a patient", "empty"):
        assert said in text, said
    assert "(4 found)" in text


def test_long_lists_say_how_many_more_and_how_to_see_them(tmp_path):
    tree(tmp_path, *patient("a", *(f"a/n{k}.txt" for k in range(30))), *patient("b"))
    text, _ = scan(tmp_path)
    assert "… and 10 more files; --all shows them" in text
    text, _ = scan(tmp_path, "--all", "--force")
    assert "n29.txt" in text
    assert "--all shows" not in text


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


@pytest.mark.parametrize(("acquisition", "column"), [
    ("postcontrast", "ceT1w"), ("gd", "ceT1w"), ("post", "ceT1w"), ("precontrast", "T1w"),
    ("compost", "T1w"), ("mprage", "T1w"),
])
def test_contrast_in_the_acquisition_of_a_bids_name(tmp_path, acquisition, column):
    tree(tmp_path, f"sub-01/anat/sub-01_acq-{acquisition}_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
    assert column in found(tmp_path)[0]["sub-01"]


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


def test_a_refusal_says_what_was_skipped_and_why(tmp_path):
    for name in ("a", "b"):
        tree(tmp_path, *patient(name, f"{name}/tumour.nii.gz"))
    text, _ = scan(tmp_path, code=2)
    assert "several contours, none taken" in text


def test_links_to_nowhere_are_called_so(tmp_path):
    for name in ("a", "b"):
        tree(tmp_path, *patient(name))
        (tmp_path / name / "T1w.nii.gz").unlink()
        (tmp_path / name / "T1w.nii.gz").symlink_to("../.git/annex/objects/x")
    text, _ = scan(tmp_path, code=2)
    assert "a/T1w.nii.gz is a link to a file that is not there; fetch it (datalad get)" in text


@pytest.mark.parametrize("pattern", ["/a/t1*", "../a/t1*", "**", "*/../t1*"])
def test_a_glob_stays_inside_a_patient(tmp_path, pattern):
    tree(tmp_path, *patient("a"), *patient("b"))
    others = ("--name", "T2w=T2*", "--name", "gtv=gtv*")
    text, _ = scan(tmp_path, "--name", f"T1w={pattern}", *others, code=2)
    assert f"--name T1w={pattern}: expected a glob of files inside a patient's folder" in text
