"""PGMIF+ (`pgmif_plus`): the pixelwise gradient model solved in closed form, with sign and amplitude.

Eq. 2 compares normalized gradients, but cannot see their sign and leaves the amplitude open. Here the
normalized gradient is the target itself: the image whose gradients are nearest to it follows from one
cosine transform. Nothing is trained; a few numbers are fitted on training patients (`plus_fitting`).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from pgmif_core.files import replacing
from pgmif_core.gradients import gradient_norm, image_gradient
from pgmif_core.images.slices import SIGNAL
from pgmif_core.methods.classical import fused_gradient, solve_screened_poisson

Sources = Float[Tensor, "b m h w"]
Fused = Float[Tensor, "b 1 h w"]

LANDMARKS = (25, 75)  # percentiles of the tissue of a slice …
STANDARD = (0.3, 0.6)  # … and where they are put
BOUNDS = {
    "gain": (0.01, 100.0), "calm_gain": (0.01, 100.0), "edge": (1e-3, 1e3), "screening": (1e-6, 1e3),
}
FEWEST_PIXELS = 50  # of tissue, for percentiles to mean anything
NARROWEST = 0.02  # distance of the landmarks: a slice of one tissue is not stretched without end
T2W_WEIGHT = 0.65  # of T2w among the gradients; the other sources have equal parts of the rest
SALIENCY_SIGMA_PX = 3.0  # how far around a pixel gradients make it salient
SALIENCY_MIDDLE = 0.5  # of the slice's mean gradient: half way between the two gains
SALIENCY_STEEPNESS = 4


@dataclass(frozen=True)
class PlusSettings:
    """What PGMIF+ fuses with. `shares`: of each source in the large structures, summing to 1.

    `gain`: how many times gradients well below ε are steepened where there is structure, `calm_gain`
    where there is little; `edge`: ε as a multiple η of the mean gradient in the tissue (Haber &
    Modersitzki 2006); `screening`: pull towards the mixed sources, in 1/pixel². Only the shares are
    fitted (`plus_fitting`). `standardised`: intensities are brought to one scale slice by slice;
    `compressed`: gradients beyond ε flatten; `tensor`: gradients of all sources together, not of their
    mean. These three are there to be ablated.

    >>> PlusSettings((0.25, 0.75)).gradient_weights
    (0.35, 0.65)
    """

    shares: tuple[float, ...]
    gain: float = 3.5
    calm_gain: float = 1.0
    edge: float = 1.5
    screening: float = 0.03
    standardised: bool = True
    compressed: bool = True
    tensor: bool = True
    sequences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        numbers = [x for x in self.shares if type(x) in (int, float) and 0 <= x <= 1]
        if not 2 <= len(self.shares) == len(numbers) or abs(sum(numbers) - 1) > 1e-6:
            raise ValueError(f"shares: expected two or more, from 0, with sum 1, found {self.shares}")
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if type(value) not in (int, float) or not low <= value <= high:
                raise ValueError(f"{name} must be positive: expected {low:g} to {high:g}, found "
                                 f"{value!r}")
        for name in ("standardised", "compressed", "tensor"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}: expected true or false, found {getattr(self, name)!r}")
        named = isinstance(self.sequences, tuple) and all(isinstance(s, str) for s in self.sequences)
        counted = named and len(self.sequences) in (0, len(self.shares))
        if not counted or len(set(self.sequences)) < len(self.sequences):
            raise ValueError(f"sequences: expected a name for each of {len(self.shares)} shares, found "
                             f"{self.sequences!r}")

    @property
    def gradient_weights(self) -> tuple[float, ...]:
        """Weight of each source among the gradients, T2w (the second) 0.65; sum 1."""
        rest = (1 - T2W_WEIGHT) / (len(self.shares) - 1)
        return tuple(T2W_WEIGHT if k == 1 else rest for k in range(len(self.shares)))


def _standardised_slice(image: NDArray) -> NDArray:
    tissue = image[image > SIGNAL]
    if tissue.size < FEWEST_PIXELS:
        return image
    low, high = np.percentile(tissue, LANDMARKS)
    high = max(high, low + NARROWEST)
    if high >= 1:
        return image
    return np.interp(image, (0, low, high, 1), (0, *STANDARD, 1))


def standardised(sources: Sources) -> Sources:
    """Every slice of every source with the quartiles of its tissue at 0.3 and 0.6 (Nyúl & Udupa 1999).

    Min-max per slice lets the brightest pixel of a slice decide the grey of its tissue; CNR pools
    slices and counts these steps as noise. Piecewise linear, rising, 0 and 1 stay; slices with next to
    no tissue stay as they are. `sources` in [0, 1].

    >>> slope = torch.linspace(0.1, 0.9, 101).expand(1, 2, 1, 101)
    >>> standardised(slope).quantile(torch.tensor([0.25, 0.75]))
    tensor([0.3000, 0.6000])
    """
    planes = sources.detach().cpu().numpy().reshape(-1, *sources.shape[-2:])
    done = np.stack([_standardised_slice(plane) for plane in planes]).reshape(sources.shape)
    return torch.from_numpy(done).to(sources)


def target_gradient(sources: Sources, settings: PlusSettings) -> Float[Tensor, "b 2 h w"]:
    """Gradients wanted, before the gain: ∇ / √(1 + (‖∇‖/ε)²), ∇ from the weighted structure tensor.

    ε times the normalized gradient of PGMIF with the edge parameter of Haber & Modersitzki, with its
    sign; as long as the gradient itself well below ε. Steep edges between tissue and air or fat flatten
    to ε, so that there is room for the gain. ε = η · mean‖∇‖ over the tissue of each slice.

    >>> steps = torch.tensor([0.1, 0.2, 1.0]).expand(1, 2, 1, 3)  # by 0.1 and 0.8; ε = 1.5 · 0.3
    >>> target_gradient(steps, PlusSettings((0.5, 0.5)))[0, 1, 0]
    tensor([0.0976, 0.3922, 0.0000])
    """
    weights = sources.new_tensor(settings.gradient_weights)[:, None, None]
    field = (fused_gradient(sources * weights.sqrt()) if settings.tensor
             else image_gradient((sources * weights).sum(1, keepdim=True))[:, 0])
    if not settings.compressed:
        return field
    length = gradient_norm(field[:, None])
    epsilon = settings.edge * _mean_in_tissue(length, sources)
    return field / (1 + (length / epsilon.clamp(min=1e-9)) ** 2).sqrt()


def _mean_in_tissue(values: Fused, sources: Sources) -> Float[Tensor, "b 1 1 1"]:
    tissue = (sources > SIGNAL).any(dim=1, keepdim=True)
    return (values * tissue).sum((2, 3), keepdim=True) / tissue.sum((2, 3), keepdim=True).clamp(min=1)


def saliency(field: Float[Tensor, "b 2 h w"], sources: Sources) -> Fused:
    """How much structure is around a pixel, from 0 (calm) to 1: gradients smoothed over 3 pixels.

    One half where they are half as strong as on average in the slice's tissue. Noise in calm tissue is
    not steepened, texture beside an edge is.

    >>> field = torch.ones(1, 2, 4, 4)
    >>> saliency(field, field)[0, 0, 0, 0]  # as on average: 2⁴ / (1 + 2⁴)
    tensor(0.9412)
    """
    length = gradient_norm(field[:, None])
    around = torch.from_numpy(gaussian_filter(
        length.numpy(), (0, 0, SALIENCY_SIGMA_PX, SALIENCY_SIGMA_PX), mode="nearest"
    ))
    relative = (around / _mean_in_tissue(length, sources).clamp(min=1e-9)) / SALIENCY_MIDDLE
    raised = relative.clamp(max=1e3) ** SALIENCY_STEEPNESS
    return raised / (1 + raised)


def steepened(sources: Sources, settings: PlusSettings) -> Float[Tensor, "b 2 h w"]:
    """The target with its gain: `gain` in salient places, `calm_gain` in calm ones.

    >>> steps = torch.tensor([0.1, 0.2, 0.4]).expand(1, 2, 1, 3)
    >>> settings = PlusSettings((0.5, 0.5), gain=3.0, calm_gain=3.0, compressed=False)
    >>> steepened(steps, settings)[0, 1, 0]
    tensor([0.3000, 0.6000, 0.0000])
    """
    field = target_gradient(sources, settings)
    if settings.gain == settings.calm_gain:
        return settings.gain * field
    salient = saliency(field, sources)
    return field * (settings.calm_gain + (settings.gain - settings.calm_gain) * salient)


def mixed(sources: Sources, settings: PlusSettings) -> Fused:
    """The sources mixed by their shares: what large structures follow.

    >>> mixed(torch.tensor([[[[0.0]], [[1.0]]]]), PlusSettings((0.25, 0.75))).item()
    0.75
    """
    return (sources * sources.new_tensor(settings.shares)[:, None, None]).sum(1, keepdim=True)


def fuse_plus(sources: Sources, settings: PlusSettings) -> Fused:
    """argmin_F Σ ‖∇F − gain · target‖² + screening · (F − mixed sources)², cut to [0, 1].

    `sources` (b, m, h, w) in [0, 1], any size, any m ≥ 2. Raises ValueError where `settings` were fitted
    for another number of sources.

    >>> stripes = 0.5 + 0.05 * (-1.0) ** torch.arange(32).expand(1, 2, 32, 32)
    >>> fused = fuse_plus(stripes, PlusSettings((0.5, 0.5), standardised=False))
    >>> bool(fused.diff().max() > 2 * stripes.diff().max())
    True
    """
    if sources.shape[1] != len(settings.shares):
        raise ValueError(
            f"these settings fuse {len(settings.shares)} modalities, found {sources.shape[1]}"
        )
    images = standardised(sources) if settings.standardised else sources
    field = steepened(images, settings)
    return solve_screened_poisson(field, mixed(images, settings), settings.screening).clamp(0, 1)


def write_settings(settings: PlusSettings, path: Path) -> Path:
    """Settings as JSON: what `METHODS["pgmif_plus"](sources, weights=path)` reads.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = write_settings(PlusSettings((0.25, 0.75)), Path(folder) / "settings.json")
    ...     read_settings(path).shares
    (0.25, 0.75)
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"method": "pgmif_plus", **asdict(settings)}, indent=2) + "\n")
    return path


def read_settings(path: str | Path) -> PlusSettings:
    """Settings written by `write_settings`. Raises ValueError where the file is foreign or absent.

    >>> read_settings("none.json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: none.json: expected fitted settings (.json), found no file...
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: expected fitted settings (.json), found no file. `make reproduce` leaves them in "
            "results/<run>/03_pgmif_plus/settings.json."
        )
    try:
        values = json.loads(path.read_text())
        if values.pop("method") != "pgmif_plus":
            raise ValueError("another method")
        lists = {n: tuple(values[n]) for n in ("shares", "sequences") if isinstance(values.get(n), list)}
        return PlusSettings(**{**values, **lists})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: expected settings of pgmif_plus, found others: {error}") from error
