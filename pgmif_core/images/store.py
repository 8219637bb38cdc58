"""Random crops of training slices, read from the store slice by slice."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pgmif_core.images.slices import array_path, complete_details, store_fingerprint


class TrainingSlices:
    """Random crops of training slices, read from disk slice by slice.

    `batch(iteration)` depends on the seed and the iteration alone, so a resumed run sees what the
    uninterrupted one would have seen. Slices that any source leaves empty are left out. No file
    stays open and no slice is kept: memory grows with the cohort by its index alone.
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
        rng = np.random.default_rng([self.seed, iteration])
        chosen = rng.choice(len(self.index), size, replace=len(self.index) < size)
        corners = [self._corner(rng, self.index[i][0]) for i in chosen]
        own = slice(part[0], None, part[1])
        return np.stack([
            self._crop(*self.index[i], *corner)
            for i, corner in zip(chosen[own], corners[own], strict=True)
        ])

    def _corner(self, rng: np.random.Generator, volume: int) -> tuple[int, int]:
        height, width = self.planes[volume]
        return int(rng.integers(height - self.crop + 1)), int(rng.integers(width - self.crop + 1))

    def _crop(self, volume: int, k: int, top: int, left: int) -> NDArray[np.float32]:
        plane = _read_slice(self.paths[volume], k)
        return plane[:, top : top + self.crop, left : left + self.crop]


def _read_slice(path: Path, k: int) -> NDArray[np.float32]:
    """Slice k of a .npy file in one read: from a cold disk ten times faster than its map."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        count = math.prod(shape[1:])
        file.seek(k * count * dtype.itemsize, 1)
        return np.fromfile(file, dtype, count).reshape(shape[1:])
