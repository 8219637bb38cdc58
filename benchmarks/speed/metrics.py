"""CNR, Q and the field's standard metrics beside the literal version of each publication."""

import numpy as np
import torch
from speed.fusion_metrics import LITERAL, phantom_slices
from speed.timing import Row, best_seconds

from pgmif_core.metrics.paper import contrast_to_noise_ratio, generalized_sobel
from pgmif_core.metrics.remembered import forget
from pgmif_core.metrics.standard import FUSION_METRICS, measure_fusion

MIDDLE = 10


def literal_cnr(image, tumour, reference) -> float:
    """Eq. 8, one voxel after the other."""
    inside = [image[i] for i in np.ndindex(image.shape) if tumour[i]]
    around = [image[i] for i in np.ndindex(image.shape) if reference[i]]
    means = [sum(map(float, values)) / len(values) for values in (inside, around)]
    variance = sum((float(v) - means[1]) ** 2 for v in around) / len(around)
    return (means[0] - means[1]) / variance**0.5


def literal_sobel(fused, source, tumour) -> float:
    """Eq. 12, one pixel of the tumour after the other, each slice cut to the box around it; it continues
    past its edge."""
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], float)

    def strength(plane, i, j):
        rows = np.clip([i - 1, i, i + 1], 0, plane.shape[0] - 1)
        columns = np.clip([j - 1, j, j + 1], 0, plane.shape[1] - 1)
        patch = plane[np.ix_(rows, columns)].astype(float)
        return float(np.hypot((kernel * patch).sum(), (kernel.T * patch).sum()))

    found = []
    for k, i, j in np.argwhere(tumour):
        (top, left), (bottom, right) = (f(np.argwhere(tumour[k]), axis=0) for f in (np.min, np.max))
        here, there = (strength(v[k, top : bottom + 1, left : right + 1], i - top, j - left)
                       for v in (fused, source))
        ratio = here / there if there else (np.inf if here else 1.0)
        found.append(float(np.tanh(ratio / 2)))
    return sum(found) / len(found)


def rows() -> list[Row]:
    """Images a second on one thread, CNR and Q and the standard set together."""
    fused, sources = phantom_slices()
    plane, pair = fused[MIDDLE], sources[MIDDLE]
    tumour = np.zeros_like(fused[:1], bool)
    tumour[0, 80:100, 85:110] = True
    reference = np.roll(tumour, 30, axis=2)
    whole = plane[None]

    def ours() -> tuple:
        forget()
        return (contrast_to_noise_ratio(whole, tumour, reference),
                *(generalized_sobel(whole, pair[m][None], tumour) for m in (0, 1)),
                measure_fusion(plane, pair))

    def literal() -> tuple:
        exact = plane.astype(np.float64), pair.astype(np.float64)
        return (literal_cnr(whole, tumour, reference),
                *(literal_sobel(whole, pair[m][None], tumour) for m in (0, 1)),
                {name: float(LITERAL[name](*exact)) for name in FUSION_METRICS})

    np.testing.assert_allclose(ours()[:3], literal()[:3], rtol=1e-4)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds, = best_seconds([ours], 3, 2)
    slow, = best_seconds([literal], 1, 1)
    torch.set_num_threads(before)
    name = f"metrics: CNR, Q and {len(FUSION_METRICS)} standard ones, speed against literal versions"
    return [Row(name, 1 / seconds, "images/s, 1 thread", slow / seconds)]


