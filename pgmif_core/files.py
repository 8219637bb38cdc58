"""Files that are whole or not there: written under another name, then renamed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(OSError):
    """No room to write a file: names it; what was finished before stays usable."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that takes its place when the block ends well.

    The folder is made if absent. When the block fails nothing is left and an older file at `path`
    stays as it was. Raises DiskFullError where there is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        size = temporary.stat().st_size if temporary.is_file() else 0
        temporary.unlink(missing_ok=True)
        if _is_full(error):
            raise DiskFullError(
                f"{path}: expected room on the disk, found none after {size / 1e6:.1f} MB "
                f"({error}). Make room; what was finished is kept, and the same command goes on there."
            ) from error
        raise


def _is_full(error: BaseException) -> bool:
    if not isinstance(error, OSError) or isinstance(error, DiskFullError):
        return False
    return error.errno in FULL or "requested and" in str(error)  # numpy: "n requested and m written"
