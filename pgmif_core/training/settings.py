"""What decides the weights of a training besides the data, and the content term of every method."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature

from torch import Tensor

from pgmif_core import losses
from pgmif_core.methods.names import LEARNED, NAMES


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the weights, besides the data. `method` names the content term."""

    method: str = "pgmif"
    modalities: int = 2
    sequences: tuple[str, ...] = ()  # their names, so that weights are not put to others
    channels: int = 16
    start: str = "mean"
    epsilon: float = 3e-2
    gradient_weights: tuple[float, ...] = (1.0, 8.0)
    content_scale: float = 1.0
    summed: bool = False  # the content term over the pixels of a crop instead of their mean
    adversarial: bool = True
    iterations: int = 200
    batch_size: int = 8
    crop: int = 96
    learning_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    gradient_penalty: float = 0.0  # of the discriminators, on real and on fused images
    warm_up: int = 0  # iterations: the discriminators learn alone, then the generator ever faster
    anneal: bool = True
    average_weights: bool = True
    checkpoint_every: int = 25
    seed: int = 0
    device: str = "cpu"
    precision: str = "32-true"
    compiled: bool = False  # by torch.compile: needs a C++ compiler, and a minute of its own


def content_term(method: str) -> Callable[..., Tensor]:
    """The loss that a learned method's row names. Raises ValueError where no method is called so."""
    if method not in LEARNED:
        raise ValueError(f"no learned method is called {method!r}")
    loss: Callable[..., Tensor] = getattr(losses, NAMES[method].loss)
    return loss


def content_loss(settings: TrainingSettings) -> Callable[[Tensor, Tensor], Tensor]:
    """The method's content term (fused, sources) → scalar, before scaling, given of `weights` and
    `epsilon` what it takes. Raises ValueError where no learned method is called so.
    """
    loss = content_term(settings.method)
    known = {"weights": settings.gradient_weights, "epsilon": settings.epsilon}
    taken = signature(loss).parameters
    return partial(loss, **{name: value for name, value in known.items() if name in taken})
