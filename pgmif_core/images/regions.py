"""Where metrics look: the head, and the tumour's reference region."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

OTSU_FRACTION = 0.4  # half-way between background and muscle on T1w and T2w, where Otsu cuts fat
Choice = Literal["tissue", "slice"]
OTHER_TISSUE = 6.0  # times the middle slice's squared distance from the tissue: not of it
STARTS = 12  # slices whose calmest window names a tissue to begin with
ROUNDS = 20


def head_mask(sources: NDArray, fill: bool = False) -> NDArray:
    """Tissue with signal in at least one source: boolean (slices, h, w) from (m, slices, h, w).

    Each source is cut at 0.4 × its Otsu threshold, the union closed by one pixel, and its largest
    connected part kept. Air and cortical bone stay outside unless `fill=True`, which closes
    cavities slice by slice (for registration, where dark structures also carry information).

    >>> image = np.zeros((1, 1, 9, 9))
    >>> image[..., 1:8, 1:5] = image[..., 7, 7] = 1  # a head, and a speck beside it
    >>> int(head_mask(image).sum())
    28
    """
    signal = np.zeros(sources.shape[1:], dtype=bool)
    for source in sources:
        if source.min() < source.max():
            # a low outlier (ringing, interpolation undershoot) must not move the threshold's zero
            floor = np.percentile(source, 1)
            signal |= source - floor > OTSU_FRACTION * (threshold_otsu(source) - floor)
    in_plane = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], dtype=bool)
    signal = ndimage.binary_closing(signal, in_plane)
    labels, count = ndimage.label(signal)
    if count == 0:
        return signal
    head = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    if fill:
        head = np.stack([ndimage.binary_fill_holes(plane) for plane in head])
    return head


def reference_region(
    sources: NDArray,
    tumour: NDArray,
    spacing_mm: tuple[float, float, float],
    window_mm: float = 10.0,
    nearest_mm: float = 3.0,
    farthest_mm: float = 25.0,
    imaged: NDArray | None = None,
    ranges: NDArray | None = None,
    choice: Choice = "tissue",
) -> NDArray:
    """The "nearby homogeneous region" of Eq. 8, made definite: windows in the slices with tumour.

    A window is a `window_mm` square, wholly inside the head and where all sources are `imaged`
    (boolean, like `tumour`; everywhere if None: what was not imaged looks calm), with every pixel at
    least `nearest_mm` from the tumour and its centre at most `farthest_mm` from it.

    "tissue" takes one tissue through all slices: the windows, at most one per slice, whose pixels
    taken together have the least variance, the σ² of Eq. 8, summed over the sources. A slice in
    which no window is of that tissue (6 times as far from it as the middle slice, squared) stays
    empty. Distances are three-dimensional, and slices are first brought to one scale by `ranges`
    (slices, m, 2), the intensities that 0 and 1 stand for in each (None: they have one).
    "slice" takes the window with the least variance in each slice by itself, distances in-plane: a
    mosaic of tissues, whose pooled σ is mostly the difference between them.

    Chosen on the sources only, so it is the same for every fusion method. `sources` (m, slices, h, w)
    in [0, 1]; `tumour` boolean (slices, h, w); `spacing_mm` (slice, row, column). Returns a boolean mask
    like `tumour`. Raises ValueError on another choice, and where the tumour is empty or no slice has a
    window.

    >>> image = np.zeros((1, 1, 40, 40))
    >>> image[..., 2:38, 2:38] = np.random.default_rng(0).uniform(0.5, 1, (36, 36))
    >>> image[..., 20:30, 20:30] = 0.75  # the only calm place; the brightest pixel plays the tumour
    >>> region = reference_region(image, image[0] == image.max(), (3, 1, 1))
    >>> np.argwhere(region)[[0, -1], 1:].tolist()
    [[20, 20], [29, 29]]
    """
    if choice not in get_args(Choice):
        raise ValueError(f"choice: expected one of {', '.join(get_args(Choice))}, found {choice!r}")
    if not tumour.any():
        raise ValueError("the tumour mask is empty: there is nothing to choose a reference near")
    size = tuple(max(3, round(window_mm / s)) for s in spacing_mm[1:])
    head = head_mask(sources) if imaged is None else head_mask(sources) & imaged
    planes = np.flatnonzero(tumour.any(axis=(1, 2)))
    distance = _distance(tumour, planes, spacing_mm, whole=choice == "tissue")
    inside = ndimage.minimum_filter(
        head[planes] & (distance >= nearest_mm), (1, *size), mode="constant", cval=0
    )
    centres = inside & (distance <= farthest_mm)
    if not centres.any():
        raise ValueError(
            f"expected a {window_mm:g} mm window inside the head {nearest_mm:g}-{farthest_mm:g} mm from "
            "the tumour, found none in any slice. Is the contour in the right place? If so, use a "
            "smaller window or a larger distance (reference_window_mm, reference_farthest_mm)"
        )
    scaled = sources if choice == "slice" else _one_scale(sources, ranges, head)
    means, variances = _windows(scaled[:, planes], size)
    positions = np.nonzero(centres)
    own, means = variances[positions], means[:, *positions]
    chosen = _calmest(own, positions[0]) if choice == "slice" else _one_tissue(own, means, positions[0])
    reference = np.zeros_like(tumour)
    for k, row, column in zip(*(p[chosen] for p in positions), strict=True):
        # scipy centres an even window half a pixel low: the same corner convention here
        top, left = row - size[0] // 2, column - size[1] // 2
        reference[planes[k], top : top + size[0], left : left + size[1]] = True
    return reference


def _distance(
    tumour: NDArray, planes: NDArray, spacing_mm: tuple[float, float, float], whole: bool
) -> NDArray:
    """Millimetres from the tumour in some slices: through the volume, or within each slice."""
    if whole:
        return ndimage.distance_transform_edt(~tumour, sampling=spacing_mm)[planes]
    return np.stack([ndimage.distance_transform_edt(~tumour[k], sampling=spacing_mm[1:])
                     for k in planes])


def _one_scale(sources: NDArray, ranges: NDArray | None, head: NDArray) -> NDArray:
    """Sources as acquired, slices comparable, each divided by the spread of its intensities in the head:
    one with large numbers may not outweigh another."""
    scaled = np.asarray(sources, np.float64)
    if ranges is not None:
        low, high = (np.asarray(ranges[..., k], np.float64).T[..., None, None] for k in (0, 1))
        scaled = scaled * (high - low) + low
    spread = [np.ptp(np.percentile(source[head], (1, 99))) or 1.0 for source in scaled]
    return scaled / np.reshape(spread, (-1, 1, 1, 1))


def _windows(sources: NDArray, size: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Mean of each source (m, slices, h, w) in the window around every pixel; their variance, summed."""
    window = (1, 1, *size)
    # about the middle: of large numbers with a small spread the difference of squares is rounding
    middle = np.asarray(sources, np.float64).mean(axis=(1, 2, 3), keepdims=True)
    mean = ndimage.uniform_filter(sources - middle, window)
    squares = ndimage.uniform_filter((sources - middle) ** 2, window)
    return mean, np.maximum(squares - mean**2, 0).sum(axis=0)


def _calmest(cost: NDArray, plane: NDArray) -> NDArray:
    """Index of the least cost of every slice; `plane` ascends."""
    first = np.flatnonzero(np.diff(plane, prepend=-1))
    ends = np.append(first[1:], len(plane))
    return np.array([a + np.argmin(cost[a:b]) for a, b in zip(first, ends, strict=True)])


def _one_tissue(own: NDArray, means: NDArray, plane: NDArray) -> NDArray:
    """Windows, one per slice, that lie nearest to one tissue, a point in the space of the sources.

    Alternates, as k-means does, between the windows nearest to a tissue and the tissue that is the
    mean of its windows; begins with the calmest windows of several slices and keeps the best end.
    """
    calmest = _calmest(own, plane)
    least, best = np.inf, calmest
    for start in calmest[np.unique(np.linspace(0, len(calmest) - 1, STARTS).round().astype(int))]:
        tissue, chosen = means[:, start], calmest[:0]
        for _ in range(ROUNDS):
            cost = own + ((means - tissue[:, None]) ** 2).sum(axis=0)
            nearest = _calmest(cost, plane)
            if np.array_equal(nearest, chosen):
                break
            chosen = nearest
            own_cost = cost[chosen]
            limit = OTHER_TISSUE * np.median(own_cost)
            of_it = own_cost <= limit
            tissue = means[:, chosen[of_it]].mean(axis=1)
        total = np.minimum(own_cost, limit).sum()  # how far off other tissue is says nothing
        if total < least:
            least, best = total, chosen[of_it]
    return best
