"""Which sequences there are, and in which order."""

from typing import Literal

FURTHER_MODALITIES = ("ceT1w", "FLAIR", "PDw", "CT", "DWI")
PHANTOM_MODALITIES = ("T1w", "T2w", "ceT1w", "CT")
T1W, T2W = 0, 1  # positions in the manifest's modality order
Minmax = Literal["placed", "acquired"]  # which slices are brought to [0, 1]
CT_WINDOW_HU = (-160.0, 240.0)  # soft tissue; bone and metal would leave it no contrast
