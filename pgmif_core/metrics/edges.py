"""Fusion metrics of edge transfer: Q^AB/F and N^AB/F."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pgmif_core.metrics.remembered import remembered

# Xydeas & Petrović 2000: height, slope and centre of the two sigmoids
STRENGTH = (0.9994, -15.0, 0.5)
ORIENTATION = (0.9879, -22.0, 0.8)


@remembered
def _edges(image: NDArray) -> tuple[NDArray, NDArray]:
    """Sobel strength and orientation modulo π, edge pixels replicated."""
    x = np.asarray(image, np.float32)
    down, right = (ndimage.sobel(x, axis, mode="nearest") for axis in (0, 1))
    return np.hypot(down, right), np.arctan2(down, right) % np.pi


def _sigmoid(x: NDArray, height: float, slope: float, centre: float) -> NDArray:
    return height / (1 + np.exp(slope * (x - centre)))


def _preserved(fused: tuple[NDArray, NDArray], source: tuple[NDArray, NDArray]) -> NDArray:
    """Edge information Q of a source that is preserved in the fused image, per pixel, in [0, 1]."""
    (g_f, a_f), (g_s, a_s) = fused, source
    strongest = np.maximum(g_f, g_s)
    ratio = np.divide(
        np.minimum(g_f, g_s), strongest, out=np.ones_like(strongest), where=strongest > 0
    )
    turned = np.abs(a_f - a_s)
    turned = np.minimum(turned, np.pi - turned)  # an edge and its inverse have one orientation
    alignment = 1 - turned / (np.pi / 2)
    return _sigmoid(ratio, *STRENGTH) * _sigmoid(alignment, *ORIENTATION)


def _weighted(values: list[NDArray], weights: list[NDArray], name: str) -> float:
    total = sum(w.sum() for w in weights)
    if total == 0:
        raise ValueError(f"{name}: all sources are constant, there is no edge to preserve")
    return float(sum((v * w).sum() for v, w in zip(values, weights, strict=True)) / total)


def edge_preservation(fused: NDArray, sources: NDArray) -> float:
    """Q^AB/F: share of the sources' edges found in the fused image (Xydeas & Petrović 2000).

    Strength and orientation of Sobel edges, each through a sigmoid, weighted by the source's edge
    strength (L = 1). In [0, 1]; an unchanged image reaches 0.975, not 1: the sigmoids end there.
    Common code sets the ratio of equal strengths to the strength itself instead of 1 (only right
    by accident, wrong by a lot on [0, 1] images) and takes orientations π apart for opposite, not
    equal. Raises ValueError where all sources are constant.

    >>> x = np.random.default_rng(0).random((8, 8))
    >>> round(edge_preservation(x, x[None]), 3)
    0.975
    """
    f, edges = _edges(fused), [_edges(source) for source in sources]
    return _weighted([_preserved(f, e) for e in edges], [g for g, _ in edges], "Q^AB/F")


def fusion_artefacts(fused: NDArray, sources: NDArray) -> float:
    """N^AB/F: edges that no source has (Shreyamsha Kumar 2013). Lower is better, in [0, 1].

    Loss of preservation 1 − Q where the fused edge is stronger than in every source, weighted as in
    Q^AB/F, so that preserved + lost + artefacts = 1.

    >>> x = np.random.default_rng(0).random((8, 8))
    >>> [fusion_artefacts(y, x[None] / 2) > 0 for y in (x / 4, x / 2, x)]
    [False, False, True]
    """
    f, edges = _edges(fused), [_edges(source) for source in sources]
    new = np.all([f[0] > g for g, _ in edges], axis=0)
    return _weighted(
        [np.where(new, 1 - _preserved(f, e), 0) for e in edges], [g for g, _ in edges], "N^AB/F"
    )
