"""Contrast-to-noise ratio, inter-patient CV and the generalized Sobel operator, on NumPy arrays."""

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pgmif_core.gradients import sobel_magnitude

Reading = Literal["crop", "crop_mean", "contour", "slice"]  # of "crop, then filter" in the paper
ROUNDING = 1e-12  # of the values: less is no noise, and no mean other than 0
NO_CHANGE = float(np.tanh(0.5))  # generalized Sobel of an image with itself


def _numbers(name: str, image: ArrayLike) -> NDArray:
    """An array of real numbers; TypeError where it is none."""
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, found a masked one, whose mask would be lost; "
                        "pass its data and a mask")
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected an array of numbers, found {image.dtype}")
    return image


def _all_finite(name: str, values: NDArray) -> NDArray:
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{name}: expected finite intensities, found {bad} of {values.size} NaN or "
                         "infinite")
    return values


def _finite(name: str, values: NDArray) -> NDArray[np.float64]:
    return _all_finite(name, values).astype(np.float64)


def _masked(name: str, image: NDArray, mask: NDArray) -> NDArray:
    image, mask = _numbers(name, image), np.asarray(mask)
    if mask.dtype != bool or mask.shape != image.shape:
        raise ValueError(
            f"{name}: expected a boolean mask of the image's shape {image.shape}, "
            f"found {mask.dtype} of shape {mask.shape}"
        )
    if not mask.any():
        raise ValueError(f"{name}: the mask is empty: expected some of its pixels True, found none")
    return _finite(name, image[mask])


def contrast_to_noise_ratio(
    image: NDArray, tumour: NDArray, reference: NDArray, pooled: bool = True
) -> float:
    """Tumour contrast-to-noise ratio (μ_t − μ_r) / σ_r (Eq. 8). Higher is better; signed.

    `image` (…, h, w) is one patient's volume or slice; `tumour` and `reference` are boolean masks of
    its shape (GTV and nearby homogeneous region), pooled over all slices; σ_r is the population
    standard deviation. With `pooled=False` σ_r is taken within slices (root of the mean variance
    around each slice's own mean): steps between slices no longer count as noise. Negative where the
    tumour is darker than its reference. Invariant to positive affine intensity changes. Note:
    blurring raises it. Raises ValueError on an empty or misshapen mask, masks that share pixels, NaN
    inside them and where σ_r = 0.

    >>> image = np.array([[5.0, 0.0, 2.0]])  # reference 1 ± 1
    >>> contrast_to_noise_ratio(image, image == 5, image < 5)
    4.0
    """
    shared = np.count_nonzero(np.asarray(tumour, bool) & np.asarray(reference, bool)) \
        if np.shape(tumour) == np.shape(reference) else 0
    if shared:
        raise ValueError(f"expected a reference region beside the tumour, found {shared} shared pixels")
    inside = _masked("tumour", image, tumour)
    outside = _masked("reference", image, reference)
    noise = outside.std() if pooled else _within_slices(image, reference)
    if noise <= ROUNDING * np.abs(outside).max():
        raise ValueError("the reference region is constant (σ = 0): expected some noise, found none; "
                         "the CNR is undefined")
    return float((inside.mean() - outside.mean()) / noise)


def between_slices_share(image: NDArray, reference: NDArray) -> float:
    """Share of the reference region's pooled variance σ_r² (Eq. 8) that lies between slices, in [0, 1].

    `image` (slices, h, w), `reference` boolean like it. Above one half σ_r is mostly the steps between
    slices (min-max of each slice, other tissue), not noise. 0 where the region is constant.

    >>> image = np.array([[[0.0, 2.0]], [[4.0, 6.0]]])  # slice means 1 and 5, variance 1 in each
    >>> between_slices_share(image, image >= 0)
    0.8
    """
    variance = _masked("reference", image, reference).var()
    share = 1 - _within_slices(image, reference) ** 2 / variance if variance > 0 else 0.0
    return float(np.clip(share, 0, 1))


def _within_slices(image: NDArray, mask: NDArray) -> float:
    return float(np.sqrt((around_slice_means(image, mask) ** 2).mean()))


def around_slice_means(image: NDArray, mask: NDArray) -> NDArray[np.float64]:
    """The values inside a mask, slice by slice, each less the mean of its slice: noise without the steps
    between slices. `image` and boolean `mask` (…, h, w); at least one pixel must be inside.

    >>> image = np.array([[[0.0, 2.0]], [[4.0, 6.0]]])
    >>> around_slice_means(image, image >= 0).tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    stacks = (np.asarray(x).reshape(-1, *np.shape(x)[-2:]) for x in (image, mask))
    planes = zip(*stacks, strict=True)
    parts = [x[m].astype(np.float64) for x, m in planes if m.any()]
    return np.concatenate([v - v.mean() for v in parts])


def inter_patient_cv(values: ArrayLike) -> float:
    """Inter-patient coefficient of variation σ/μ·100 % (Eq. 9), sample σ. Lower is better.

    `values`: one CNR per patient, at least two. NaN-free; raises ValueError where μ = 0. Negative
    or huge where patients disagree in sign: then it says nothing about consistency.

    >>> inter_patient_cv([1, 2, 3])
    50.0
    """
    values = _finite("values", _numbers("values", values))
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"expected one value per patient, at least 2, found shape {values.shape}")
    if abs(values.mean()) <= ROUNDING * np.abs(values).max():
        raise ValueError("expected a mean other than 0, found 0: the mean over patients is 0: the "
                         "coefficient of variation is undefined")
    return float(values.std(ddof=1) / values.mean() * 100)


def _edge_strengths(
    fused: NDArray, source: NDArray, tumour: NDArray, reading: Reading
) -> tuple[NDArray, NDArray]:
    """Sobel magnitudes of both images at the pixels that count under a reading of the paper."""
    if reading not in get_args(Reading):
        raise ValueError(f"reading: expected one of {', '.join(get_args(Reading))}, found {reading!r}")
    if np.shape(fused) != np.shape(source):
        raise ValueError(f"fused {np.shape(fused)} and source {np.shape(source)} differ in shape: "
                         "expected one, found two")
    if np.ndim(fused) < 2:
        raise ValueError(f"expected images (…, h, w), found shape {np.shape(fused)}")
    both = [_all_finite(n, _numbers(n, x)) for n, x in (("fused", fused), ("source", source))]
    _masked("tumour", both[0], tumour)
    images, inside = ([np.reshape(x, (-1, *np.shape(x)[-2:])) for x in both],
                      np.reshape(tumour, (-1, *np.shape(tumour)[-2:])))
    strengths = []
    for k in np.flatnonzero(inside.any(axis=(1, 2))):
        box = _bounds(inside[k], 0 if reading.startswith("crop") else 1)  # the kernel reaches 1 beyond
        counted = np.ones_like(inside[k][box]) if reading == "crop_mean" else inside[k][box]
        cropped = np.stack([image[k][box] for image in images]).astype(np.float64)
        if reading == "contour":
            cropped *= inside[k][box]
        strengths.append(sobel_magnitude(torch.from_numpy(cropped)).numpy()[:, counted])
    g_fused, g_source = np.concatenate(strengths, axis=1)
    return g_fused, g_source


def _bounds(mask: NDArray, margin: int) -> tuple[slice, ...]:
    """The smallest box of rows and columns around a mask (h, w) that is not empty, and `margin` pixels
    around it as far as the image goes."""
    along = (np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1))
    return tuple(slice(max(where[0] - margin, 0), where[-1] + 1 + margin) for where in along)


def generalized_sobel(
    fused: NDArray, source: NDArray, tumour: NDArray, reading: Reading = "crop"
) -> float:
    """Generalized Sobel operator Q (Eq. 12), mean over tumour pixels. Higher is better, in [0, 1].

    Q = mean tanh(Δ/2) with Δ = g_fused / g_source, which equals (1 − e^−Δ)/(1 + e^−Δ). Arrays are
    (…, h, w), derivatives in-plane, `tumour` a boolean mask of that shape. 0/0 counts as Δ = 1
    (nothing changed) and g_source = 0 < g_fused as Q = 1. `fused is source` gives tanh(½) = 0.4621
    (`NO_CHANGE`). Note: sharpening and noise raise it.

    The paper crops each image to the tumour and then filters, which can be read in four ways. "crop":
    cut to the box around the tumour (edge pixels replicated), filtered, tumour pixels counted.
    "crop_mean": the same, the whole box counted. "contour": all but the tumour is 0, so that its outline
    counts as an edge. "slice": filtered first, so that pixels of the outline see what lies beyond.
    Raises ValueError on another reading, an empty or misshapen mask, NaN.

    >>> x = np.random.default_rng(0).random((4, 4))
    >>> [round(generalized_sobel(y, x, x > 0), 4) for y in (0 * x, x, 2 * x)]  # 0, tanh ½, tanh 1
    [0.0, 0.4621, 0.7616]
    """
    g_fused, g_source = _edge_strengths(fused, source, tumour, reading)
    ratio = np.ones_like(g_fused)
    np.divide(g_fused, g_source, out=ratio, where=g_source > 0)
    ratio[(g_source == 0) & (g_fused > 0)] = np.inf
    return float(np.tanh(ratio / 2).mean())


def petrovic_xydeas(
    fused: NDArray, source: NDArray, tumour: NDArray, reading: Reading = "crop"
) -> float:
    """Edge preservation min(g_F, g_A) / max(g_F, g_A) (Eq. 11, Petrović & Xydeas 2005), mean.

    In [0, 1], 1 where edge strength is unchanged: unlike Eq. 12 it punishes sharpening as much as
    blurring. 0/0 counts as 1. `reading` and errors as of `generalized_sobel`.

    >>> x = np.random.default_rng(0).random((4, 4))
    >>> [round(petrovic_xydeas(y, x, x > 0), 4) for y in (x / 2, x, 2 * x)]
    [0.5, 1.0, 0.5]
    """
    g_fused, g_source = _edge_strengths(fused, source, tumour, reading)
    smaller, larger = np.minimum(g_fused, g_source), np.maximum(g_fused, g_source)
    return float(np.divide(smaller, larger, out=np.ones_like(larger), where=larger > 0).mean())


def contrast_correlation(fused: NDArray, sources: NDArray, head: NDArray) -> float:
    """Pearson correlation of the fused image with the mean of the sources inside the head.

    `fused` (…, h, w), `sources` (m, …, h, w), `head` boolean like `fused`. In [−1, 1]; a negative
    value means that the contrast came out inverted. 0 where either is constant.

    >>> x = np.random.default_rng(0).random((4, 4))
    >>> [round(contrast_correlation(y, x[None], x > 0), 4) for y in (x, 1 - x)]
    [1.0, -1.0]
    """
    if np.shape(sources)[1:] != np.shape(fused):
        raise ValueError(f"expected sources (m, …) like fused {np.shape(fused)}, found "
                         f"{np.shape(sources)}")
    x = _masked("head", fused, head)
    y = _masked("head", np.mean(_numbers("sources", sources), axis=0), head)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else 0.0
