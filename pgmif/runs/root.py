"""Where the repository is that a command or notebook works in."""

from pathlib import Path


class NoRepositoryError(FileNotFoundError):
    """Outside of a clone: says where was looked."""


def find_root(start: Path | None = None) -> Path:
    """The repository root: the first folder upward of `start` that holds a Snakefile.

    Raises NoRepositoryError where there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "Snakefile").is_file() and (folder / "params").is_dir():
            return folder
    raise NoRepositoryError(
        f"{start}: expected a clone of the pgmif repository here or above, found none; runs and "
        "notebooks need one (fuse, evaluate, scan and check do not)"
    )
