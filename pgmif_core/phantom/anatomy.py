"""A nasopharynx head as a label volume: atlas.csv painted through a patient-specific warp.

Coordinates are millimetres in the LPS frame (x to the left, y to the back, z up) with the origin in
the nasopharyngeal airway. Arrays are (z, y, x).
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from pgmif_core.phantom.tissues import tissue_labels

STEP_MM = 1.0  # of the label volume: finer than any acquired voxel
BOUNDS_MM = {"x": (-84.0, 84.0), "y": (-114.0, 108.0)}


class Grid(NamedTuple):
    """Axes of the label volume in mm; `origin_mm` is (z, y, x) of voxel (0, 0, 0)."""

    z: NDArray
    y: NDArray
    x: NDArray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.z.size, self.y.size, self.x.size

    @property
    def origin_mm(self) -> NDArray:
        return np.array([self.z[0], self.y[0], self.x[0]])


def label_grid(half_height_mm: float) -> Grid:
    """The label volume's axes for an imaged slab of the given half height."""
    span = np.ceil(half_height_mm)
    axes = ((-span, span), BOUNDS_MM["y"], BOUNDS_MM["x"])
    return Grid(*(np.arange(low, high + STEP_MM / 2, STEP_MM, np.float32) for low, high in axes))


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], scale_voxels: float
) -> NDArray[np.float32]:
    """Smooth Gaussian noise of unit standard deviation, correlated over about `scale_voxels`."""
    coarse = [int(np.ceil(n / scale_voxels)) + 4 for n in shape]
    lattice = rng.standard_normal(coarse).astype(np.float32)
    lattice = ndimage.gaussian_filter(lattice, 0.6)
    lattice /= lattice.std()
    for axis, n in enumerate(shape):
        position = rng.uniform(1, 2) + np.arange(n) / scale_voxels
        below = position.astype(int)
        weight = (position - below).astype(np.float32)
        weight = weight * weight * (3 - 2 * weight)
        weight = weight.reshape([-1 if k == axis else 1 for k in range(len(shape))])
        lower = np.take(lattice, below, axis)
        lattice = lower + weight * (np.take(lattice, below + 1, axis) - lower)
    return lattice


@cache
def atlas() -> pd.DataFrame:
    """The structures in painting order: centre (x, y, z) and semi-axes (a, b, c) in mm."""
    return pd.read_csv(Path(__file__).with_name("atlas.csv"), keep_default_na=False)


def _warped_axes(rng: np.random.Generator, grid: Grid) -> list[NDArray]:
    """Atlas coordinates of every voxel: global scale, then a smooth, irregular displacement."""
    scale = 1 + rng.normal(0, 0.035, 3)
    warped = []
    for axis, values in enumerate(grid):
        shape = [-1 if k == axis else 1 for k in range(3)]
        wobble = 1.6 * smooth_noise(rng, grid.shape, 26 / STEP_MM)
        wobble += 0.5 * smooth_noise(rng, grid.shape, 9 / STEP_MM)
        warped.append(values.reshape(shape) * np.float32(scale[axis]) + wobble)
    return warped


def _box(
    grid: Grid, zyx: list[NDArray], centre: NDArray, reach: NDArray
) -> tuple[slice, ...]:
    """Index box that holds a structure after the warp, which hardly changes across it."""
    place = (centre - grid.origin_mm) / STEP_MM
    near = tuple(int(np.clip(round(i), 0, n - 1)) for i, n in zip(place, grid.shape, strict=True))
    bent = np.array([u[near] for u in zyx]) - (grid.origin_mm + np.array(near) * STEP_MM)
    margin = 3.0 + 0.22 * reach.max() + 0.05 * np.abs(centre)
    lows, highs = ((place - (bent + side * (reach + margin)) / STEP_MM) for side in (1, -1))
    return tuple(
        slice(int(np.clip(low, 0, n)), int(np.clip(high + 1, 0, n)))
        for low, high, n in zip(lows, highs, grid.shape, strict=True)
    )


def ellipsoid(
    zyx: list[NDArray], centre: NDArray, axes: NDArray, power: float, tilt_deg: float = 0
) -> NDArray:
    """Superellipsoid Σ |u_i / axis_i|^power, < 1 inside; tilted about the left-right axis."""
    z, y, x = (u - np.float32(c) for u, c in zip(zyx, centre, strict=True))
    if tilt_deg:
        cosine, sine = (np.float32(f(np.deg2rad(tilt_deg))) for f in (np.cos, np.sin))
        z, y = cosine * z - sine * y, sine * z + cosine * y
    parts = [u * np.float32(1 / a) for u, a in zip((z, y, x), axes, strict=True)]
    # pow() on millions of voxels costs more than all else here: three exponents serve every shape
    if power == 2:
        return sum(p * p for p in parts)
    if power == 2.5:
        return sum(p * p * np.sqrt(np.abs(p)) for p in parts)
    if power == 3:
        return sum(p * p * np.abs(p) for p in parts)
    raise ValueError(f"power must be 2, 2.5 or 3, found {power}")


def _head_outline(zyx: list[NDArray]) -> NDArray:
    """Cranium, face, neck and nose; signed so that < 1 is inside."""
    parts = (
        ((38, 4, 0), (88, 98, 74), 2.5),
        ((-28, -42, 0), (82, 52, 64), 2.5),
        ((-80, 26, 0), (110, 60, 66), 2.5),
        ((-6, -93, 0), (24, 16, 14), 2.0),
    )
    return np.minimum.reduce(
        [ellipsoid(zyx, np.array(c), np.array(a), power) for c, a, power in parts]
    )


def _fill(tissue: str, noise: NDArray, depth: NDArray) -> NDArray:
    """Labels of a structure's core; three names stand for a pattern rather than one tissue."""
    label = tissue_labels()
    if tissue == "csf_brain":
        folds = np.abs(noise)
        cortex = 40 * depth
        return np.select(
            [(cortex < 1.5) | ((folds < 0.16) & (cortex < 11)), (folds < 0.75) & (cortex < 17)],
            [label["csf"], label["grey_matter"]], label["white_matter"],
        )
    if tissue == "air_cells":
        return np.where(np.abs(noise) < 0.22, label["mucosa"], label["air"])
    if tissue == "sinus":
        return np.where(depth < 0.06 + 0.07 * noise, label["mucosa"], label["air"])
    return np.full(noise.shape, label[tissue])


def paint_head(rng: np.random.Generator, grid: Grid) -> tuple[NDArray[np.uint8], list[NDArray]]:
    """Label volume of a tumour-free head, and the atlas coordinates (z, y, x) of its voxels.

    Sizes and positions vary by structure and side, so no two patients and no two halves are equal.
    """
    label = tissue_labels()
    zyx = _warped_axes(rng, grid)
    pattern = smooth_noise(rng, grid.shape, 6 / STEP_MM)
    outline = _head_outline(zyx)
    head = outline < 1
    labels = np.where(head, label["fat"], label["air"]).astype(np.uint8)
    strands = np.abs(smooth_noise(rng, grid.shape, 11 / STEP_MM)) < 0.22
    labels[head & (outline < 0.80) & strands] = label["muscle"]
    brain = [label[t] for t in ("csf", "grey_matter", "white_matter")]
    for row in atlas().itertuples():
        for side in (1, -1) if row.mirrored else (1,):
            vary = 1 + rng.normal(0, 0.05, 3)
            centre = np.array([row.z, row.y, side * row.x]) + rng.normal(0, 0.5, 3)
            axes = np.array([row.c, row.b, row.a]) * vary
            reach = np.full(3, axes.max()) if row.tilt_deg else axes
            box = _box(grid, zyx, centre, reach)
            part = [u[box] for u in zyx]
            if part[0].size == 0:
                continue
            level = ellipsoid(part, centre, axes, row.power, row.tilt_deg)
            inside = (level < 1) & head[box]
            # the three cranial fossae are one cavity: a later one's bone must not wall it up
            shell = inside & ~np.isin(labels[box], brain) if row.core == "csf_brain" else inside
            labels[box][shell] = label[row.tissue]
            if row.core:
                core = ellipsoid(
                    part, centre, np.maximum(axes - row.shell_mm, 0.5), row.power, row.tilt_deg
                )
                within = (core < 1) & inside
                filled = _fill(row.core, pattern[box], 1 - core)
                labels[box][within] = filled[within]
    rim = head & ~ndimage.binary_erosion(head, iterations=2, border_value=1)
    labels[rim & (labels != label["air"])] = label["skin"]
    return labels, zyx
