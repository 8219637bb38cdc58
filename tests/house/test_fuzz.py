"""`make test SUITE=fuzz` itself: a seed makes the same files, and what is wrong is seen."""

import subprocess
import sys

import pytest

FAULTS = """
import sys
sys.path[:0] = ["tests", "tests/fuzz"]
from pathlib import Path
from types import SimpleNamespace
from worker import fault
for line, code, text, exception in (
    ("check", 2, "mutant-T1w.nii: expected a, found b", SystemExit(2)),
    ("evaluate", 0, "CNR 1.2", None),
    ("check", 2, "mutant-T1w.nii: that is wrong", SystemExit(2)),
    ("check", 2, "expected a, found b", SystemExit(2)),
    ("fuse", 1, "mutant-T1w.nii: expected a, found b", SystemExit(1)),
    ("check", 1, "", KeyError("x")),
    ("evaluate", 0, "CNR nan", None),
):
    done = SimpleNamespace(exit_code=code, output=text, exception=exception)
    print(int(bool(fault([line], done, Path("mutant-T1w.nii"), Path("job")))), end="")
"""
MUTANTS = """
import hashlib, sys, tempfile
sys.path[:0] = ["tests", "tests/fuzz"]
from pathlib import Path
import numpy as np
from good import write_good
from worker import DAMAGE
base = write_good(Path(tempfile.mkdtemp()) / "base")
total = hashlib.sha256()
for kind, make in DAMAGE.items():
    for number in range(25):
        job = base / f"{kind}-{number}"
        job.mkdir()
        name = "gtv" if kind == "rtstruct" else "T2w"
        make(base, job, name, np.random.default_rng([0, number]))
        for file in sorted(p for p in job.rglob("*") if p.is_file()):
            total.update(file.name.encode() + file.read_bytes())
print(total.hexdigest())
"""


def said(root, code):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_is_no_helpful_refusal_is_a_fault(root):
    assert said(root, FAULTS) == "0011111"


@pytest.mark.slow
def test_a_seed_makes_the_same_files(root):
    assert said(root, MUTANTS) == said(root, MUTANTS)
