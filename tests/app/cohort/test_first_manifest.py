"""The manifest that `scan` writes: subjects, paths, where they come from."""

import json

import pytest
from helpers.dicoms import image, write_dicom_series
from helpers.trees import bids, patient, scan, tree


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
