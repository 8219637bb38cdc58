"""What trivial filters of a source reach in CNR and Q: the frontier that a fused image must pass.

Blurring raises CNR, sharpening raises Q, and neither knows where the tumour is. The curve that a
source traces under a sweep of both is free; a method earns its place only above it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage, stats

from pgmif_core.chunks import in_chunks
from pgmif_core.evaluation.measures import cnr, sobel_against
from pgmif_core.evaluation.statistics import SMALLEST_BOOTSTRAP
from pgmif_core.images.patient import PatientSlices, measured_slices
from pgmif_core.metrics.paper import Reading

BLURS_PX = (2.5, 2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5, 0.4)  # σ of a Gaussian
SHARPENINGS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # weight of the unsharp mask, σ = 1 px
STRETCHES = (1.25, 1.5, 2.0, 3.0)  # intensities multiplied, cut at 1: window and level
RESAMPLES = 2000
CONFIDENCE = 0.95
SMALLEST_MARGIN = 0.01  # of CNR: nearer counts as on the curve (tables keep six digits)


def trivial_images(image: NDArray) -> Iterator[tuple[str, float, NDArray]]:
    """A source volume (slices, h, w) under every filter: (family, amount, filtered).

    Families: 'filtered' from the strongest blur (amount −σ) over the untouched image (0) to the
    strongest sharpening (weight), and 'stretched' (factor), all cut to [0, 1].
    """
    def blur(sigma: float) -> NDArray:
        reach = (0, sigma, sigma)
        return in_chunks(lambda part: ndimage.gaussian_filter(part, reach, mode="nearest"), image)

    for sigma in BLURS_PX:
        yield "filtered", -sigma, blur(sigma)
    yield "filtered", 0.0, image
    detail = image - blur(1.0)
    for weight in SHARPENINGS:
        yield "filtered", weight, np.clip(image + weight * detail, 0, 1)
    yield "stretched", 1.0, image
    for factor in STRETCHES:
        yield "stretched", factor, np.clip(factor * image, 0, 1)


def trivial_rows(
    patient: PatientSlices, modalities: Sequence[str], reading: Reading = "crop"
) -> list[dict]:
    """CNR and Q of every source of a patient under every trivial filter, on the measured slices."""
    part = measured_slices(patient)
    rows = []
    for m, source in enumerate(modalities):
        for family, amount, image in trivial_images(np.asarray(part.sources[:, m])):
            row = {"subject": patient.subject, "source": source, "family": family, "amount": amount}
            # a stretch may saturate the whole reference region: nothing is left to measure against
            seen = image[part.reference]
            row["cnr"] = cnr(image, part) if np.ptp(seen) > 0 else np.nan
            row |= {f"q_{name.lower()}": sobel_against(image, part, k, reading)
                    for k, name in enumerate(modalities)}
            rows.append(row)
    return rows


def defined(trivial: pd.DataFrame) -> pd.DataFrame:
    """Only the filter settings under which the CNR of every patient is defined."""
    groups = trivial.groupby(["source", "family", "amount"])["cnr"]
    return trivial[~groups.transform(lambda values: values.isna().any())]


def curves(trivial: pd.DataFrame) -> pd.DataFrame:
    """Medians over patients of the trivial rows: one row per source, family and amount, in order."""
    keys = ["source", "family", "amount"]
    return defined(trivial).groupby(keys).median(numeric_only=True).reset_index()


def margin_above(point: NDArray, curve: NDArray) -> NDArray | np.floating:
    """By how much CNR a method lies above a trivial curve; negative below it.

    `point` (…, 2) and `curve` (settings, …, 2) hold (Q, CNR); settings are joined by straight lines.
    The margin is the method's CNR minus the best CNR that the curve reaches with at least the
    method's Q; beyond the end of the sweep, minus the CNR at its highest Q.
    """
    beyond, height = curve[..., 0] - point[..., 0], curve[..., 1]
    reached = np.where(beyond >= 0, height, -np.inf).max(axis=0)
    crossed = beyond[:-1] * beyond[1:] < 0  # lines that pass the method's Q between two settings
    share = np.where(crossed, beyond[:-1] / np.where(crossed, beyond[:-1] - beyond[1:], 1), 0)
    crossing = height[:-1] + share * (height[1:] - height[:-1])
    reached = np.maximum(reached, np.where(crossed, crossing, -np.inf).max(axis=0))
    sharpest = np.take_along_axis(height, beyond.argmax(axis=0)[None], 0)[0]
    reached = np.where(np.isfinite(reached), reached, sharpest)
    return point[..., 1] - reached


def _samples(table: pd.DataFrame, keys: list[str], columns: list[str]) -> dict[tuple, NDArray]:
    """Per group the values by patient, (patients, columns), patients in one order."""
    return {
        key: group.sort_values("subject")[columns].to_numpy()
        for key, group in table.groupby(keys, sort=False)
    }


def standing_table(
    measures: pd.DataFrame, trivial: pd.DataFrame, families: Sequence[str] = ("filtered",),
    seed: int = 0,
) -> pd.DataFrame:
    """Every method against the trivial curves of all sources, on the same patients.

    `measures`: subject, method, cnr, q_<modality> …; `trivial` as from `trivial_rows`. One row per
    method and Q. `margin` is the median CNR minus what trivial filters reach at that Q; `above_share`
    and `below_share` the shares of resampled patient groups whose margin is beyond ±0.01. `verdict`:
    "above" or "below" where that share is at least 0.95, else "not distinguishable"; with fewer than
    five patients no resampling says anything: "too few patients". Raises ValueError unless both
    tables have the same patients.
    """
    patients = sorted(measures["subject"].unique())
    if patients != sorted(trivial["subject"].unique()):
        raise ValueError("methods and trivial filters were not measured on the same patients")
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(patients), size=(RESAMPLES, len(patients)))
    draws = np.vstack((np.arange(len(patients)), draws))  # the first is the cohort itself
    trivial = defined(trivial[trivial["family"].isin(families)])
    rows = []
    for q in [c for c in measures if c.startswith("q_")]:
        sources = {
            key: np.stack([
                np.median(values[draws], axis=1)
                for _, values in sorted(_samples(group, ["amount"], [q, "cnr"]).items())
            ])
            for key, group in trivial.groupby(["source", "family"])
        }
        for (name,), values in _samples(measures, ["method"], [q, "cnr"]).items():
            point = np.median(values[draws], axis=1)
            margins = np.min([margin_above(point, curve) for curve in sources.values()], axis=0)
            above, below = (float((sign * margins[1:] > SMALLEST_MARGIN).mean()) for sign in (1, -1))
            if len(patients) < SMALLEST_BOOTSTRAP:
                above = below = np.nan
            rows.append({
                "method": name, "against": q, "q": point[0, 0], "cnr": point[0, 1],
                "margin": margins[0], "above_share": above, "below_share": below,
                "verdict": "too few patients" if np.isnan(above) else "above" if above >= CONFIDENCE
                           else "below" if below >= CONFIDENCE else "not distinguishable",
            })
    return pd.DataFrame(rows)


def median_ellipse(values: NDArray, seed: int = 0) -> tuple[float, float, float] | None:
    """95 % ellipse of bootstrapped medians of (Q, CNR): full width, full height, angle in degrees.

    `values` (patients, 2); None with fewer than five patients.
    """
    if len(values) < SMALLEST_BOOTSTRAP:
        return None
    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    spread = np.cov(np.median(values[draws], axis=1).T)
    lengths, axes = np.linalg.eigh(spread)
    width, height = 2 * np.sqrt(np.maximum(lengths, 0) * stats.chi2.ppf(CONFIDENCE, 2))
    return float(width), float(height), float(np.degrees(np.arctan2(axes[1, 0], axes[0, 0])))
