"""Where metrics look: the head, and the tumour's reference region."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

OTSU_FRACTION = 0.4  # half-way between background and muscle on T1w and T2w, where Otsu cuts fat


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
    spacing_mm: tuple[float, float],
    window_mm: float = 10.0,
    nearest_mm: float = 3.0,
    farthest_mm: float = 25.0,
    imaged: NDArray | None = None,
) -> NDArray:
    """The "nearby homogeneous region" of the paper, made definite.

    Per slice with tumour: the `window_mm` square, wholly inside the head, with every pixel at least
    `nearest_mm` from the tumour and its centre at most `farthest_mm` from it, that has the least
    variance summed over the source modalities. Chosen on the sources only, so it is the same for
    every fusion method. It lies where all sources are `imaged` (boolean, like `tumour`; everywhere if
    None): what was not imaged looks calm.

    `sources` (m, slices, h, w) in [0, 1]; `tumour` boolean (slices, h, w); `spacing_mm` (row,
    column). Returns a boolean mask like `tumour`; a slice with no admissible window stays empty.
    Raises ValueError where the tumour is empty or no slice has an admissible window.

    >>> image = np.zeros((1, 1, 40, 40))
    >>> image[..., 2:38, 2:38] = np.random.default_rng(0).uniform(0.5, 1, (36, 36))
    >>> image[..., 20:30, 20:30] = 0.75  # the only calm place; the brightest pixel plays the tumour
    >>> np.argwhere(reference_region(image, image[0] == image.max(), (1, 1)))[[0, -1], 1:].tolist()
    [[20, 20], [29, 29]]
    """
    if not tumour.any():
        raise ValueError("the tumour mask is empty: there is nothing to choose a reference near")
    size = tuple(max(3, round(window_mm / s)) for s in spacing_mm)
    head = head_mask(sources) if imaged is None else head_mask(sources) & imaged
    reference = np.zeros_like(tumour)
    for k in np.flatnonzero(tumour.any(axis=(1, 2))):
        distance = ndimage.distance_transform_edt(~tumour[k], sampling=spacing_mm)
        allowed = ndimage.minimum_filter(
            head[k] & (distance >= nearest_mm), size, mode="constant", cval=0
        )
        allowed &= distance <= farthest_mm
        if not allowed.any():
            continue
        plane = sources[:, k].astype(np.float64)
        window = (1, *size)
        mean = ndimage.uniform_filter(plane, window)
        variance = (ndimage.uniform_filter(plane**2, window) - mean**2).sum(axis=0)
        row, column = np.unravel_index(
            np.argmin(np.where(allowed, variance, np.inf)), variance.shape
        )
        # scipy centres an even window half a pixel low: the same corner convention here
        top, left = row - size[0] // 2, column - size[1] // 2
        reference[k, top : top + size[0], left : left + size[1]] = True
    if not reference.any():
        raise ValueError(
            f"expected a {window_mm:g} mm window inside the head {nearest_mm:g}-{farthest_mm:g} mm from "
            "the tumour, found none in any slice. Is the contour in the right place? If so, use a "
            "smaller window or a larger distance (reference_window_mm, reference_farthest_mm)"
        )
    return reference
