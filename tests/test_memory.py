"""A process keeps what it frees, up to a bound, and gives large arrays back."""

import subprocess
import sys

import pytest

from pgmif_core import memory

MEASURE = """
import ctypes, resource, sys
import numpy as np
from pgmif_core.memory import OWN_BYTES, keep_freed_memory

def faults(count, size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(size, np.uint8) for _ in range(count)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

if "keep" in sys.argv and not keep_freed_memory():
    raise SystemExit(77)
faults(4, 20 << 20)
few = faults(4, 20 << 20)
before = resident()
large = np.ones(2 * OWN_BYTES, np.uint8)
del large
print(few, resident() - before)
"""


def measured(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return map(int, done.stdout.split())


def test_freed_maps_stay_and_large_arrays_go():
    kept, held = measured("keep")
    given_back, _ = measured()
    assert kept < given_back / 20
    assert held < memory.OWN_BYTES // 4


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_nothing_changes(platform, monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", platform)
    assert memory.keep_freed_memory.__wrapped__() is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory.keep_freed_memory.__wrapped__() is False
