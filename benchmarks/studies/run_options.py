"""Which run a study works on: options that several of them share."""

import argparse

from pgmif.runs.parameter_files import read_parameters
from pgmif.runs.root import find_root
from pgmif.runs.run import Run, open_run


def run_parser(description: str) -> argparse.ArgumentParser:
    """A parser with --profile, --manifest and --allow-outside."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--manifest", default="")
    parser.add_argument("--allow-outside", action="store_true")
    return parser


def chosen_run(options: argparse.Namespace) -> Run:
    """The run that those options name."""
    values = {"manifest": options.manifest} if options.manifest else {}
    return open_run(read_parameters(
        find_root() / "params" / f"{options.profile}.yaml", allow_outside=options.allow_outside, **values
    ))
