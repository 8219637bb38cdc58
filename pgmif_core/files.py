"""Files and folders that are whole or not there: written under another name, then renamed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

JOURNAL = "PGMIF_JOURNAL"  # environment: a file in which every file that was written is noted
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(OSError):
    """No room to write a file: names it; what was finished before stays usable."""


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that takes its place when the block ends well.

    The folder is made if absent. When the block fails nothing is left and an older file at `path`
    stays as it was. Raises DiskFullError where there is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    remove(temporary)  # left over by a killed process that had the same number
    try:
        yield temporary
        temporary.replace(path)
        _note_in_journal(path)
    except BaseException as error:
        size = temporary.stat().st_size if temporary.is_file() else 0
        temporary.unlink(missing_ok=True)
        if _is_full(error):
            raise _disk_full(path, size, error) from error
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder: an empty one, which takes the place of `path` with all in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, former = (path.with_name(f".{os.getpid()}-{n}-{path.name}") for n in ("new", "former"))
    for left_over in (temporary, former):  # of a killed process that had the same number
        remove(left_over)
    temporary.mkdir()
    try:
        yield temporary
    except BaseException as error:
        size = sum(p.stat().st_size for p in temporary.rglob("*") if p.is_file())
        shutil.rmtree(temporary)
        if _is_full(error):
            raise _disk_full(path, size, error) from error
        raise
    if path.exists():
        path.rename(former)
    temporary.rename(path)
    shutil.rmtree(former, ignore_errors=True)


def _note_in_journal(path: Path) -> None:
    if os.environ.get(JOURNAL):
        with open(os.environ[JOURNAL], "a", encoding="utf-8", errors="surrogateescape") as journal:
            journal.write(os.path.relpath(path) + "\n")


class FolderTaken(RuntimeError):
    """Another process is writing in the same folder: `owner` is its number (0: not known), `mark` what
    the processes that it started carry."""

    def __init__(self, owner: int, mark: str):
        super().__init__(f"process {owner or '?'}")
        self.owner, self.mark = owner, mark


@contextmanager
def taken(folder: Path, lock: str = ".lock", mark: str = "") -> Iterator[int]:
    """Keep other processes from a folder while the block runs; the descriptor that holds it.

    A child that inherits the descriptor keeps the folder taken where only this process is killed;
    it is free at once where both are. Raises FolderTaken with the process that has it.
    """
    import fcntl  # absent on Windows, where the rest of this module works

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / lock).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner, _, known = file.read().strip().partition(" ")
            raise FolderTaken(int(owner) if owner.isdecimal() else 0, known) from error
        file.truncate(0)
        file.write(f"{os.getpid()} {mark}".strip())
        file.flush()
        yield file.fileno()


def _disk_full(path: Path, size: int, error: BaseException) -> DiskFullError:
    return DiskFullError(
        f"{path}: expected room on the disk, found none after {size / 1e6:.1f} MB "
        f"({error}). Make room; what was finished is kept, and the same command goes on there."
    )


def _is_full(error: BaseException) -> bool:
    if not isinstance(error, OSError) or isinstance(error, DiskFullError):
        return False
    return error.errno in FULL or "requested and" in str(error)  # numpy: "n requested and m written"
