"""python -m pgmif_core: the command `pgmif`."""

from pgmif.cli import app

app(prog_name="pgmif")
