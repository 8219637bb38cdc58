"""What every command shares: messages to the terminal, errors as exit codes."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pgmif.cohort.download import DownloadError
from pgmif.cohort.manifest import ManifestError
from pgmif.cohort.sequence_names import LayoutError
from pgmif.runs.root import NoRepositoryError
from pgmif_core.images.dicom import ContourError, SeriesError
from pgmif_core.images.volumes import ImageError

REFUSED = (ManifestError, ImageError, SeriesError, ContourError, LayoutError, NoRepositoryError,
           ValueError)

AssumeRas = Annotated[bool, typer.Option(
    "--assume-ras", help="Take images without an orientation for RAS.")]
AllowOutside = Annotated[bool, typer.Option(
    "--allow-outside", help="Allow headers whose voxels lie in another folder.")]
AllowDifferent = Annotated[bool, typer.Option(
    "--allow-different-patients", help="Allow series whose PatientID differs.")]
AllowUnlikely = Annotated[bool, typer.Option(
    "--allow-unlikely", help="Allow T1w and T2w that look exchanged, or like a localizer.")]

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


def printable(text: object) -> str:
    """A text that can be printed: bytes of a file name that are no UTF-8 as escapes."""
    try:
        return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, that is no byte of a name
        return str(text).encode("utf-8", "backslashreplace").decode()


def command() -> str:
    """How this command is called here: by its name where the shell finds it, else by its path."""
    here = Path(sys.executable).parent / "pgmif"
    found = shutil.which("pgmif")
    if (found and Path(found).resolve() == here.resolve()) or not here.exists():
        return "pgmif"
    short = os.path.relpath(here)
    return shlex.quote(str(here) if short.startswith("..") else short)


def say(text: object, **style: str) -> None:
    """Print to standard output as it is: brackets are no markup, paths no highlights."""
    out.print(printable(text), markup=False, highlight=False, **style)


def warn(text: object, style: str = "yellow") -> None:
    """The same, to standard error."""
    err.print(printable(text), markup=False, highlight=False, style=style)


@contextmanager
def exit_codes(words: Mapping[str, str] | None = None) -> Iterator[None]:
    """Refused input ends with 2, a failure on the way with 1; both with one message, no traceback.

    `words`: what a message calls by the name of a manifest's column, and this command by an option.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except REFUSED as error:
        text = str(error)
        for column, option in (words or {}).items():
            text = text.replace(column, option)
        err.print(printable(f"pgmif: {text}"), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from error
    except (DownloadError, OSError, RuntimeError, FloatingPointError) as error:
        err.print(printable(f"pgmif: {error}"), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
