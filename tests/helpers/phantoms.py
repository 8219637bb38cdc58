"""Tiny phantoms, made once."""

from functools import cache

from pgmif_core.phantom import PhantomSize, make_phantom

TINY = PhantomSize(slices=8, thickness_mm=7.0, pixel_mm=2.4)


@cache
def tiny(k):
    """The k-th tiny phantom, with ceT1w."""
    return make_phantom(20240001 + k, TINY, further=("ceT1w",))
