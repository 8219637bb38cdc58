"""One patient on the slices of T2w: every source, tumour and reference region."""

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.modalities import T2W
from pgmif_core.images.slices import SIGNAL


class PatientSlices(NamedTuple):
    """One patient in the store: `sources` (slices, m, h, w) float32 in [0, 1]; masks (slices, h, w).

    `grid` is the geometry of the slices; write fused volumes on it. `imaged`: where every source has an
    image; None: everywhere.
    """

    subject: str
    sources: NDArray[np.float32]
    gtv: NDArray[np.bool_]
    reference: NDArray[np.bool_]
    grid: sitk.Image
    imaged: NDArray[np.bool_] | None = None


LEAST_MISSED = 0.005  # of a slice's head: less is a corner of air and skin


def partly_imaged(patient: PatientSlices) -> NDArray[np.bool_]:
    """Slices on which T2w shows some of the head where another source was not imaged."""
    if patient.imaged is None:
        return np.zeros(len(patient.sources), bool)
    head = np.asarray(patient.sources[:, T2W]) > SIGNAL
    missed = (head & ~np.asarray(patient.imaged)).sum(axis=(1, 2))
    return missed > LEAST_MISSED * head.sum(axis=(1, 2)).clip(min=1)


def measured_slices(patient: PatientSlices) -> PatientSlices:
    """Only the slices with tumour or reference region: all that CNR and Q look at."""
    return slices_of(patient, (patient.gtv | patient.reference).any(axis=(1, 2)))


def slices_of(patient: PatientSlices, planes: NDArray[np.bool_]) -> PatientSlices:
    """Some slices of a patient; `grid` stays that of all."""
    names = [n for n in ("sources", "gtv", "reference", "imaged") if getattr(patient, n) is not None]
    arrays = {n: np.asarray(getattr(patient, n)[planes]) for n in names}
    return patient._replace(**arrays)


def largest_slice(patient: PatientSlices) -> int:
    """The slice with the most tumour."""
    return int(np.argmax(patient.gtv.sum(axis=(1, 2))))
