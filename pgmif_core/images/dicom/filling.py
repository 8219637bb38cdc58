"""Contours in planes of their own → voxels of a grid: which planes there are, what each one fills."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray

SUBPIXELS = 4
UPRIGHT = 1e-3  # rad: planes tilted by less lie in the grid's slices
MOST_TILTED = np.deg2rad(5.0)
SAME_PLANE_MM = 0.05  # at least; rounded coordinates lie further apart
SAME_PLANE = 0.25  # of the distance of planes
THICKEST_MM = 10.0  # contours further apart than this leave the slices between them empty
COPY = 0.9  # of the larger's area: a contour that large inside another may be its copy, no hole in it
COPY_PIXELS = 0.5  # and lies that close to it all round
INSIDE = 0.98  # of a contour's area: then it lies in another


class ContourError(ValueError):
    """Contours that cannot be used: names the file, what was expected, found, and to do."""


class Planes(NamedTuple):
    """Contours of a structure. `frame` (3, 3) has the axes of their planes as columns (mm, LPS);
    `loops[i]` are the contours (n, 2) at `heights[i]` along its third axis, in mm from `origin`; `pixel`
    is that of the grid, in mm."""

    frame: NDArray[np.float64]
    origin: NDArray[np.float64]
    heights: NDArray[np.float64]
    loops: list[list[NDArray[np.float64]]]
    pixel: float


def _normal(loops: Sequence[NDArray], upright: NDArray) -> NDArray[np.float64]:
    """Unit normal of the contours' planes: the mean of their area vectors, on the side of `upright`."""
    total = np.zeros(3)
    for loop in loops:
        centred = loop - loop.mean(axis=0)
        area = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
        total += area if area @ upright >= 0 else -area
    length = np.linalg.norm(total)
    return total / length if length > 0 else upright


def _frame(path: Path, loops: Sequence[NDArray], grid: sitk.Image) -> NDArray[np.float64]:
    """Axes of the contours' planes: the grid's own, turned to the contours where they are tilted."""
    axes = np.array(grid.GetDirection()).reshape(3, 3)
    normal = _normal(loops, axes[:, 2])
    tilt = float(np.arccos(np.clip(normal @ axes[:, 2], -1, 1)))
    if tilt < UPRIGHT:
        return axes
    if tilt > MOST_TILTED:
        crossed = max(np.ptp(loop @ axes[:, 2]) for loop in loops) / grid.GetSpacing()[2]
        raise ContourError(
            f"{path}: expected contours parallel to the image's slices, found one that crosses "
            f"{crossed:.1f} of them (tilted by {np.rad2deg(tilt):.0f}°). Name the modality that it was "
            "drawn on in gtv_space."
        )
    first = axes[:, 0] - (axes[:, 0] @ normal) * normal
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first), normal], axis=1)


def contour_planes(path: Path, loops: Sequence[NDArray], grid: sitk.Image) -> Planes:
    """Closed contours (n, 3 in mm) grouped by the planes they were drawn on.

    Raises ContourError where a contour is not flat or crosses the grid's slices.
    """
    origin = np.array(grid.GetOrigin())
    if not loops:
        return Planes(np.eye(3), origin, np.zeros(0), [], 1.0)
    frame, step = _frame(path, loops, grid), grid.GetSpacing()[2]
    placed = [(loop - origin) @ frame for loop in loops]
    crossing = max(float(np.ptp(loop[:, 2])) for loop in placed)
    if crossing > 0.5 * step:
        raise ContourError(
            f"{path}: expected contours parallel to the image's slices, found one that crosses "
            f"{crossing / step:.1f} of them. Name the modality that it was drawn on in gtv_space."
        )
    placed.sort(key=lambda loop: float(loop[:, 2].mean()))
    own = np.array([loop[:, 2].mean() for loop in placed])
    steps = np.diff(own)
    steps = steps[steps > SAME_PLANE_MM]
    typical = float(np.quantile(steps, 0.75)) if len(steps) else step
    same = max(SAME_PLANE_MM, SAME_PLANE * min(typical, 2 * step))
    groups: list[list[int]] = []
    for k, height in enumerate(own):
        if groups and height - own[groups[-1][0]] < same:
            groups[-1].append(k)
        else:
            groups.append([k])
    heights = np.array([own[group].mean() for group in groups])
    every = [[placed[k][:, :2] for k in group] for group in groups]
    return Planes(frame, origin, heights, every, min(grid.GetSpacing()[:2]))


def _reach(planes: Planes, step: float) -> tuple[float, float]:
    """How far from its plane, in mm, a contour fills between planes, and beyond the first and last one.

    Half a slice, or half of the thicker own ones: a slice just where the last one ends is none then.
    """
    steps = np.diff(planes.heights)
    # the least step: a gap between two lesions is no slice thickness
    own = float(steps.min()) / 2 if len(steps) else step / 2
    between = min(max(step / 2, own), max(step / 2, THICKEST_MM / 2))
    return between, between - (step / 4 if between > 0.75 * step else 1e-3)


def fill_slices(planes: Planes, grid: sitk.Image) -> NDArray[np.uint8]:
    """Mask (slices, rows, columns) of the voxels whose larger part the contours cover."""
    columns, rows, depth = grid.GetSize()
    mask = np.zeros((depth, rows, columns), np.uint8)
    if not planes.loops:
        return mask
    reach, (low, high) = _reach(planes, grid.GetSpacing()[2]), _box(planes, grid)
    for k in range(depth):
        points = _subpixels(grid, k, low, high)
        if points is None:
            break
        points = (points - planes.origin) @ planes.frame
        covered = _covered(planes, points.reshape(-1, 3), reach).reshape(points.shape[:2])
        blocks = covered.reshape(high[1] - low[1], SUBPIXELS, high[0] - low[0], SUBPIXELS)
        mask[k, low[1] : high[1], low[0] : high[0]] = blocks.mean(axis=(1, 3)) >= 0.5
    return mask


def _box(planes: Planes, grid: sitk.Image) -> tuple[NDArray, NDArray]:
    """First and last + 1 column and row that contours touch."""
    index = []
    for height, loops in zip(planes.heights, planes.loops, strict=True):
        points = np.concatenate(loops)
        mm = np.column_stack([points, np.full(len(points), height)]) @ planes.frame.T + planes.origin
        index += [grid.TransformPhysicalPointToContinuousIndex(p.tolist())[:2] for p in mm]
    bounds, size = np.array(index), np.array(grid.GetSize()[:2])
    low = np.clip(np.floor(bounds.min(axis=0)).astype(int) - 1, 0, size)
    return low, np.clip(np.ceil(bounds.max(axis=0)).astype(int) + 2, 0, size)


def _subpixels(grid: sitk.Image, k: int, low: NDArray, high: NDArray) -> NDArray | None:
    """Places (rows, columns, 3) in mm of the subpixels of a part of slice k; None of an empty part."""
    if (high <= low).any():
        return None
    x, y = ((np.arange((h - start) * SUBPIXELS) + 0.5) / SUBPIXELS - 0.5 + start
            for start, h in zip(low, high, strict=True))
    steps = np.array(grid.GetDirection()).reshape(3, 3) * np.array(grid.GetSpacing())
    plane = x[None, :, None] * steps[:, 0] + y[:, None, None] * steps[:, 1]
    return plane + k * steps[:, 2] + np.array(grid.GetOrigin())


def _covered(planes: Planes, points: NDArray, reach: tuple[float, float]) -> NDArray[np.bool_]:
    """Whether points (n, 3) in the contours' frame lie inside those of the nearest plane."""
    covered, heights = np.zeros(len(points), bool), planes.heights
    own = points[:, 2]
    nearest = np.clip(np.searchsorted((heights[1:] + heights[:-1]) / 2, own - 1e-6), 0, len(heights) - 1)
    away = np.abs(own - heights[nearest])
    # half way belongs to one of the two: to the lower plane, and to the slice below the first one
    lower = reach[0] + 1e-3 if reach[0] - reach[1] < 0.01 else reach[1]
    limits = np.where(own > heights[-1], reach[1], reach[0] + 1e-3)
    near = away <= np.where(own < heights[0], lower, limits)
    for p in np.unique(nearest[near]):
        here = np.flatnonzero(near & (nearest == p))
        covered[here] = filled(planes.loops[p], points[here, :2], planes.pixel)
    return covered


def filled(loops: Sequence[NDArray], points: NDArray, pixel: float) -> NDArray[np.bool_]:
    """Whether points (n, 2) lie in what the contours of one plane enclose; `pixel` in mm.

    A contour inside another is a hole, one inside a hole is tissue; contours that overlap, or are copies
    of one another, are joined: none of them takes anything away.
    """
    if len(loops) == 1:
        return _inside(loops[0], points)
    samples, area = _samples(loops)
    inner = np.array([_inside(loop, samples) for loop in loops])
    sizes = inner.sum(axis=1) * area
    order = [k for k in np.argsort(-sizes, kind="stable") if sizes[k] > 0]
    edges = np.array([_length(loop) for loop in loops])
    parent: dict[np.intp, np.intp | int] = {}

    def copies(first: np.intp, second: np.intp) -> bool | np.bool_:
        """Whether two contours are one, or copies: a hole in one is a hole in the other."""
        shared, larger = (inner[first] & inner[second]).sum(), max(sizes[first], sizes[second])
        apart = abs(sizes[first] - sizes[second]) > \
            COPY_PIXELS * pixel * max(edges[first], edges[second])
        return not apart and shared * area >= COPY * larger

    for place, k in enumerate(order):
        needed = INSIDE * inner[k].sum()
        around = [j for j in order[:place]
                  if (inner[k] & inner[j]).sum() >= needed and not copies(j, k)]
        parent[k] = around[-1] if around else -1  # the smallest around it

    def depth(k: np.intp) -> int:
        return 0 if parent[k] < 0 else 1 + depth(parent[k])

    result = np.zeros(len(points), bool)
    for k in (k for k in order if depth(k) % 2 == 0):
        own = _inside(loops[k], points)
        for hole in (j for j in order if depth(j) % 2 == 1 and copies(parent[j], k)):
            own &= ~_inside(loops[hole], points)
        result |= own
    small = [k for k in range(len(loops)) if k not in order]
    for k in small:
        result |= _inside(loops[k], points)
    return result


def _length(loop: NDArray) -> float:
    """Length of a closed contour (n, 2) in mm."""
    return float(np.linalg.norm(loop - np.roll(loop, 1, axis=0), axis=1).sum())


def _samples(loops: Sequence[NDArray]) -> tuple[NDArray, float]:
    """Points on which contours are compared, and the area that each stands for."""
    corners = np.concatenate(loops)
    low, high = corners.min(axis=0), corners.max(axis=0)
    count = 128
    x, y = (lo + (np.arange(count) + 0.5) / count * max(h - lo, 1e-6)
            for lo, h in zip(low, high, strict=True))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), float(np.prod(high - low)) / count**2


def _inside(loop: NDArray, points: NDArray) -> NDArray[np.bool_]:
    inside = np.zeros(len(points), bool)
    near = np.flatnonzero(((points >= loop.min(axis=0)) & (points <= loop.max(axis=0))).all(axis=1))
    if len(near):
        inside[near] = Polygon(loop, closed=False).contains_points(points[near])
    return inside
