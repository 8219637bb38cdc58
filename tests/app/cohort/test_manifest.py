"""Manifests: what they may say, and every problem of one at once."""

import time

import pandas as pd
import pytest
from helpers.cohorts import manifest, put

from pgmif.cohort.manifest import Cohort, ManifestError, all_problems, check_images, read_manifest


def test_a_good_manifest(cohort_folder):
    cohort = read_manifest(manifest(cohort_folder))
    check_images(cohort)
    assert cohort.modalities == ("T1w", "T2w")
    assert cohort.subjects("test") == ["b"]
    assert not cohort.is_phantom
    assert cohort.label == f"cohort {cohort.name}"


@pytest.mark.parametrize(("change", "message"), [
    (put(0, "T1w", "nowhere.nii.gz"), "row 2 (a), column T1w: expected a file"),
    (put(0, "T1w", ""), "column T1w: expected a path"),
    (put(1, "subject", "a"), "a is in both splits"),
    (lambda t: pd.concat([t, t.iloc[:1]]), "a appears 2 times"),
    (put(1, "split", "train"), "at least one test patient"),
    (put(0, "split", "validation"), "expected 'train' or 'test', found 'validation'"),
    (put(0, "subject", "../a"), "letters, digits"),
    (lambda t: t.rename(columns={"T1w": "T1W"}), "did you mean 'T1w'"),
    (lambda t: t.drop(columns="gtv"), "column 'gtv' is missing"),
    (lambda t: t.drop(columns="T1w"), "one modality cannot be fused"),
    (lambda t: t.assign(age=4), "unknown column 'age'"),
    (put(0, "T2w", "../outside.nii.gz"), "leaves the manifest's folder"),
    (lambda t: t.assign(gtv_space="ceT1w"), "column gtv_space"),
    (lambda t: t.assign(phantom_seed="x"), "column phantom_seed"),
    (lambda t: t.iloc[:0], "found none"),
    (lambda t: t.assign(phantom_seed=["1", ""]), "cannot be mixed"),
    (put(1, "T1w", "a_T1w.nii.gz"), "rows 2, 3: a (T1w) and b (T1w) share the file"),
    (put(1, "T1w", "./a_T1w.nii.gz"), "rows 2, 3: a (T1w) and b (T1w) share the file"),
    (put(1, "T2w", "a_T1w.nii.gz"), "a (T1w) and b (T2w) share the file"),
    (put(1, "gtv", "a_gtv.nii.gz"), "a (gtv) and b (gtv) share the file"),
    (put(1, "T1w", "b_T2w.nii.gz"), "row 3 (b): T1w and T2w name the same file"),
    (lambda t: t.assign(phantom_seed="²"), "expected a whole number"),
])
def test_bad_manifests_are_refused(cohort_folder, change, message):
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(cohort_folder, change))
    assert message in str(caught.value)


def test_hash_signs_and_trailing_commas_are_taken_literally(cohort_folder):
    path = manifest(cohort_folder, put(0, "source", "protocol #12"))
    assert read_manifest(path).table["license"].tolist() == ["CC0-1.0", "CC0-1.0"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line + "," for line in lines[1:])]) + "\n")
    assert read_manifest(path).subjects("test") == ["b"]


def test_an_unquoted_comma_and_its_row_are_named(cohort_folder):
    path = manifest(cohort_folder)
    header, first, second = path.read_text().splitlines()
    path.write_text("\n".join([header, "", first, second.replace("test,CC0", "Hosp, Dept,CC0")]))
    with pytest.raises(ManifestError, match="row 4: expected 7 entries, found 8"):
        read_manifest(path)
    path.write_text("\n".join([header, "", first, second.replace("b_T1w", "gone")]))
    with pytest.raises(ManifestError, match=r"row 4 \(b\), column T1w"):
        read_manifest(path)


def test_a_linked_manifest_lies_where_its_link_lies(cohort_folder, tmp_path_factory):
    path = manifest(cohort_folder)
    kept = tmp_path_factory.mktemp("annex") / "object.csv"
    path.rename(kept)
    path.symlink_to(kept)
    assert read_manifest(path).file("a", "T1w").exists()


def test_all_problems_are_reported_at_once(cohort_folder):
    def change(table):
        return put(1, "T2w", "gone.nii.gz")(put(0, "T1w", "away.nii.gz")(table))

    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(cohort_folder, change))
    assert len(caught.value.problems) == 2


def test_a_manifest_named_by_a_roundabout_path(cohort_folder):
    manifest(cohort_folder)
    (cohort_folder / "inner").mkdir()
    cohort = read_manifest(cohort_folder / "inner" / ".." / "m.csv")
    assert cohort.name == cohort_folder.name
    assert cohort.file("a", "T1w").exists()


def test_paths_may_leave_the_folder_when_allowed(cohort_folder):
    inner = cohort_folder / "inner"
    inner.mkdir()
    path = manifest(cohort_folder, lambda t: t.assign(
        **{c: "../" + t[c] for c in ("T1w", "T2w", "gtv")}
    ))
    path = path.rename(inner / "m.csv")
    with pytest.raises(ManifestError, match="leaves"):
        read_manifest(path)
    check_images(read_manifest(path, allow_outside=True))


def test_the_embedded_manifest(root):
    cohort = read_manifest(root / "data_manifest.csv")
    assert cohort.is_phantom
    assert (cohort.name, cohort.label) == ("phantom", "synthetic phantom cohort")
    assert len(cohort.subjects("train")) == 70
    assert len(cohort.subjects("test")) == 10


def test_the_third_sequence_of_the_phantoms(root, tmp_path):
    cohort = read_manifest(root / "data_manifest_ceT1w.csv")
    assert cohort.name == "phantom-ceT1w"
    assert cohort.label == "synthetic phantom cohort (T1w, T2w, ceT1w)"
    seeds = read_manifest(root / "data_manifest.csv").table["phantom_seed"]
    assert cohort.table["phantom_seed"].tolist() == seeds.tolist()
    text = (root / "data_manifest_ceT1w.csv").read_text().replace("ceT1w", "FLAIR")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ManifestError, match="expected of a phantom T1w, T2w, ceT1w, CT, found FLAIR"):
        read_manifest(tmp_path / "m.csv")


def test_semicolons_and_capitals_are_named(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("subject;split;T1w\na;train;x\n")
    with pytest.raises(ManifestError, match="found semicolons"):
        read_manifest(path)
    path.write_text("subject,split,T1w,T2w,GTV,source,license\na,train,x,y,z,s,l\n")
    with pytest.raises(ManifestError, match="did you mean 'gtv'"):
        read_manifest(path)


def test_after_ctrl_c_nothing_is_still_being_read(tmp_path, monkeypatch):
    table = pd.DataFrame({"subject": [str(k) for k in range(200)]})
    begun, ended = [], []

    def read(_, subject):
        begun.append(subject)
        time.sleep(0.05 * (subject != "0"))
        ended.append(subject)
        return []

    monkeypatch.setattr("pgmif.cohort.manifest.patient_problems", read)
    found = all_problems(Cohort(tmp_path / "m.csv", table, ("T1w", "T2w")))
    assert next(found) == []
    found.close()  # what an interruption of its reader comes to
    assert sorted(begun) == sorted(ended)
    assert len(begun) < len(table)
