"""What the notebooks do: one module per notebook, with its stem; `unet` serves `delineation`."""
