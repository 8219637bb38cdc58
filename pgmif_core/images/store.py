"""Patients' slices on disk: arrays sealed and memory-mapped, and random crops for a training."""

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.files import broken, digest, replacing, seal, write_json
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.slices import covered_slices

ARRAYS = ("sources", "gtv", "reference", "imaged", "ranges")


def array_path(store: Path, subject: str, name: str) -> Path:
    """Where one of the `ARRAYS` of a stored patient lies."""
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
        "ranges": _one_range(patient) if patient.ranges is None else patient.ranges,
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
    signal = np.flatnonzero(covered_slices(patient.sources)).tolist()
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
    """A patient's slices; arrays are memory-mapped, so only what is touched is read.

    Raises FileNotFoundError where the patient is not complete, or was stored by another version.
    """
    geometry = complete_details(store, subject)["geometry"]
    grid = sitk.Image(geometry["size"], sitk.sitkFloat32)
    grid.SetSpacing(geometry["spacing_mm"])
    grid.SetDirection(geometry["direction"])
    grid.SetOrigin(geometry["origin_mm"])
    paths = [array_path(store, subject, name) for name in ARRAYS]
    if absent := [path.name for path in paths if not path.exists()]:
        raise FileNotFoundError(f"{store}: expected {', '.join(absent)}, found none: another version "
                                "stored this patient; run 01_preprocessing again")
    sources, gtv, reference, imaged, ranges = (np.load(path, mmap_mode="r") for path in paths)
    return PatientSlices(subject, sources, gtv, reference, grid, imaged, ranges)


def _one_range(patient: PatientSlices) -> NDArray[np.float32]:
    slices, modalities = patient.sources.shape[:2]
    return np.tile(np.float32((0, 1)), (slices, modalities, 1))


def store_fingerprint(store: Path, subjects: Sequence[str]) -> str:
    """Hash that changes with the patients, their images and how they were preprocessed."""
    settings = [[s, (patient_details(store, s) or {}).get("settings")] for s in subjects]
    return digest(settings)


class TrainingSlices:
    """Random crops of training slices, read from disk slice by slice, in epochs: each slice once, in
    an order drawn anew for every epoch.

    `batch(iteration, size)` depends on the seed, the iteration and the size alone, so a resumed run
    sees what the uninterrupted one would have seen. Slices that any source leaves empty are left out.
    No file stays open and no slice is kept: memory grows with the cohort by its index alone.
    """

    def __init__(self, store: Path, subjects: Sequence[str], crop: int, seed: int):
        self.crop, self.seed = crop, seed
        self.fingerprint = store_fingerprint(store, subjects)
        self.paths = [array_path(store, s, "sources") for s in subjects]
        notes = [complete_details(store, s) for s in subjects]
        self.planes = [tuple(n["geometry"]["size"][1::-1]) for n in notes]  # height, width
        self.index = [(v, k) for v, n in enumerate(notes) for k in n["slices_with_signal"]]
        if not self.index:
            raise ValueError(f"no training slice with signal among {list(subjects)}")
        size = min(min(plane) for plane in self.planes)
        if crop > size:
            raise ValueError(f"crop {crop} is larger than the slices ({size}); choose a smaller one")

    def __len__(self) -> int:
        return len(self.index)

    def batch(
        self, iteration: int, size: int, part: tuple[int, int] = (0, 1)
    ) -> NDArray[np.float32]:
        """(size, m, crop, crop) float32, or the `part` (k of n) of it that one of n processes takes."""
        chosen = [self._drawn(number) for number in range(iteration * size, (iteration + 1) * size)]
        rng = np.random.default_rng([self.seed, iteration])
        corners = [self._corner(rng, volume) for volume, _ in chosen]
        own = slice(part[0], None, part[1])
        return np.stack([
            self._crop(*place, *corner)
            for place, corner in zip(chosen[own], corners[own], strict=True)
        ])

    def _drawn(self, number: int) -> tuple[int, int]:
        """Patient and slice of the `number`-th crop of the whole training."""
        epoch, place = divmod(number, len(self))
        return self.index[_order(len(self), self.seed, epoch)[place]]

    def _corner(self, rng: np.random.Generator, volume: int) -> tuple[int, int]:
        height, width = self.planes[volume]
        return int(rng.integers(height - self.crop + 1)), int(rng.integers(width - self.crop + 1))

    def _crop(self, volume: int, k: int, top: int, left: int) -> NDArray[np.float32]:
        plane = _read_slice(self.paths[volume], k)
        return plane[:, top : top + self.crop, left : left + self.crop]


@lru_cache(maxsize=2)  # a batch may reach into the next epoch
def _order(slices: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, 0]).permutation(slices)


def _read_slice(path: Path, k: int) -> NDArray[np.float32]:
    """Slice k of a .npy file in one read: from a cold disk ten times faster than its map."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        count = math.prod(shape[1:])
        file.seek(k * count * dtype.itemsize, 1)
        return np.fromfile(file, dtype, count).reshape(shape[1:])
