"""Image files read by own code: every header is checked before memory is taken for its voxels."""

from pgmif_core.formats.common import ImageError, Trust, refusing, to_image
from pgmif_core.formats.detached import data_files
from pgmif_core.formats.metaimage import read_metaimage, write_detached
from pgmif_core.formats.nifti import NIFTI_SUFFIXES, is_nifti, read_nifti
from pgmif_core.formats.nrrd import read_nrrd, segments_of

__all__ = [
    "NIFTI_SUFFIXES", "ImageError", "Trust", "data_files", "is_nifti", "read_metaimage", "read_nifti",
    "read_nrrd", "refusing", "segments_of", "to_image",
    "write_detached",
]
