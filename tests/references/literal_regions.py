"""The head and the reference region by loops over pixels, as their docstrings tell it."""

import math

import numpy as np
from skimage.filters import threshold_otsu


def literal_head(sources, fill=False):
    """Above 0.4 of Otsu's threshold over the 1st percentile, closed by a cross, the largest part."""
    slices, height, width = sources.shape[1:]
    bright = set()
    for source in sources:
        if source.max() > source.min():
            floor = np.percentile(source, 1)
            cut = floor + 0.4 * (threshold_otsu(source) - floor)
            bright |= {tuple(map(int, p)) for p in np.argwhere(source > cut)}

    def crossed(p):
        k, i, j = p
        return [(k, i, j), (k, i - 1, j), (k, i + 1, j), (k, i, j - 1), (k, i, j + 1)]

    grown = {q for p in bright for q in crossed(p)
             if 0 <= q[1] < height and 0 <= q[2] < width}
    closed = {p for p in grown if all(q in grown for q in crossed(p))}
    parts, left = [], set(closed)
    while left:
        part, edge = set(), [min(left)]
        while edge:
            p = edge.pop()
            if p in left:
                left.remove(p)
                part.add(p)
                edge += [*crossed(p), (p[0] - 1, *p[1:]), (p[0] + 1, *p[1:])]
        parts.append(part)
    head = np.zeros((slices, height, width), bool)
    for p in max(parts, key=len, default=()):  # the first of equals
        head[p] = True
    if fill:
        for plane in head:
            outside = {(-1, -1)}
            edge = [(-1, -1)]
            while edge:
                i, j = edge.pop()
                for q in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                    inside = 0 <= q[0] < height and 0 <= q[1] < width
                    if q not in outside and -1 <= q[0] <= height and -1 <= q[1] <= width \
                            and not (inside and plane[q]):
                        outside.add(q)
                        edge.append(q)
            for i in range(height):
                for j in range(width):
                    plane[i, j] = (i, j) not in outside
    return head


def literal_region(
    sources, tumour, spacing, window=10.0, nearest=3.0, farthest=25.0, imaged=None, ranges=None,
    choice="tissue", head=None
):
    """The windows of each slice one by one; None where no slice has one."""
    head = literal_head(sources) if head is None else head
    usable = head if imaged is None else head & imaged
    size = [max(3, round(window / s)) for s in spacing[1:]]
    planes = [k for k in range(len(tumour)) if tumour[k].any()]
    inside = np.argwhere(tumour)

    def far(k, i, j):
        return min(math.dist(np.multiply(p, spacing), np.multiply((k, i, j), spacing)) for p in inside
                   if choice == "tissue" or p[0] == k)

    volume = sources.astype(float)
    if choice == "tissue":
        volume = volume.copy()
        for m, source in enumerate(volume):
            if ranges is not None:
                for k, plane in enumerate(source):
                    low, high = ranges[k, m]
                    plane[:] = low + plane * (high - low)
            values = source[usable]
            source /= np.percentile(values, 99) - np.percentile(values, 1) or 1.0
    windows = []
    for k in planes:
        found = []
        distance = {(i, j): far(k, i, j) for i, j in np.ndindex(*tumour.shape[1:])}
        for top in range(tumour.shape[1] - size[0] + 1):
            for left in range(tumour.shape[2] - size[1] + 1):
                pixels = [(i, j) for i in range(top, top + size[0]) for j in range(left, left + size[1])]
                centre = (top + size[0] // 2, left + size[1] // 2)
                if distance[centre] <= farthest and all(
                        usable[k, i, j] and distance[i, j] >= nearest for i, j in pixels):
                    box = volume[:, k, top : top + size[0], left : left + size[1]]
                    found.append((k, top, left, box.mean(axis=(1, 2)), box.var(axis=(1, 2)).sum()))
        windows.append(found)
    windows = [w for w in windows if w]
    if not windows:
        return None
    calmest = [min(w, key=lambda x: x[4]) for w in windows]
    chosen = calmest if choice == "slice" else _of_one_tissue(windows, calmest)
    region = np.zeros(tumour.shape, bool)
    for k, top, left, *_ in chosen:
        region[k, top : top + size[0], left : left + size[1]] = True
    return region


def _of_one_tissue(windows, calmest):
    """Starts at twelve calmest windows spread over the slices; tissue and windows in turn, 20 times."""
    starts = sorted({round((len(calmest) - 1) * k / 11) for k in range(12)})
    best, least = None, math.inf
    for start in starts:
        tissue, before = calmest[start][3], None
        for _ in range(20):
            def cost(w, tissue=tissue):
                return w[4] + sum((w[3] - tissue) ** 2)

            chosen = [min(found, key=cost) for found in windows]
            places = [w[:3] for w in chosen]
            if places == before:
                break
            before = places
            costs = [cost(w) for w in chosen]
            limit = 6 * np.median(costs)
            kept = [w for w, c in zip(chosen, costs, strict=True) if c <= limit]
            tissue = np.mean([w[3] for w in kept], axis=0)
        total = sum(min(c, limit) for c in costs)
        if total < least:
            best, least = kept, total
    return best
