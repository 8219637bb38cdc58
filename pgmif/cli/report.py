"""`pgmif report`: a finished run on one page."""

import sys
from typing import Annotated

import typer

from pgmif.cli.terminal import exit_codes, say
from pgmif.runs.notebooks import INTERRUPTED
from pgmif.runs.root import find_root


def report(
    run: Annotated[str, typer.Argument(help="A folder of results/; the newest if not given.")] = "",
) -> None:
    """Put a finished run on one page that opens offline: results/RUN/report/index.html.

    Example: `pgmif report phantom`
    """
    with exit_codes():
        root = find_root()
        from pgmif.report import write_report  # nbconvert and pygments take a second to import

        try:
            page = write_report(root, run)
        except KeyboardInterrupt:
            print("\npgmif: stopped by Ctrl-C; a former report is as it was.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
    say(f"Report: {page.relative_to(root)} ({page.stat().st_size / 2**20:.1f} MiB; files beside it)")
