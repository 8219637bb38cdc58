"""`pgmif` itself: help and examples."""

import subprocess
import sys

import pytest
from helpers.commands import call


@pytest.mark.parametrize("command", ["scan", "check", "download", "fuse", "evaluate"])
def test_every_command_shows_an_example(command):
    assert f"pgmif {command}" in call(command, "--help").replace("\n", " ")


def test_help_does_not_wait_for_torch():
    code = "import sys, pgmif.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
