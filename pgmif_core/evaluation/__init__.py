"""Patients measured and methods compared: measures, tests, the paper's printed numbers, the frontier."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "measures": ["cnr", "fidelity", "fuse_volume", "sobel_against"],
    "paired": ["paired_comparisons"],
    "statistics": ["bootstrap_interval", "holm", "mann_whitney", "paired_wilcoxon"],
})
