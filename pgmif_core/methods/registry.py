"""Every fusion method under one name and one call: `METHODS["pwa"](sources)`.

`sources` is (batch, modality, height, width) in [0, 1], T1w and T2w first; the result is
(batch, 1, height, width). Learned and fitted methods also need `weights`: a .safetensors file or a
generator, or the .json file of fitted settings.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pgmif.cohort.checks import FURTHER_MODALITIES
from pgmif_core.expected import expect_image, expect_unit_range
from pgmif_core.methods.classical import (
    gradient_domain,
    guided_filter,
    laplacian_pyramid,
    principal_components,
    wavelet,
)
from pgmif_core.methods.pgmif_plus import PlusSettings, fuse_plus, read_settings, standardised
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.networks.generator import Generator

NOT_IN_COMPARISON = ("pgmif_literal",)  # shown only where starts are compared
T1W, T2W = 0, 1  # positions in the manifest's modality order
CONTROL_SIGMA_PX = 1.0
GPU_BATCH = 32  # slices

Sources = Float[Tensor, "b m h w"]
Fused = Float[Tensor, "b 1 h w"]
Weights = str | Path | Generator | FoldedGenerator | PlusSettings


def average(sources: Sources) -> Fused:
    """Direct average of the sources (the "direct average" of the paper's Figure 3)."""
    return sources.mean(dim=1, keepdim=True)


def pixelwise_weighted_average(sources: Sources) -> Fused:
    """PWA: each source weighted by its own intensity, Σx² / Σx (Eq. 6); 0 where all are 0."""
    total = sources.sum(dim=1, keepdim=True)
    weighted = sources.square().sum(dim=1, keepdim=True)
    return torch.where(total > 0, weighted / torch.where(total > 0, total, 1), 0)


def maximum_of_images(sources: Sources) -> Fused:
    """MoI: the brightest source at each pixel (Eq. 7)."""
    return sources.amax(dim=1, keepdim=True)


def _blur(image: Fused, sigma_px: float) -> Fused:
    reach = int(4 * sigma_px + 0.5)
    x = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (x / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(image, (reach,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1))


def t1w(sources: Sources) -> Fused:
    """T1w untouched: the row that every fused image must beat."""
    return sources[:, T1W : T1W + 1]


def t2w(sources: Sources) -> Fused:
    """T2w untouched: the row that every fused image must beat."""
    return sources[:, T2W : T2W + 1]


def t2w_blurred(sources: Sources) -> Fused:
    """Control: T2w after a Gaussian of 1 px. Raises CNR without knowing anything about tumours."""
    return _blur(t2w(sources), CONTROL_SIGMA_PX)


def t2w_sharpened(sources: Sources) -> Fused:
    """Control: unsharp mask of T2w, 2·x − blur(x), cut to [0, 1]. Raises Q for the same reason."""
    image = t2w(sources)
    return (2 * image - _blur(image, CONTROL_SIGMA_PX)).clamp(0, 1)


def t2w_standardised(sources: Sources) -> Fused:
    """Control: T2w with the quartiles of every slice's tissue brought to one place, nothing fused.

    PGMIF+ does this first: what it gains by this alone is not due to fusion.
    """
    return standardised(t2w(sources))


def load_generator(path: str | Path) -> Generator:
    """Generator from a .safetensors file written by training (no pickle is ever read).

    Raises ValueError where the file is foreign, truncated, or does not fit its own description.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: expected trained weights (.safetensors), found no file. `make reproduce` leaves "
            "them in results/<run>/02_training/<method>/weights.safetensors."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: expected safetensors weights, found: {error}") from error
    if "generator" not in metadata:
        raise ValueError(
            f"{path}: expected weights written by pgmif training (metadata 'generator'), found "
            f"metadata {sorted(metadata)}"
        )
    generator = _described(path, metadata)
    foreign = [n for n, t in tensors.items() if not t.is_floating_point() and "num_batches" not in n]
    if foreign:
        raise ValueError(f"{path}: expected weights of floating numbers, found {foreign[0]} of "
                         f"{tensors[foreign[0]].dtype}")
    try:
        generator.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: the tensors do not fit the generator: {error}") from error
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ValueError(f"{path}: expected finite weights, found NaN or infinite ones in {bad[0]} and "
                         f"{len(bad) - 1} others; the training diverged. Train again.")
    # the layout in which convolutions are fastest, on CPU and GPU
    generator = generator.to(memory_format=torch.channels_last).eval()
    with torch.inference_mode():
        grey = torch.full((1, generator.settings["modalities"], 16, 16), 0.5)
        if not torch.isfinite(generator(grey)).all():
            raise ValueError(f"{path}: expected weights that give an image, found that they give NaN or "
                             "infinite intensities; the training diverged. Train again.")
    return generator


def _described(path: Path, metadata: dict[str, str]) -> Generator:
    """The generator that a file describes, untrained. Raises ValueError where it describes none."""
    try:
        settings, training = (json.loads(metadata.get(name, "{}")) for name in ("generator", "training"))
        if not isinstance(settings, dict) or not isinstance(training, dict):
            raise TypeError("no description")
        method, sequences = training.get("method", ""), training.get("sequences", [])
        if not isinstance(method, str) or not isinstance(sequences, list) \
                or not all(isinstance(name, str) for name in sequences):
            raise TypeError("method and sequences are no names")
        generator = Generator(**settings)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected the description of a generator that this version knows, found "
            f"{metadata['generator'][:80]!r}: {error}"
        ) from error
    generator.method, generator.sequences = method, tuple(sequences)
    return generator


def fuse_learned(
    sources: Sources, weights: str | Path | Generator | FoldedGenerator, batch: int = 0
) -> Fused:
    """Fuse slices with a trained generator, `batch` at a time; 0 chooses what the device does best.

    On a CPU that is one: the maps of a single slice stay in its cache.
    """
    if isinstance(weights, str | Path):
        weights = load_generator(weights)
    folded = weights if isinstance(weights, FoldedGenerator) else FoldedGenerator(weights)
    device = folded.device
    with torch.inference_mode():
        parts = sources.split(batch or (1 if device.type == "cpu" else GPU_BATCH))
        return torch.cat([folded(part.to(device)).to(sources.device) for part in parts])


# what made an image: a source untouched; a trained network; a closed form with numbers fitted on
# training patients; a formula of the paper; a classical algorithm; a control that any filter could
# give; a program outside this package
KINDS = ("source", "learned", "fitted", "rule", "classical", "control", "outside")


@dataclass(frozen=True)
class Method:
    """A fusion method: `label` for figures, `kind` one of KINDS."""

    name: str
    label: str
    kind: str
    rule: Callable[[Tensor], Tensor] | None = None

    @property
    def needs_weights(self) -> bool:
        """Whether something made from training patients must be given."""
        return self.kind in ("learned", "fitted")

    def __call__(
        self, sources: Sources, weights: Weights | None = None
    ) -> Fused:
        expect_image("sources", sources, "(batch, modality ≥ 2, height, width)", 4)
        if sources.ndim != 4 or sources.shape[1] < 2:
            raise ValueError(
                "expected sources (batch, modality ≥ 2, height, width), found shape "
                f"{tuple(sources.shape)}"
            )
        expect_unit_range("sources", sources)
        if self.rule is not None:
            return self.rule(sources)
        if weights is None:
            raise ValueError(
                f"{self.name} is learned: pass weights=, a .safetensors file made by 02_training"
                if self.kind == "learned" else
                f"{self.name} is fitted: pass weights=, the settings.json made by 10_pgmif_plus"
            )
        if self.kind == "fitted":
            known = isinstance(weights, PlusSettings)
            return fuse_plus(sources, weights if known else read_settings(weights))
        return fuse_learned(sources, weights)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("t1w", "T1w", "source", t1w),
        Method("t2w", "T2w", "source", t2w),
        Method("pgmif", "PGMIF", "learned"),
        Method("pgmif_plus", "PGMIF+", "fitted"),
        Method("gmmci", "GMMCI", "learned"),
        Method("dlmwl", "DLMWL", "learned"),
        Method("average", "Direct average", "rule", average),
        Method("pwa", "PWA", "rule", pixelwise_weighted_average),
        Method("moi", "MoI", "rule", maximum_of_images),
        Method("pca", "PCA", "classical", principal_components),
        Method("laplacian", "Laplacian pyramid", "classical", laplacian_pyramid),
        Method("wavelet", "Wavelet", "classical", wavelet),
        Method("guided", "Guided filter", "classical", guided_filter),
        Method("poisson", "Gradient domain", "classical", gradient_domain),
        Method("t2w_blurred", "T2w blurred", "control", t2w_blurred),
        Method("t2w_sharpened", "T2w sharpened", "control", t2w_sharpened),
        Method("t2w_standardised", "T2w standardised", "control", t2w_standardised),
        Method("pgmif_literal", "PGMIF, literal start", "learned"),
    )
}


def _source(sources: Sources, position: int) -> Fused:
    return sources[:, position : position + 1]


# what tables and figures may show: the methods, and further sources such as ceT1w, after T2w
SHOWN_METHODS: dict[str, Method] = {
    **{name: METHODS[name] for name in ("t1w", "t2w")},
    **{m.lower(): Method(m.lower(), m, "source") for m in FURTHER_MODALITIES},
    **METHODS,
}


def method_named(name: str) -> Method:
    """A method of tables and figures; a name that is unknown here is one from outside the package."""
    return SHOWN_METHODS.get(name) or Method(name, name, "outside")


def ordered_methods(names: Iterable[str]) -> list[str]:
    """The methods present, in the order of `SHOWN_METHODS`; then those from outside, by name."""
    present = set(names)
    known = [name for name in SHOWN_METHODS if name in present]
    return known + sorted(present.difference(known))


def compared_methods(modalities: Sequence[str]) -> dict[str, Method]:
    """The rows of a cohort's comparison: every source of it untouched, then all other methods."""
    sources = {
        m.lower(): Method(m.lower(), m, "source", partial(_source, position=k))
        for k, m in enumerate(modalities)
    }
    return {**sources, **{n: m for n, m in METHODS.items() if m.kind != "source"}}
