"""Walk a volume a few slices at a time: a whole one leaves the processor's caches at every operation."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SLICES_AT_ONCE = 8
Volume = TypeVar("Volume", Tensor, NDArray)


def in_chunks(
    work: Callable[[Volume], Volume], volume: Volume, size: int = SLICES_AT_ONCE
) -> Volume:
    """`work(volume)` for work that treats every slice (axis 0) by itself, `size` slices at a time.

    The result is the same. What is made on the way stays small enough to be used again from the cache.
    Raises ValueError where `size` is not positive.

    >>> in_chunks(lambda part: 2 * part, np.arange(5), size=2).tolist()
    [0, 2, 4, 6, 8]
    """
    if size < 1:
        raise ValueError(f"size: expected at least 1 slice at a time, found {size}")
    if len(volume) <= size:
        return work(volume)
    parts = [work(volume[k : k + size]) for k in range(0, len(volume), size)]
    return torch.cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts)
