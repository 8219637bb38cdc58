"""Damage to the bytes of any file, and values that are seldom right; drawn from a seed."""

from typing import Any

import numpy as np

Rng = np.random.Generator
EDGES = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, -1, -2, -128, -32768, 65535, 2**31 - 1, -(2**31))
FLOATS = (0.0, -0.0, 1e-30, 1e30, -1.0, 1e38, float("nan"), float("inf"), float("-inf"), 1e-4, 3e4)
WORDS = ("", "0", "-1", "nan", "inf", "-inf", "1e400", "1e-400", "999999999999999999999", "abc", "ü",
         "1 2", "(1,0)", "none", "\0", "../../etc/passwd", "/dev/zero", "%d", "LIST", "\\", "0x10",
         "1,5")


def pick(rng: Rng, items: Any) -> Any:
    """One of several."""
    return items[int(rng.integers(len(items)))]


# bytes of any format

def flip(data: bytearray, rng: Rng, first: int = 0, last: int = 0) -> None:
    """A few bytes in a range become others."""
    last = min(last or len(data), len(data))
    for _ in range(int(rng.integers(1, 9))):
        data[int(rng.integers(first, last))] = int(rng.integers(256))


def cut(data: bytearray, rng: Rng) -> None:
    del data[int(rng.integers(len(data))) :]


def blank(data: bytearray, rng: Rng) -> None:
    start, length = int(rng.integers(len(data))), int(rng.integers(1, len(data)))
    data[start : start + length] = bytes([pick(rng, (0, 255, 32))]) * len(data[start : start + length])


def lose(data: bytearray, rng: Rng) -> None:
    """A stretch is missing: all that follows moves forward."""
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 600))]


def insert(data: bytearray, rng: Rng) -> None:
    start = int(rng.integers(len(data)))
    data[start:start] = rng.bytes(int(rng.integers(1, 600)))


def double(data: bytearray, rng: Rng) -> None:
    data.extend(bytes(data))


ANY = (flip, cut, blank, lose, insert, double)
