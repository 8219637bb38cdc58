"""DICOM in and out: MR or CT series, RTSTRUCT contours, derived MR series of fused images."""

from pgmif_core.dicom.contours import ContourError, contour_names, is_rtstruct, rasterise
from pgmif_core.dicom.series import FRAME_OF_REFERENCE, SeriesError, read_series, series_headers
from pgmif_core.dicom.writing import write_series

__all__ = [
    "FRAME_OF_REFERENCE", "ContourError", "SeriesError", "contour_names", "is_rtstruct", "rasterise",
    "read_series", "series_headers", "write_series",
]
