"""The field's standard fusion metrics under one call: `FUSION_METRICS["SF"](fused, sources)`.

`fused` is (h, w), `sources` (m, h, w), float in [0, 1]; the result is a float. Nothing is stretched
before measuring. Direction and range are data of each metric.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pgmif_core.metrics import edges, information, intensity, perception

TOLERANCE = 1e-6  # rounding outside [0, 1]


@dataclass(frozen=True)
class FusionMetric:
    """A metric with its direction and range.

    `low` and `high` bound the value for two sources; where `sums` is true the metric adds over
    sources, and the bounds grow with their number. `smallest_px` is the least image side.

    >>> chequered = np.indices((4, 4)).sum(axis=0) % 2
    >>> FUSION_METRICS["SD"](chequered, np.stack((chequered, chequered)))
    0.5
    """

    name: str
    function: Callable[[NDArray, NDArray], float]
    low: float
    high: float
    unit: str = ""
    higher_is_better: bool = True
    sums: bool = False
    smallest_px: int = 3

    @property
    def description(self) -> str:
        """First line of the documentation: what is measured, and its publication."""
        return (self.function.__doc__ or "").split("\n")[0]

    def __call__(self, fused: ArrayLike, sources: ArrayLike) -> float:
        """Measure one fused image against its sources.

        Raises ValueError on shapes that do not fit, values outside [0, 1] or not finite, and
        images smaller than the metric needs.
        """
        fused, sources = np.asarray(fused), np.asarray(sources)
        if (fused.ndim != 2 or sources.ndim != 3 or len(sources) < 2
                or sources.shape[1:] != fused.shape):
            raise ValueError(
                f"{self.name}: expected fused (h, w) and sources (m ≥ 2, h, w), found {fused.shape} and "
                f"{sources.shape}"
            )
        if min(fused.shape) < self.smallest_px:
            raise ValueError(
                f"{self.name}: expected at least {self.smallest_px} pixels a side, found {fused.shape}"
            )
        for name, image in (("fused", fused), ("sources", sources)):
            low, high = image.min(), image.max()
            if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):  # NaN fails both
                raise ValueError(
                    f"{self.name}: expected {name} in [0, 1], found {low:g} to {high:g}. Divide by "
                    "the data range; do not stretch each image, that changes what is measured."
                )
        return self.function(np.clip(fused, 0, 1), np.clip(sources, 0, 1))


FUSION_METRICS: dict[str, FusionMetric] = {
    metric.name: metric
    for metric in (
        FusionMetric("EN", intensity.entropy, 0, 8, "bit"),
        FusionMetric("SD", intensity.standard_deviation, 0, 0.5),
        FusionMetric("SF", intensity.spatial_frequency, 0, np.sqrt(2)),
        FusionMetric("AG", intensity.average_gradient, 0, 1),
        FusionMetric("MI", information.mutual_information, 0, 16, "bit", sums=True),
        FusionMetric("NMI", information.normalized_mutual_information, 0, 2, sums=True),
        FusionMetric("CC", intensity.correlation_coefficient, -1, 1),
        FusionMetric("SCD", intensity.sum_of_correlations_of_differences, -2, 2, sums=True),
        FusionMetric("SSIM", perception.structural_similarity, -1, 1, smallest_px=11),
        FusionMetric("MS-SSIM", perception.multiscale_similarity, 0, 1, smallest_px=176),
        FusionMetric("VIF", perception.visual_fidelity, 0, np.inf, smallest_px=41),
        FusionMetric("VIFF", perception.fusion_fidelity, 0, np.inf, smallest_px=41),
        FusionMetric("QABF", edges.edge_preservation, 0, 1),
        FusionMetric("NABF", edges.fusion_artefacts, 0, 1, higher_is_better=False),
        FusionMetric("FMI", information.feature_mutual_information, 0, 1),
    )
}


def measure_fusion(fused: ArrayLike, sources: ArrayLike) -> dict[str, float]:
    """Every metric of FUSION_METRICS that the image is large enough for, by name.

    >>> x = np.eye(12)
    >>> sorted(FUSION_METRICS.keys() - measure_fusion(x, np.stack((x, x))))  # too small for
    ['MS-SSIM', 'VIF', 'VIFF']
    """
    side = min(np.shape(fused)[-2:])
    return {n: m(fused, sources) for n, m in FUSION_METRICS.items() if side >= m.smallest_px}
