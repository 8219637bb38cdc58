"""pgmif_core: the science. Tensors, arrays, one patient; it knows no run, page or parameter file."""

__version__ = "0.1.0"
