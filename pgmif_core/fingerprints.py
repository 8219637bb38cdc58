"""Hashes of contents, and seals: does a result still belong to what it was made from, is it whole?

Contents decide, never dates. A hash is remembered under size, dates, inode and device of its file, so
that a second look costs one `stat`; a change of the file changes one of them (the time of the last
change of an inode cannot be set back).
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

REMEMBERED = "results/.hashes"  # beside the Snakefile that this package lies with
SETTLED_SECONDS = 0.1  # a file changed later than this may change again within one tick of its clock

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


def _memory_file() -> Path | None:
    root = Path(__file__).parents[1]
    path = root / REMEMBERED
    if not (root / "Snakefile").is_file():
        return None
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        return path
    return None


_memory = _Memory(_memory_file())


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    found = os.stat(path)
    identity = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
    known = _memory.find(identity)
    if known is None:
        with path.open("rb") as file:
            known = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time() - found.st_ctime_ns / 1e9 > SETTLED_SECONDS:
            _memory.note(identity, known)
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
