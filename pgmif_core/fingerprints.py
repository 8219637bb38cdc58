"""Hashes that tell whether a result still belongs to its data and its code."""

import hashlib
from functools import cache
from pathlib import Path


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_fingerprint(*names: str) -> str:
    """Hash of modules and packages of the core: results of older code are not taken for new."""
    digest = hashlib.sha256()
    for name in names:
        path = Path(__file__).with_name(name)
        files = sorted(path.glob("*.*")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
