"""What every command shares: messages to the terminal, errors as exit codes."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from pgmif_core.cohort import ManifestError
from pgmif_core.dicom import ContourError, SeriesError
from pgmif_core.download import DownloadError
from pgmif_core.images import ImageError
from pgmif_core.layouts import LayoutError

REFUSED = (ManifestError, ImageError, SeriesError, ContourError, LayoutError, ValueError)

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def name_values(pairs: list[str], option: str) -> dict[str, str]:
    """NAME=VALUE options as a dictionary; ValueError where one is none or comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name or not value:
            raise ValueError(f"{option} {pair}: expected NAME=VALUE, found no such pair.")
        if name in found:
            raise ValueError(f"{option} {pair}: {name} is given twice.")
        found[name] = value
    return found


@contextmanager
def exit_codes() -> Iterator[None]:
    """Refused input ends with 2, a failure on the way with 1; both with one message, no traceback."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except REFUSED as error:
        err.print(f"pgmif: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(2) from error
    except (DownloadError, OSError, RuntimeError, FloatingPointError) as error:
        err.print(f"pgmif: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
