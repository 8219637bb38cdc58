"""The physical nasopharynx phantom: tissue → spin-echo signal → coil, noise, misalignment.

`make_phantom(seed, size)` gives a patient with T1w, T2w, GTV and the true displacement between the
two scans. Nothing here knows about fusion: two numbers of the phantom, the tumour's T1 and proton
density, are calibrated, and on the inputs only (`benchmarks/studies/calibration.py`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.phantom.acquisition import (
    Motion,
    acquire,
    acquire_ct,
    contour,
    empty_image,
    signal_map,
    true_displacement,
)
from pgmif_core.phantom.anatomy import STEP_MM, Grid, label_grid, paint_head
from pgmif_core.phantom.tissues import SEQUENCES, tissue_attenuations, tissue_signals
from pgmif_core.phantom.tumour import Tumour, grow_tumour


@dataclass(frozen=True)
class PhantomSize:
    """Acquisition matrix: number of T2w slices, their distance and the in-plane pixel, in mm."""

    slices: int = 44
    thickness_mm: float = 3.3
    pixel_mm: float = 1.2


FULL_SIZE = PhantomSize()
# SD of each quadrature channel relative to fully relaxed water: fat on T1w has an SNR of about 50
NOISE_SD = 0.012
CT_NOISE_HU = 12.0  # assumed: a soft-tissue kernel


class Phantom(NamedTuple):
    """One patient: images with geometry, GTV on the T2w grid, the true displacement, what it is.

    ceT1w (T1w after contrast agent) and CT (in HU), each with its own displacement, if asked for.
    """

    T1w: sitk.Image
    T2w: sitk.Image
    gtv: sitk.Image
    displacement: sitk.Image
    tumour: Tumour
    motion: Motion
    ceT1w: sitk.Image | None = None
    ceT1w_displacement: sitk.Image | None = None
    CT: sitk.Image | None = None
    CT_displacement: sitk.Image | None = None


def make_phantom(
    seed: int, size: PhantomSize = FULL_SIZE, tumour: Mapping[str, float] | None = None,
    further: Collection[str] = (),
) -> Phantom:
    """Make the patient with this seed; the same seed and size give the same voxels.

    The anatomy and the tumour depend on the seed alone, `size` only decides how they are imaged.

    T2w is the reference frame. T1w has a grid of its own (finer pixels, thicker slices, oblique by
    a few degrees) and sees the patient displaced: a T1w point p shows the anatomy of the T2w point
    p + displacement(p). `tumour` replaces tissue numbers of the tumour (for calibration). `further`
    names more images, "ceT1w" on the T1w grid and "CT" on one of its own; for each the patient has
    moved once more.
    """
    rng = np.random.default_rng(seed)
    anatomy_rng, tumour_rng, motion_rng, *scan_rngs = rng.spawn(5)
    labels, grid, lesion = _anatomy(anatomy_rng, tumour_rng, size)

    rows, columns = round(230.4 / size.pixel_mm), round(201.6 / size.pixel_mm)
    t2w_grid = empty_image(
        (columns, rows, size.slices), (size.pixel_mm, size.pixel_mm, size.thickness_mm),
        np.array([0.0, -3.0, 0.0]),
    )
    tilt = np.deg2rad(motion_rng.uniform(-4, 4))
    oblique = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    finer, thicker = 0.92 * size.pixel_mm, 1.1 * size.thickness_mm
    t1w_grid = empty_image(
        (round(207 / finer), round(236 / finer), round(size.slices / 1.1) + 2),
        (finer, finer, thicker), np.array([0.0, -3.0, 0.0]) + motion_rng.uniform(-3, 3, 3), oblique,
    )
    displacement, motion = true_displacement(motion_rng, t1w_grid)
    plan = [("T1w", t1w_grid, displacement, scan_rngs[0]), ("T2w", t2w_grid, None, scan_rngs[1])]
    spawned = iter(rng.spawn(4))
    later = {name: (next(spawned), next(spawned)) for name in ("ceT1w", "CT")}
    moves = {name: true_displacement(later[name][0], t1w_grid)[0] for name in further}
    if "ceT1w" in further:
        plan.append(("ceT1w", t1w_grid, moves["ceT1w"], later["ceT1w"][1]))
    scans = {}
    for name, image, moved, scan_rng in plan:
        signal = signal_map(scan_rng, labels, tissue_signals(SEQUENCES[name], tumour))
        scans[name] = acquire(scan_rng, signal, grid, image, NOISE_SD, moved)
    if "CT" in further:
        ct_rng = later["CT"][1]
        attenuation = signal_map(ct_rng, labels, tissue_attenuations(), textured=False)
        ct_grid = _ct_grid(size, ct_rng)
        scans["CT"] = acquire_ct(ct_rng, attenuation, grid, ct_grid, CT_NOISE_HU, moves["CT"])
    gtv = contour(labels, ("tumour", "necrosis"), grid, t2w_grid)
    return Phantom(
        scans["T1w"], scans["T2w"], gtv, displacement, lesion, motion,
        scans.get("ceT1w"), moves.get("ceT1w"), scans.get("CT"), moves.get("CT"),
    )


def _anatomy(
    anatomy_rng: np.random.Generator, tumour_rng: np.random.Generator, size: PhantomSize
) -> tuple[NDArray[np.uint8], Grid, Tumour]:
    """Tissue labels of a head with its tumour, their grid, and what the tumour is."""
    # never less than the full size: a smaller profile must see the same patients, not other ones
    height = max(s.slices * s.thickness_mm for s in (size, FULL_SIZE))
    grid = label_grid(height / 2 + 11)
    labels, zyx = paint_head(anatomy_rng, grid)
    labels, lesion = grow_tumour(tumour_rng, labels, zyx)
    return labels, grid, lesion


def tissue_map(
    seed: int, grid: sitk.Image, size: PhantomSize = FULL_SIZE
) -> NDArray[np.uint8]:
    """The tissue in the middle of each voxel of a grid in the phantom with this seed, as T2w sees it.

    By its label in `tissues.tissue_labels`; (slices, h, w) uint8, air outside the anatomy.
    """
    anatomy_rng, tumour_rng = np.random.default_rng(seed).spawn(5)[:2]
    labels, fine, _ = _anatomy(anatomy_rng, tumour_rng, size)
    anatomy = sitk.GetImageFromArray(labels)
    anatomy.SetSpacing([STEP_MM] * 3)
    anatomy.SetOrigin([float(axis[0]) for axis in reversed(fine)])
    placed = sitk.Resample(anatomy, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(placed)


def _ct_grid(size: PhantomSize, rng: np.random.Generator) -> sitk.Image:
    """Axial, without tilt, finer pixels and thinner slices than T2w, the same field of view."""
    pixel, thickness = 0.85 * size.pixel_mm, 0.8 * size.thickness_mm
    return empty_image(
        (round(230.4 / pixel), round(230.4 / pixel), round(size.slices / 0.8)),
        (pixel, pixel, thickness), np.array([0.0, -3.0, 0.0]) + rng.uniform(-3, 3, 3),
    )
