"""DICOM in and out: MR or CT series, RTSTRUCT contours, SEG masks, derived series of fused images."""

import warnings

from pgmif_core.images.dicom.segments import is_seg, read_seg, seg_segments
from pgmif_core.images.dicom.series import (
    FRAME_OF_REFERENCE,
    Identity,
    SeriesError,
    is_of_series,
    read_series,
    series_headers,
    series_identity,
)
from pgmif_core.images.dicom.structures import ContourError, contour_names, is_rtstruct, rasterise
from pgmif_core.images.dicom.writing import write_series

# what is wrong with a file is refused with its name, or does not matter
warnings.filterwarnings("ignore", module="pydicom")

__all__ = [
    "FRAME_OF_REFERENCE", "ContourError", "Identity", "SeriesError", "contour_names",
    "is_of_series", "is_rtstruct", "is_seg", "rasterise", "read_seg", "read_series", "seg_segments",
    "series_headers", "series_identity", "write_series",
]
