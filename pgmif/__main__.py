"""python -m pgmif: the command `pgmif`."""

from pgmif.cli import app

app(prog_name="pgmif")
