"""The process of a notebook keeps what it frees, up to a bound, and gives large arrays back."""

import os
import platform
import subprocess
import sys

import pytest

from pgmif.runs.notebooks import KEEP_FREED_MEMORY, rule_command

MEASURE = """
import resource
import numpy as np

def faults(count, size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(size, np.uint8) for _ in range(count)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

faults(4, 20 << 20)
few = faults(4, 20 << 20)
before = resident()
large = np.ones(128 << 20, np.uint8)
del large
print(few, resident() - before)
"""


def measured(settings):
    values = dict(pair.split("=") for pair in settings.split())
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True,
                          env=plain | values)
    return map(int, done.stdout.split())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the variables are of glibc")
def test_freed_maps_stay_and_large_arrays_go():
    kept, held = measured(KEEP_FREED_MEMORY)
    given_back, _ = measured("")
    assert kept < given_back / 20
    assert held < (64 << 20) // 4


def test_every_rule_starts_its_process_so():
    assert rule_command("02_training").startswith(f"{KEEP_FREED_MEMORY} OMP_NUM_THREADS={{threads}} ")
