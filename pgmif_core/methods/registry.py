"""Every fusion method under one name and one call: `METHODS["pwa"](sources)`.

`sources` is (batch, modality, height, width) in [0, 1], T1w and T2w first; the result is
(batch, 1, height, width). Learned and fitted methods also need `weights`: a .safetensors file or a
generator, or the .json file of fitted settings. The table of their names is `names.NAMES`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from pgmif_core.chunks import in_chunks
from pgmif_core.expected import expect_image, expect_unit_range
from pgmif_core.methods import classical, rules
from pgmif_core.methods.learned import fuse_learned
from pgmif_core.methods.names import NAMES, MethodName, method_named
from pgmif_core.methods.pgmif_plus import PlusSettings, fuse_plus, read_settings
from pgmif_core.methods.rules import Fused, Sources
from pgmif_core.networks.folded import FoldedGenerator
from pgmif_core.networks.generator import Generator

Weights = str | Path | Generator | FoldedGenerator | PlusSettings


@dataclass(frozen=True)
class Method(MethodName):
    """A row of the table of names that can be called: by its rule, or with weights.

    >>> METHODS["moi"](Tensor([[[[0.25]], [[0.75]]]])).item()
    0.75
    """

    rule: Callable[[Tensor], Tensor] | None = None

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
            return in_chunks(self.rule, sources)
        if weights is None:
            raise ValueError(
                f"{self.name} is learned: pass weights=, a .safetensors file made by 02_training"
                if self.kind == "learned" else
                f"{self.name} is fitted: pass weights=, the settings.json made by 03_pgmif_plus"
            )
        if self.kind == "fitted":
            settings = weights if isinstance(weights, PlusSettings) else read_settings(weights)
            return in_chunks(lambda part: fuse_plus(part, settings), sources)
        return fuse_learned(sources, weights)


def _method(row: MethodName) -> Method:
    home = classical if row.kind == "classical" else rules
    return Method(**vars(row), rule=getattr(home, row.function) if row.function else None)


METHODS: dict[str, Method] = {name: _method(row) for name, row in NAMES.items()}


def _source(sources: Sources, position: int) -> Fused:
    return sources[:, position : position + 1]


def compared_methods(modalities: Sequence[str]) -> dict[str, Method]:
    """The rows of a cohort's comparison: every source of it untouched, then all other methods.

    >>> list(compared_methods(("T1w", "T2w", "ceT1w")))[:4]
    ['t1w', 't2w', 'cet1w', 'pgmif']
    """
    sources = {
        m.lower(): Method(**vars(method_named(m.lower())), rule=partial(_source, position=k))
        for k, m in enumerate(modalities)
    }
    return {**sources, **{n: m for n, m in METHODS.items() if m.kind != "source"}}
