"""pgmif_core: the tested core of the PGMIF reproducibility package.

The modules read bottom-up; each imports only modules above it in this list:
files, fingerprints, gradients, losses, networks, metrics, regions, statistics, phantom, dicom, images,
contours, validation, cohort, registration, slices, methods, training, parameters, patients (over
processes), volumes (step 00), qc, preprocessing (step 01), evaluation, figures, panels, architecture,
claims, steps (files of a run), learning (step 02), fused (fused volumes), fusion (steps 03-05),
notebooks (one of them executed), pipeline (the command behind `make reproduce`), layouts, download,
single (one patient), cli (the command `pgmif`).
tests/test_house.py holds this order.
"""

__version__ = "0.1.0"
