"""pgmif_core, the science: tensors, arrays, one patient; it knows no run, page or parameter file.

From below, each room importing only those on floors beneath it: `files` (whole or not there),
`expected` (of arguments), `chunks` (volumes a few slices at a time), `phantom`; `gradients` (every
derivative), `images` (volumes, DICOM, registration, slices, regions, one patient), `networks`
(generator, its fast forms, weights);
`losses` (Eq. 2, 4, 5, adversarial terms), `metrics` (the paper's, the field's, separation),
`methods` (one table of names, rules, classical, PGMIF+, learned); `training` (one step, the loop),
`evaluation` (patients measured, methods compared).
"""

__version__ = "0.1.0"
