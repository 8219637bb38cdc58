"""Files and folders are replaced whole or not at all."""

import os

import pytest

from pgmif_core.files import (
    HASHES,
    DiskFullError,
    file_hash,
    remembering,
    remove,
    replacing,
    replacing_folder,
)


def test_left_overs_of_an_equal_process_number_are_replaced(tmp_path):
    for name in (f".{os.getpid()}-a.csv", f".{os.getpid()}-new-b", f".{os.getpid()}-former-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").write_text("x")
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("new")
    for content in ("one", "two"):
        with replacing_folder(tmp_path / "b") as temporary:
            (temporary / "c").write_text(content)
    assert (tmp_path / "a.csv").read_text() == "new"
    assert (tmp_path / "b" / "c").read_text() == "two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "b"]
    remove(tmp_path / "absent")


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail(error):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(DiskFullError, match=r"table\.csv.*Make room"):
        fail(OSError(28, "No space left on device"))
    with pytest.raises(KeyError):
        fail(KeyError("x"))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_failed_folder_leaves_the_older_one_and_a_good_one_replaces_it_whole(tmp_path):
    path = tmp_path / "report"
    path.mkdir()
    (path / "old").touch()

    def fail(error):
        with replacing_folder(path) as temporary:
            (temporary / "new").touch()
            raise error

    with pytest.raises(KeyError):
        fail(KeyError("x"))
    with pytest.raises(DiskFullError, match=r"report.*Make room"):
        fail(OSError(28, "No space left on device"))
    assert [p.name for p in tmp_path.rglob("*")] == ["report", "old"]
    with replacing_folder(path) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["report", "new"]


def test_hashes_are_remembered_in_a_block_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.delenv(HASHES, raising=False)
    settled = tmp_path / "old.bin"
    settled.write_bytes(b"x")
    monkeypatch.setattr("pgmif_core.files.SETTLED_SECONDS", -1.0)
    with remembering(tmp_path / "hashes"):
        inside = file_hash(settled)
        with remembering(tmp_path / "other"):  # what is named already is kept
            assert os.environ[HASHES] == str(tmp_path / "hashes")
    assert HASHES not in os.environ
    assert (tmp_path / "hashes").read_text().startswith(inside)
    assert not (tmp_path / "other").exists()
