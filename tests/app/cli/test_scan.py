"""`pgmif scan` says what it left, why, and how to see more."""

import pytest
from helpers.trees import patient, scan, tree


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
