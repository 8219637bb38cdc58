"""Image files read by own code: every header is checked before memory is taken for its voxels."""

from pgmif_core.images.formats.common import ImageError, Trust, refusing, to_image
from pgmif_core.images.formats.detached import data_files
from pgmif_core.images.formats.metaimage import read_metaimage, write_detached
from pgmif_core.images.formats.nifti import NIFTI_SUFFIXES, is_nifti, read_nifti
from pgmif_core.images.formats.nrrd import read_nrrd, segments_of

__all__ = [
    "NIFTI_SUFFIXES", "ImageError", "Trust", "data_files", "is_nifti", "read_metaimage", "read_nifti",
    "read_nrrd", "refusing", "segments_of", "to_image",
    "write_detached",
]
