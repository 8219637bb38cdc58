"""Where the repository is that a command or notebook works in."""

from pathlib import Path


def find_root(start: Path | None = None) -> Path:
    """The repository root: the first folder upward of `start` that holds a Snakefile."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "Snakefile").is_file() and (folder / "params").is_dir():
            return folder
    raise FileNotFoundError(
        f"no pgmif repository at or above {start}; open notebooks inside a clone of it"
    )
