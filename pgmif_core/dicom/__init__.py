"""DICOM in and out: MR or CT series, RTSTRUCT contours, derived MR series of fused images."""

from pgmif_core.dicom.contours import ContourError, contour_names, is_rtstruct, rasterise
from pgmif_core.dicom.series import SeriesError, read_series, series_headers
from pgmif_core.dicom.writing import write_series

__all__ = [
    "ContourError", "SeriesError", "contour_names", "is_rtstruct", "rasterise", "read_series",
    "series_headers", "write_series",
]
