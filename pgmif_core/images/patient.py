"""The one road from volumes to slices: every source of a patient, tumour and reference region.

`place_sources` brings sequences onto the slices of T2w, `patient_of` adds the tumour, `with_reference`
the reference region. Preprocessing, one patient by the command, ablations and demonstrations take it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.images.modalities import T2W, Minmax
from pgmif_core.images.regions import Choice, head_mask, reference_region
from pgmif_core.images.slices import SIGNAL, covered_slices, minmax_acquired, normalised_slices
from pgmif_core.images.windows import windowed

LEAST_MISSED = 0.005  # of a slice's head: less is a corner of air and skin
UNMOVED: Mapping[str, sitk.Transform | None] = MappingProxyType({})


class PatientSlices(NamedTuple):
    """One patient: `sources` (slices, m, h, w) float32 in [0, 1]; masks (slices, h, w).

    `grid` is the geometry of the slices; write fused volumes on it. `imaged`: where every source has an
    image; None: everywhere. `ranges` (slices, m, 2): the intensities that 0 and 1 stand for in each
    slice; None: the same in all.
    """

    subject: str
    sources: NDArray[np.float32]
    gtv: NDArray[np.bool_]
    reference: NDArray[np.bool_]
    grid: sitk.Image
    imaged: NDArray[np.bool_] | None = None
    ranges: NDArray[np.float32] | None = None

    @property
    def volumes(self) -> NDArray[np.float32]:
        """The sources one after the other, (m, slices, h, w)."""
        return np.moveaxis(np.asarray(self.sources), 1, 0)

    @property
    def largest(self) -> int:
        """The slice with the most tumour."""
        return largest_slice(self.gtv)

    @property
    def shown(self) -> int:
        """The slice with the most tumour of those with reference region; of all where there is none."""
        beside = np.asarray(self.reference).any(axis=(1, 2), keepdims=True)
        both = self.gtv & beside
        return largest_slice(both if both.any() else self.gtv)

    @property
    def head(self) -> NDArray[np.bool_]:
        """Tissue with signal in any source; found anew at every look."""
        return head_mask(self.volumes)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of slices, rows and columns."""
        return self.grid.GetSpacing()[::-1]


class Placed(NamedTuple):
    """`sources` (slices, m, h, w) in [0, 1] on the slices, where each, by its name, was imaged, and the
    `ranges` (slices, m, 2) of its intensities."""

    sources: NDArray[np.float32]
    parts: dict[str, NDArray[np.bool_]]
    ranges: NDArray[np.float32]

    @property
    def imaged(self) -> NDArray[np.bool_]:
        """Where every source has an image; elsewhere zeros would count as a scan without an edge."""
        return np.all(list(self.parts.values()), axis=0)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Slices, (slices, 1, 1), on which every source shows anything."""
        return covered_slices(self.sources)[:, None, None]


def largest_slice(gtv: NDArray[np.bool_]) -> int:
    """The slice with the most of a mask (slices, h, w).

    >>> largest_slice(np.array([[[0, 0]], [[1, 1]], [[0, 1]]], bool))
    1
    """
    return int(np.argmax(gtv.sum(axis=(1, 2))))


def before_moving(image: sitk.Image, name: str, minmax: Minmax = "placed") -> sitk.Image:
    """A sequence as it is registered: cut to its window; where `minmax` is "acquired", each of its
    slices in [0, 1]."""
    seen = windowed(image, name)
    return minmax_acquired(seen) if minmax == "acquired" else seen


def place_sources(
    images: Mapping[str, sitk.Image], grid: sitk.Image,
    transforms: Mapping[str, sitk.Transform | None] = UNMOVED, minmax: Minmax = "placed",
) -> Placed:
    """Sequences of one patient, by name and in their order, on the slices of `grid`.

    Each is cut to its window, moved by its transform (points of the grid to points of the image; none:
    left where the scanner put it), resampled, and min-max normalised slice by slice: after all that, or
    (`minmax` "acquired") before it is moved, as `before_moving` leaves it.
    """
    placed = {name: normalised_slices(before_moving(image, name, minmax), grid, transforms.get(name),
                                      minmax)
              for name, image in images.items()}
    return Placed(np.stack([each.planes for each in placed.values()], axis=1),
                  {name: each.imaged for name, each in placed.items()},
                  np.stack([each.ranges for each in placed.values()], axis=1))


def patient_of(
    subject: str, placed: Placed, grid: sitk.Image, drawn: NDArray[np.bool_] | None = None
) -> PatientSlices:
    """A patient with the part of the tumour `drawn` (slices, h, w) that every source shows.

    The reference region is empty; the tumour, too, where none is drawn or no source shows it.
    """
    imaged = placed.imaged
    nothing = np.zeros_like(imaged)
    gtv = nothing if drawn is None else drawn & placed.covered & imaged
    return PatientSlices(subject, placed.sources, gtv, nothing, grid, imaged, placed.ranges)


def with_reference(
    patient: PatientSlices, *limits_mm: float, choice: Choice = "tissue"
) -> PatientSlices:
    """The patient with a homogeneous region near its tumour, in slices that every source shows.

    `limits_mm` (side, nearest, farthest) and `choice` as of `reference_region`. Raises ValueError where
    there is no tumour or no such region.
    """
    imaged = np.ones_like(patient.gtv) if patient.imaged is None else patient.imaged
    imaged = imaged & covered_slices(patient.sources)[:, None, None]
    region = reference_region(
        patient.volumes, np.asarray(patient.gtv), patient.spacing_mm, *limits_mm,
        imaged=imaged, ranges=patient.ranges, choice=choice)
    return patient._replace(reference=region)


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
    names = ("sources", "gtv", "reference", "imaged", "ranges")
    arrays = {n: np.asarray(getattr(patient, n)[planes]) for n in names
              if getattr(patient, n) is not None}
    return patient._replace(**arrays)
