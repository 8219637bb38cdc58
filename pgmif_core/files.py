"""Files and folders that are whole or not there: written under another name, then renamed.

JSON and tables are written so, and seals tell whether a result is still what it was when it was made.
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever has a table has loaded it
    import pandas

JOURNAL = "PGMIF_JOURNAL"  # environment: a file in which every file that was written is noted
HASHES = "PGMIF_HASHES"  # environment: a file in which hashes of files are remembered, if any
SETTLED_SECONDS = 0.1  # a file changed later than this may change again within one tick of its clock
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


def write_json(content: Mapping[str, Any], path: Path) -> Path:
    """Write JSON under a temporary name, then rename."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    return path


def write_table(table: "pandas.DataFrame", path: Path) -> Path:
    """Write a CSV under a temporary name, then rename; six significant digits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` write a file under a temporary name, force it to disk, then rename it."""
    with replacing(path) as temporary:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


_Identity = tuple[int, ...]


class _Memory:
    """Hashes by the identity of their file; shared by processes through one file that only grows."""

    def __init__(self, path: Path | None):
        self.path, self.read, self.known = path, 0, {}

    def find(self, identity: _Identity) -> str | None:
        if identity not in self.known:
            self._catch_up()
        return self.known.get(identity)

    def note(self, identity: _Identity, found: str) -> None:
        self.known[identity] = found
        if self.path is not None:
            with suppress(OSError), self.path.open("a") as file:
                file.write(" ".join([found, *map(str, identity)]) + "\n")

    def _catch_up(self) -> None:
        if self.path is None:
            return
        with suppress(OSError), self.path.open("rb") as file:
            file.seek(self.read)
            whole, _, _ = file.read().rpartition(b"\n")
            self.read += len(whole) + 1 if whole else 0
            for line in whole.split(b"\n"):
                parts = line.split()
                if len(parts) == 6 and len(parts[0]) == 64:
                    with suppress(ValueError):  # a damaged line says nothing
                        self.known[tuple(map(int, parts[1:]))] = parts[0].decode()


@cache
def _memory(path: str) -> _Memory:
    return _Memory(Path(path) if path else None)


@contextmanager
def remembering(path: Path) -> Iterator[None]:
    """Let this process, and all that it starts in the block, remember hashes of files in `path`.

    A file that HASHES already names is kept.
    """
    if HASHES in os.environ:
        yield
        return
    os.environ[HASHES] = str(path)
    try:
        yield
    finally:
        del os.environ[HASHES]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Contents decide, never dates. A hash is remembered under size, dates, inode and device of its file,
    so that a second look costs one `stat`; a change of the file changes one of them (the time of the
    last change of an inode cannot be set back). HASHES names the file of what is remembered.
    """
    found = os.stat(path)
    identity = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
    memory = _memory(os.environ.get(HASHES, ""))
    known = memory.find(identity)
    if known is None:
        with path.open("rb") as file:
            known = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time() - found.st_ctime_ns / 1e9 > SETTLED_SECONDS:
            memory.note(identity, known)
    return known


def digest(content: Any) -> str:
    """Hash of plain data (numbers, texts, lists, dictionaries)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def seal(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Hashes of finished files by their path from `folder`: what `unbroken` compares."""
    return {os.path.relpath(path, folder): file_hash(path) for path in sorted(paths)}


def broken(folder: Path, sealed: Mapping[str, str]) -> list[str]:
    """Of sealed files those that are absent, emptied or changed since."""
    return [name for name, known in sealed.items() if not _same(folder / name, known)]


def _same(path: Path, known: str) -> bool:
    try:
        return file_hash(path) == known
    except OSError:
        return False
