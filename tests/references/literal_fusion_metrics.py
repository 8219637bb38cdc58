"""The standard fusion metrics once more, slowly: their publications, pixel by pixel, window by window.

Shares no code with `pgmif_core.metrics.standard`. The tests compare the two, and
benchmarks/studies/fusion_metrics.py times them side by side.
"""

import math

import numpy as np
from scipy import ndimage

SIGMOIDS = ((0.9994, -15.0, 0.5), (0.9879, -22.0, 0.8))  # Xydeas & Petrović 2000: strength, orientation
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003


def levels(image):
    return [round(float(v) * 255) for v in np.ravel(image)]


def entropy(symbols):
    counts = {}
    for symbol in symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    total = sum(counts.values())
    return -sum(c / total * math.log2(c / total) for c in counts.values())


def entropies(fused, source):
    f, s = levels(fused), levels(source)
    return entropy(f), entropy(s), entropy(list(zip(f, s, strict=True)))


def mutual_information(fused, sources):
    return sum(f + s - joint for f, s, joint in (entropies(fused, x) for x in sources))


def normalized_mutual_information(fused, sources):
    return sum(2 * (f + s - joint) / (f + s) for f, s, joint in (entropies(fused, x) for x in sources))


def spatial_frequency(fused, _):
    h, w = fused.shape
    rows = sum((fused[i, j] - fused[i, j - 1]) ** 2 for i in range(h) for j in range(1, w))
    columns = sum((fused[i, j] - fused[i - 1, j]) ** 2 for i in range(1, h) for j in range(w))
    return math.sqrt((rows + columns) / (h * w))


def average_gradient(fused, _):
    h, w = fused.shape
    steps = [
        math.sqrt(((fused[i + 1, j] - fused[i, j]) ** 2 + (fused[i, j + 1] - fused[i, j]) ** 2) / 2)
        for i in range(h - 1) for j in range(w - 1)
    ]
    return sum(steps) / len(steps)


def correlation(x, y):
    return np.corrcoef(np.ravel(x), np.ravel(y))[0, 1]


def correlations_of_differences(fused, sources):
    a, b = sources
    return correlation(fused - b, a) + correlation(fused - a, b)


def edge_transfer(fused, sources, artefacts=False):
    """Q^AB/F (Xydeas & Petrović 2000) and N^AB/F (Shreyamsha Kumar 2013)."""
    def edge(x, i, j):
        p = x[i : i + 3, j : j + 3]
        sx = p[0, 2] + 2 * p[1, 2] + p[2, 2] - p[0, 0] - 2 * p[1, 0] - p[2, 0]
        sy = p[2, 0] + 2 * p[2, 1] + p[2, 2] - p[0, 0] - 2 * p[0, 1] - p[0, 2]
        return math.hypot(sx, sy), math.pi / 2 if sx == 0 else math.atan(sy / sx)

    padded = [np.pad(x, 1, mode="edge") for x in (fused, *sources)]
    top = bottom = 0.0
    for i, j in np.ndindex(fused.shape):
        (gf, af), *pairs = (edge(x, i, j) for x in padded)
        for g, a in pairs:
            ratio = 1.0 if gf == g else gf / g if g > gf else g / gf
            turn = abs(a - af)
            alignment = 1 - min(turn, math.pi - turn) / (math.pi / 2)
            q = 1.0
            for value, (height, slope, centre) in zip((ratio, alignment), SIGMOIDS, strict=True):
                q *= height / (1 + math.exp(slope * (value - centre)))
            if artefacts:
                q = 1 - q if all(gf > other for other, _ in pairs) else 0
            top, bottom = top + q * g, bottom + g
    return top / bottom


def joint_information(p, q):
    """2·I / (H_p + H_q) of the joint distribution that FMI builds, cell by cell."""
    n = len(p)
    c = np.corrcoef(p, q)[0, 1] if np.ptp(p) > 1e-7 and np.ptp(q) > 1e-7 else 0.0
    cdf_p, cdf_q = np.r_[0, np.cumsum(p)], np.r_[0, np.cumsum(q)]
    upper = np.minimum(cdf_p[:, None], cdf_q)
    lower = np.maximum(cdf_p[:, None] + cdf_q - 1, 0)
    bound = np.diff(np.diff(upper if c >= 0 else lower, axis=0), axis=1)
    index = np.arange(1, n + 1)
    sd_p, sd_q = (math.sqrt(max((w * index**2).sum() - (w * index).sum() ** 2, 0)) for w in (p, q))
    covariance = (bound * np.outer(index, index)).sum() - (p * index).sum() * (q * index).sum()
    share = min(1, c * sd_p * sd_q / covariance) if abs(covariance) > 1e-6 else 0
    joint = share * bound + (1 - share) * np.outer(p, q)

    def h(x):
        x = x[x > 0]
        return -(x * np.log(x)).sum()

    total = h(p) + h(q)
    if np.allclose(p, q, atol=1e-6):
        return 1.0
    return 2 * (total - h(joint)) / total if total > 1e-6 else 0.0


def feature_mutual_information(fused, sources):
    def distribution(feature, i, j):
        window = feature[i : i + 3, j : j + 3].ravel()
        p = window - window.min() if np.ptp(window) > 1e-6 else np.ones(9)
        return p / p.sum()

    features = [np.hypot(*np.gradient(x)) for x in (fused, *sources)]
    values = []
    for i, j in np.ndindex(fused.shape[0] - 2, fused.shape[1] - 2):
        f, *others = (distribution(x, i, j) for x in features)
        values += [joint_information(f, s) for s in others]
    return np.mean(values)


def similarity(x, y):
    """SSIM and its contrast term (Wang et al. 2004), in windows that fit into the image."""
    moments = (x, y, x * x, y * y, x * y)
    mx, my, xx, yy, xy = (ndimage.gaussian_filter(v, 1.5, truncate=3.5)[5:-5, 5:-5] for v in moments)
    contrast = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
    whole = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4) * contrast
    return whole.mean(), contrast.mean()


def halve(x):
    x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def multiscale(fused, sources):
    values = []
    for source in sources:
        x, y, product = fused, source, 1.0
        for k, weight in enumerate(MS_SSIM_WEIGHTS):
            whole, contrast = similarity(x, y)
            product *= max(whole if k == 4 else contrast, 0) ** weight
            x, y = halve(x), halve(y)
        values.append(product)
    return np.mean(values)


def blur(x, width):
    k = np.exp(-0.5 * ((np.arange(width) - (width - 1) / 2) / (width / 5)) ** 2)
    kernel = np.outer(k, k) / np.outer(k, k).sum()
    reach = width // 2
    return ndimage.correlate(x, kernel, mode="constant")[reach:-reach, reach:-reach]


def information(fused, source, width, noise):
    """Sheikh & Bovik 2006: information seen, information there, and gain, per window."""
    ms, mf = blur(source, width), blur(fused, width)
    vs, vf = blur(source * source, width) - ms**2, blur(fused * fused, width) - mf**2
    covariance = blur(source * fused, width) - ms * mf
    gain = np.maximum(covariance / (vs + 1e-10), 0)
    gain[(vs < 1e-10) | (vf < 1e-10)] = 0  # the authors' code: flat
    left = np.where(covariance > 0, vf - gain * covariance, vf)
    seen = np.log10(1 + gain**2 * vs / (np.maximum(left, 1e-10) + noise))
    return seen, np.log10(1 + vs / noise), gain


def scales(fused, sources):
    images = [255 * fused, *(255 * s for s in sources)]
    for scale in range(4):
        width = 2 ** (4 - scale) + 1
        if scale:
            images = [blur(x, width)[::2, ::2] for x in images]
        yield width, images[0], images[1:]


def visual_fidelity(fused, sources):
    parts = np.zeros((2, len(sources)))
    for width, f, pyramid in scales(fused, sources):
        for k, s in enumerate(pyramid):
            parts[:, k] += [x.sum() for x in information(f, s, width, 2.0)[:2]]
    return np.mean(parts[0] / parts[1])


def fusion_fidelity(fused, sources):
    """Han et al. 2013, as the authors' code has it: the least gain, the last of equal ones."""
    value = 0.0
    for weight, (width, f, pyramid) in zip((1, 0, 0.15, 1), scales(fused, sources), strict=True):
        parts = [information(f, s, width, 0.005 * 255**2) for s in pyramid]
        seen, whole, gains = zip(*parts, strict=True)
        least = (len(gains) - 1 - np.argmin(gains[::-1], axis=0))[None]
        top, bottom = (np.take_along_axis(np.array(x), least, 0) + 1e-7 for x in (seen, whole))
        value += weight / 2.15 * top.sum() / bottom.sum()
    return value


LITERAL = {
    "EN": lambda fused, _: entropy(levels(fused)),
    "SD": lambda fused, _: math.sqrt(((fused - fused.mean()) ** 2).mean()),
    "SF": spatial_frequency,
    "AG": average_gradient,
    "MI": mutual_information,
    "NMI": normalized_mutual_information,
    "CC": lambda fused, sources: np.mean([correlation(fused, s) for s in sources]),
    "SCD": correlations_of_differences,
    "SSIM": lambda fused, sources: np.mean([similarity(fused, s)[0] for s in sources]),
    "MS-SSIM": multiscale,
    "VIF": visual_fidelity,
    "VIFF": fusion_fidelity,
    "QABF": edge_transfer,
    "NABF": lambda fused, sources: edge_transfer(fused, sources, artefacts=True),
    "FMI": feature_mutual_information,
}
