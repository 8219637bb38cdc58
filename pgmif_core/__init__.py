"""pgmif_core: the tested core of the PGMIF reproducibility package.

The modules read bottom-up; each imports only modules above it in this list:
files, pages (HTML), fingerprints (hashes of files), code_of (of the code that a step reaches),
checkpoints, distributed (one training, many processes), expected (of arguments), gradients, losses,
networks, inference (the same, folded), metrics,
fusion_metrics (the field's standard ones), regions, delineation (what grey values separate),
segmentation (a U-Net), statistics, published (the paper's numbers among themselves), comparators
(classical fusion), pgmif_plus (closed form), phantom, formats (NIfTI, NRRD, MetaImage), dicom, images,
masks, contours, displacements, registration, slices, checks (of one patient's images), validation (of a
manifest), cohort, slices, training_slices, methods, trainer (one step), training (the loop), parameters,
patients (over processes), volumes (step 00), qc, preprocessing (step 01), evaluation, plus_fitting,
comparisons (tables of methods), frontier (what trivial filters reach), figures, evidence_figures,
panels, architecture, claims, steps (files of a run), released (weights/), plus_development (step 10),
learning (step 02), outside (images of other programs), fused (fused volumes), fusion (steps 03-05),
standing (steps 07, 08), unet_delineation (step 08), ablations (step 09), staleness (what must run
again), notebooks (one of them executed), supervision (a run ends with all it started), pipeline (the
command behind `make reproduce`), sequence_names, layouts, first_manifest (what `scan` does), download,
single (one patient), viewer (images in a notebook), demonstration (phantoms in seconds), explorer
(explore.ipynb), lessons (notebooks/teaching), report, cli (the command `pgmif`).
tests/test_house.py holds this order.
"""

__version__ = "0.1.0"
