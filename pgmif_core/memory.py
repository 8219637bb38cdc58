"""Memory that a process frees stays with it, so that the next iteration finds it where it was."""

import ctypes
import sys
from functools import cache

TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of glibc's malloc.h
KEPT_BYTES, OWN_BYTES = 512 << 20, 64 << 20


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep up to 512 MiB that are free; whether it does (elsewhere nothing changes).

    By default it gives every large map back to the system, which clears each page before handing
    it out again: a tenth of a training iteration and more. Arrays over 64 MiB are given back as ever.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return bool(mallopt(TRIM, KEPT_BYTES) and mallopt(MMAP, OWN_BYTES))
