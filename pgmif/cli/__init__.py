"""The command `pgmif`: from a folder of patients to a manifest, one fused patient, its measures."""

import platform
from importlib.metadata import version

import typer

from pgmif.cli import cohorts, measuring, patients, report, reproduce, training

app = typer.Typer(
    name="pgmif", no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    help="Fuse T1w and T2w MRI (PGMIF, Cheng et al. 2024). Research use only, not a medical device.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pgmif {version('pgmif')} (Python {platform.python_version()}, PyTorch "
                   f"{version('torch')}, {platform.platform()})")
        raise typer.Exit


@app.callback()
def options(
    show: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True,
                              help="Print the version and end."),
) -> None:
    """Exit codes: 0 done, 1 failed on the way, 2 refused before work started."""


app.command("scan")(cohorts.scan)
app.command("check")(cohorts.check)
app.command("download")(cohorts.download_cohort)
app.command("reproduce")(reproduce.reproduce)
app.command("report")(report.report)
app.command("train")(training.train)
app.command("fuse")(patients.fuse)
app.command("evaluate")(measuring.evaluate)
