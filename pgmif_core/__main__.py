"""python -m pgmif_core: the command `pgmif`."""

from pgmif_core.cli import app

app(prog_name="pgmif")
