"""pgmif_core: the tested core of the PGMIF reproducibility package.

The modules read bottom-up; each imports only modules above it in this list:
gradients, losses, networks, metrics, regions, statistics, phantom, images, cohort,
registration, slices, methods, training, parameters, figures, then the two that serve
the notebooks: steps (files of a run) and pipeline (the command behind `make reproduce`).
"""

__version__ = "0.1.0"
