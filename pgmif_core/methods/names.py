"""The one table of fusion methods: what each is called, what made it, what it needs. No torch here.

Commands, parameters, the Snakefile, figures, tables, the documentation and the release read it. To add
a classical method, write its function in `classical` and one row here; to add a learned one, write its
content term in `pgmif_core.losses` and one row here, and train it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgmif_core.images.modalities import FURTHER_MODALITIES

# what made an image: a source untouched; a trained network; a closed form with numbers fitted on
# training patients; a formula of the paper; a classical algorithm; a control that any filter could
# give; a program outside this package
KINDS = ("source", "learned", "fitted", "rule", "classical", "control", "outside")
TARGET = "pgmif"  # the method whose superiority the paper claims


@dataclass(frozen=True)
class MethodName:
    """A row of the table; `kind` is one of KINDS, `label` what figures say.

    `function`: its name in `rules` or `classical`. Of learned methods `loss`: the name of the content
    term in `pgmif_core.losses`; `scale`: its weight against the adversarial terms, a number or the
    name of the parameter that has it; `rate`: the parameter with Adam's learning rate; `own`: settings
    of its training that no parameter changes. `compared`: whether it stands in the comparison;
    `printed`: whether the paper prints numbers of it.

    >>> NAMES["pwa"].label, NAMES["pwa"].needs_weights, NAMES["pgmif"].needs_weights
    ('PWA', False, True)
    """

    name: str
    label: str
    kind: str
    function: str = ""
    loss: str = ""
    scale: str | float = 1.0
    rate: str = "learning_rate"
    own: Mapping[str, Any] = field(default_factory=dict, hash=False)
    compared: bool = True
    printed: bool = False

    @property
    def needs_weights(self) -> bool:
        """Whether something made from training patients must be given."""
        return self.kind in ("learned", "fitted")


# the paper's words and nothing else: Eq. 2 summed over pixels, one rate, the last weights
LITERAL = {
    "start": "none", "epsilon": 1e-6, "summed": True, "learning_rate": 2e-4, "discriminator_rate": 2e-4,
    "gradient_penalty": 0.0, "warm_up": 0, "anneal": False, "average_weights": False,
}

NAMES: dict[str, MethodName] = {row.name: row for row in (
    MethodName("t1w", "T1w", "source", "t1w", printed=True),
    MethodName("t2w", "T2w", "source", "t2w", printed=True),
    MethodName("pgmif", "PGMIF", "learned", loss="weighted_gradient_loss", scale="gradient_scale",
               printed=True),
    MethodName("pgmif_plus", "PGMIF+", "fitted"),
    MethodName("gmmci", "GMMCI", "learned", loss="maximum_gradient_loss", scale="maximum_scale",
               printed=True),
    MethodName("dlmwl", "DLMWL", "learned", loss="intensity_weighted_mse", scale="mse_scale",
               rate="learning_rate_dlmwl", printed=True),
    MethodName("average", "Direct average", "rule", "average"),
    MethodName("pwa", "PWA", "rule", "pixelwise_weighted_average", printed=True),
    MethodName("moi", "MoI", "rule", "maximum_of_images", printed=True),
    MethodName("pca", "PCA", "classical", "principal_components"),
    MethodName("laplacian", "Laplacian pyramid", "classical", "laplacian_pyramid"),
    MethodName("wavelet", "Wavelet", "classical", "wavelet"),
    MethodName("guided", "Guided filter", "classical", "guided_filter"),
    MethodName("poisson", "Gradient domain", "classical", "gradient_domain"),
    MethodName("t2w_blurred", "T2w blurred", "control", "t2w_blurred"),
    MethodName("t2w_sharpened", "T2w sharpened", "control", "t2w_sharpened"),
    MethodName("t2w_standardised", "T2w standardised", "control", "t2w_standardised"),
    # shown only beside the method that settles
    MethodName("pgmif_literal", "PGMIF, literal", "learned", loss="weighted_gradient_loss",
               own=LITERAL, compared=False),
)}

LEARNED = tuple(row.name for row in NAMES.values() if row.kind == "learned")
NOT_IN_COMPARISON = tuple(row.name for row in NAMES.values() if not row.compared)
PRINTED = tuple(row.name for row in NAMES.values() if row.printed and row.name != TARGET)
# what fuses one patient by the command: not what is there to be beaten, nor what compares starts
FUSING = tuple(row.name for row in NAMES.values()
               if row.compared and row.kind not in ("source", "control"))
# what tables and figures may show: the methods, and further sources such as ceT1w, after T2w
SHOWN: dict[str, MethodName] = {
    **{name: NAMES[name] for name in ("t1w", "t2w")},
    **{m.lower(): MethodName(m.lower(), m, "source") for m in FURTHER_MODALITIES},
    **NAMES,
}


def method_named(name: str) -> MethodName:
    """A method of tables and figures; a name that is unknown here is one from outside the package.

    >>> method_named("moi").label, method_named("mine").kind
    ('MoI', 'outside')
    """
    return SHOWN.get(name) or MethodName(name, name, "outside")


def ordered_methods(names: Iterable[str]) -> list[str]:
    """The methods present, in the order of the table; then those from outside, by name.

    >>> ordered_methods(["mine", "pgmif", "t1w"])
    ['t1w', 'pgmif', 'mine']
    """
    present = set(names)
    known = [name for name in SHOWN if name in present]
    return known + sorted(present.difference(known))
