"""From registered volumes to what the network sees: min-max per slice, 192×192, a slice store."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.files import replacing
from pgmif_core.fingerprints import broken, digest, seal
from pgmif_core.images.volumes import (
    NEAR_ZERO,
    air_level,
    imaged_part,
    resample,
    with_voxels,
    write_json,
)

SLICE_SIZE = 192
ANTIALIAS_FROM = 1.2
THICK_SLICES = 1.5
FEW, SOME = 4, 16  # voxels of a slice that are no tissue, where they lie beyond all others; far beyond
CT_WINDOW_HU = (-160.0, 240.0)  # soft tissue; bone and metal would leave it no contrast


def minmax_per_slice(
    volume: NDArray, imaged: NDArray | None = None, floor: float = 0.0
) -> NDArray[np.float32]:
    """Min-max normalise each slice of (slices, h, w) to [0, 1] ("min-max-each-slice").

    Where `imaged` (boolean, of its shape) is False there is no intensity: it decides no range and
    becomes 0. The minimum of a slice with such a part is `floor`, the level of air, where its lowest
    intensity lies there to a hundredth of its range. A constant slice becomes zeros. Raises ValueError
    on NaN or infinite values.
    """
    volume = np.asarray(volume, dtype=np.float32)
    if not np.isfinite(volume).all():
        raise ValueError("the volume holds NaN or infinite values")
    known = np.ones(volume.shape, bool) if imaged is None else imaged
    low = np.where(known, volume, np.inf).min(axis=(1, 2), keepdims=True)
    high = np.where(known, volume, -np.inf).max(axis=(1, 2), keepdims=True)
    seen = known.any(axis=(1, 2), keepdims=True)
    low, high = (np.where(seen, x, 0).astype(np.float32) for x in (low, high))
    near = (low >= floor) & (low - floor <= NEAR_ZERO * (high - low))
    low = np.where(near & ~known.all(axis=(1, 2), keepdims=True), np.float32(floor), low)
    extent = high - low
    scaled = np.zeros_like(volume)
    np.divide(volume - low, extent, out=scaled, where=(extent > 0) & known)
    return np.clip(scaled, 0, 1)


def windowed(image: sitk.Image, modality: str) -> sitk.Image:
    """A sequence as everything after sees it: CT (HU) cut to the soft-tissue window, level 40 and width
    400 HU; others as they are, but for single voxels beyond all else in their slice (`hot_voxels`), and
    an offset of the background."""
    if modality == "CT":
        return sitk.Clamp(image, sitk.sitkFloat32, *CT_WINDOW_HU)
    cut, offset = _cut(sitk.GetArrayViewFromImage(image)), max(0.0, air_level(image))
    if not cut and not offset:
        return image
    voxels = sitk.GetArrayFromImage(image)
    for k, (low, high) in cut.items():
        voxels[k] = np.clip(voxels[k], low, high)
    return with_voxels(image, voxels - np.float32(offset))


def hot_voxels(image: sitk.Image) -> list[int]:
    """Slices of an image, as stored, whose range a few voxels alone decide: at most four that lie more
    than twice as far from the rest as anything else, or sixteen that lie four times as far and beyond
    twice what the volume has. `windowed` cuts them."""
    return sorted(_cut(sitk.GetArrayViewFromImage(image)))


def _cut(volume: NDArray) -> dict[int, tuple[float, float]]:
    """By slice the range that its other voxels have, where a few lie far beyond."""
    found = {}
    bright = 2 * float(np.percentile(volume[:, ::3, ::3], 99.9))
    for k, plane in enumerate(volume):
        least, most = float(plane.min()), float(plane.max())
        low, high = _limits(plane, FEW, 1)
        if low <= least and most <= high and most > bright:
            low, high = -np.inf, max(bright, _limits(plane, SOME, 3)[1])
        if least < low or most > high:
            usual = plane[(plane >= low) & (plane <= high)]
            found[k] = float(usual.min()), float(usual.max())
    return found


def _limits(plane: NDArray, few: int, times: float) -> tuple[float, float]:
    """How far a slice's intensities may lie: `times` the range of all but the `few` lowest and highest
    beyond it. No end where that range is empty."""
    if plane.size <= 4 * few:
        return -np.inf, np.inf
    flat = np.partition(plane.ravel(), (few, -few - 1))
    low, high = float(flat[few]), float(flat[-few - 1])
    reach = times * (high - low) or np.inf
    return low - reach, high + reach


def upright(image: sitk.Image) -> sitk.Image:
    """The same voxels, axes flipped and swapped to the radiological order, nothing interpolated.

    Slices run along z, or along the coarsest axis where one is 1.5 times coarser than the next
    (sagittal and coronal acquisitions keep their plane). Axial slices have the patient's right on
    the left and the front at the top, however the file stores them.
    """
    axes = np.abs(np.array(image.GetDirection()).reshape(3, 3)).argmax(axis=0)
    spacing = np.array(image.GetSpacing())
    coarsest = int(spacing.argmax())
    thick = spacing[coarsest] > THICK_SLICES * np.delete(spacing, coarsest).max()
    plane = ("PIR", "LIP", "LPS")[axes[coarsest] if thick else 2]
    return sitk.DICOMOrient(image, plane)


def slice_grid(image: sitk.Image, size: int = SLICE_SIZE) -> sitk.Image:
    """An empty image with the slices of `image`, upright, resized to size×size square pixels.

    The aspect ratio is kept: the longer side fills the square, the shorter is padded. (The paper
    says only "resized"; stretching would change angles, and with them every gradient.) A slice
    that is size×size already keeps its grid, so nothing is interpolated.
    """
    image = upright(image)
    width, height, depth = image.GetSize()
    spacing = np.array(image.GetSpacing())
    pixel = max(width * spacing[0], height * spacing[1]) / size
    if np.isclose(pixel, spacing[:2], rtol=1e-3).all():
        # whole pixels of padding only: the old pixel centres stay pixel centres
        first = -np.array([(size - width) // 2, (size - height) // 2, 0.0])
        pixels = spacing[:2]
    else:
        pixels = np.array([pixel, pixel])
        middle = (np.array([width, height]) - 1) / 2
        first = np.append(middle - (size - 1) / 2 * pixel / spacing[:2], 0.0)
    grid = sitk.Image([size, size, depth], sitk.sitkFloat32)
    grid.SetSpacing([*pixels.tolist(), spacing[2]])
    grid.SetDirection(image.GetDirection())
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    return grid


def place_on_slices(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> sitk.Image:
    """Resample a volume onto the slice grid, smoothing first where pixels grow by more than 1.2.

    The Gaussian brings the in-plane resolution to that of the larger pixels; without it, fine
    clinical matrices (512×512) would alias into the 192×192 slices and noise would look like edges.
    """
    axes = [np.array(i.GetDirection()).reshape(3, 3) for i in (grid, image)]
    along = np.abs(axes[0].T @ axes[1]).argmax(axis=0)  # the slice axis nearest to each own axis
    moving = image
    for axis, spacing in enumerate(image.GetSpacing()):
        factor = grid.GetSpacing()[along[axis]] / spacing
        if along[axis] < 2 and factor > ANTIALIAS_FROM and image.GetSize()[axis] > 3:
            smooth = sitk.RecursiveGaussianImageFilter()
            smooth.SetSigma(0.5 * float(np.sqrt(factor**2 - 1)) * spacing)
            smooth.SetDirection(axis)
            moving = smooth.Execute(moving)
    return resample(moving, grid, transform)


def normalised_slices(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A sequence on the slice grid, (slices, h, w) in [0, 1], and where it was imaged."""
    imaged = imaged_part(image, grid, transform)
    placed = sitk.GetArrayFromImage(place_on_slices(image, grid, transform))
    return minmax_per_slice(placed, imaged, air_level(image)), imaged


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


def array_path(store: Path, subject: str, name: str) -> Path:
    """Where an array of a stored patient lies: sources, gtv, reference or imaged."""
    return store / f"{subject}_{name}.npy"


def write_patient(
    store: Path, patient: PatientSlices, details: dict, further: Sequence[Path] = ()
) -> None:
    """Add a patient to the store; its JSON, removed first and written last, marks it complete.

    It seals the arrays, and `further` files that belong to the patient.
    """
    store.mkdir(parents=True, exist_ok=True)
    (store / f"{patient.subject}.json").unlink(missing_ok=True)
    arrays = {
        "sources": patient.sources.astype(np.float32),
        "gtv": patient.gtv,
        "reference": patient.reference,
        "imaged": np.ones_like(patient.gtv) if patient.imaged is None else patient.imaged,
    }
    paths = {name: array_path(store, patient.subject, name) for name in arrays}
    for name, array in arrays.items():
        with replacing(paths[name]) as temporary:
            np.save(temporary, array)
    geometry = {
        "size": patient.grid.GetSize(),
        "spacing_mm": patient.grid.GetSpacing(),
        "direction": patient.grid.GetDirection(),
        "origin_mm": patient.grid.GetOrigin(),
    }
    signal = np.flatnonzero(patient.sources.any(axis=(2, 3)).all(axis=1)).tolist()
    sealed = seal(store, [*paths.values(), *further])
    notes = {**details, "geometry": geometry, "slices_with_signal": signal, "sealed": sealed}
    write_json(notes, store / f"{patient.subject}.json")


def patient_details(store: Path, subject: str) -> dict | None:
    """What `write_patient` noted about a patient, or None where it is not complete."""
    path = store / f"{subject}.json"
    return json.loads(path.read_text()) if path.exists() else None


def known_patient(store: Path, subject: str, settings: dict) -> dict | None:
    """The details of a patient that was made with these settings and is whole, or None."""
    details = patient_details(store, subject)
    if details is None or details.get("settings") != settings or "sealed" not in details:
        return None
    return None if broken(store, details["sealed"]) else details


def complete_details(store: Path, subject: str) -> dict:
    """What `write_patient` noted about a patient; FileNotFoundError where it is not complete."""
    details = patient_details(store, subject)
    if details is None:
        raise FileNotFoundError(f"{subject} is not in {store}; run 01_preprocessing first")
    return details


def read_patient(store: Path, subject: str) -> PatientSlices:
    """A patient's slices; arrays are memory-mapped, so only what is touched is read."""
    geometry = complete_details(store, subject)["geometry"]
    grid = sitk.Image(geometry["size"], sitk.sitkFloat32)
    grid.SetSpacing(geometry["spacing_mm"])
    grid.SetDirection(geometry["direction"])
    grid.SetOrigin(geometry["origin_mm"])
    sources, gtv, reference, imaged = (
        np.load(array_path(store, subject, name), mmap_mode="r")
        for name in ("sources", "gtv", "reference", "imaged")
    )
    return PatientSlices(subject, sources, gtv, reference, grid, imaged)


def store_fingerprint(store: Path, subjects: Sequence[str]) -> str:
    """Hash that changes with the patients, their images and how they were preprocessed."""
    settings = [[s, (patient_details(store, s) or {}).get("settings")] for s in subjects]
    return digest(settings)
