"""Images that another program fused join every table and figure by name.

`outside_methods: {name: folder}` in the parameters; the folder holds one file per test patient,
<subject>.npy (slices, h, w) as in the slice store, or <subject>.nii.gz in the patient's space; slices
that are not measured may be absent.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif.runs.parameters import ParameterError
from pgmif_core.images.formats import refusing
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.slices import place_on_slices
from pgmif_core.images.volumes import (
    ITK_SUFFIXES,
    NIFTI_SUFFIXES,
    ImageError,
    Trust,
    imaged_part,
    overlap_fraction,
    read_image,
)
from pgmif_core.methods.names import SHOWN

NAME = re.compile(r"[a-z][a-z0-9_]*")
SUFFIXES = (".npy", *NIFTI_SUFFIXES, *ITK_SUFFIXES)
ROUNDING = 1e-3
SMALLEST_OVERLAP = 0.1  # of an outside image with the patient's slices
LEAST_OF_SLICE = 0.5  # that an outside image shows


def outside_file(folder: Path, subject: str) -> Path:
    """The one file of a subject in a folder. Raises ParameterError where there is none, or several."""
    found = [folder / f"{subject}{s}" for s in SUFFIXES if (folder / f"{subject}{s}").is_file()]
    if len(found) != 1:
        what = ", ".join(p.name for p in found) or "none"
        raise ParameterError(
            f"{folder}: expected one file of {subject}, named {subject} with one of "
            f"{', '.join(SUFFIXES)}; found {what}"
        )
    return found[0]


def check_outside(outside: Mapping[str, str], root: Path, subjects: Sequence[str]) -> None:
    """Raise ParameterError, listing every problem, unless all folders hold all test patients."""
    problems = []
    for name, folder in outside.items():
        if name in SHOWN:
            problems.append(f"{name!r}: expected a name of its own, found that of "
                            f"{SHOWN[name].label}; taken are {', '.join(SHOWN)}")
        elif not NAME.fullmatch(name):
            problems.append(
                f"{name!r}: expected a name of lower-case letters, digits and underscores"
            )
        if not (root / folder).is_dir():
            problems.append(f"{name}: expected a folder, found none: {root / folder}")
            continue
        for subject in subjects:
            try:
                outside_file(root / folder, subject)
            except ParameterError as error:
                problems.append(f"{name}: {error}")
    if problems:
        raise ParameterError(
            "outside_methods refused, nothing was started:\n" + "\n".join(f"  - {p}" for p in problems)
        )


def read_outside(
    path: Path, patient: PatientSlices, trust: Trust = Trust()  # noqa: B008
) -> NDArray[np.float32]:
    """A fused volume of another program on the patient's slices, (slices, h, w) in [0, 1].

    An 8-bit array is divided by 255; all else must lie in [0, 1]: nothing is stretched. An image file
    is resampled to the slices, an array must have their shape. Slices that are not measured (without
    tumour and reference region) may be absent: NaN in an array, outside an image; they come as NaN.
    Raises ImageError otherwise.
    """
    if path.suffix == ".npy":
        volume = _array(path, patient.gtv.shape)
        absent = np.isnan(volume).all(axis=(1, 2))
    else:
        image = read_image(path, trust)
        if overlap_fraction(image, patient.grid) < SMALLEST_OVERLAP:
            raise ImageError(f"{path}: expected an image in the space of T2w, found another place")
        volume = sitk.GetArrayFromImage(place_on_slices(image, patient.grid)).astype(np.float32)
        absent = imaged_part(image, patient.grid).mean(axis=(1, 2)) < LEAST_OF_SLICE
    lacking = np.flatnonzero(absent & (patient.gtv | patient.reference).any(axis=(1, 2)))
    if len(lacking) or absent.all():
        shown = ", ".join(map(str, lacking[:10])) or "all"
        raise ImageError(f"{path}: expected every slice that is measured (with tumour or reference "
                         f"region), found none for slice {shown}. Fuse these, too.")
    given = volume[~absent]
    low, high = float(given.min()), float(given.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise ImageError(
            f"{path}: expected intensities in [0, 1], found {low:g} to {high:g}. Divide by "
            "the program's own data range; stretching each image would change what is measured."
        )
    volume[absent] = np.nan
    return np.clip(volume, 0, 1)


def _array(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    with refusing(path, "an array of numbers (numpy.save)"):
        volume = np.load(path, allow_pickle=False)
        if volume.dtype.kind not in "uif":
            raise ImageError(f"{path}: expected an array of numbers, found the type {volume.dtype}")
        scale = 255 if volume.dtype == np.uint8 else 1
        if volume.shape != shape:
            raise ImageError(
                f"{path}: expected the shape of the patient's slices {shape}, found {volume.shape}; "
                "slices that were not fused are NaN"
            )
        return np.array(volume, np.float32) / scale


def check_measurable(path: Path, volume: NDArray, patient: PatientSlices) -> None:
    """Raise ImageError where no CNR can be had: the reference region came out constant."""
    seen = volume[np.asarray(patient.reference)]
    if seen.size and np.ptp(seen) == 0:
        raise ImageError(
            f"{path}: expected some noise in the patient's reference region, found {seen[0]:g} in every "
            "pixel; was the image clipped or thresholded? Its CNR is undefined."
        )
