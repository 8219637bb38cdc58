"""Shapes are checked while tests run; a tiny phantom and the real patients as fixtures."""

import os
from pathlib import Path

import helpers.shapes  # noqa: F401  which the hook names
import matplotlib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from jaxtyping import install_import_hook

matplotlib.use("Agg")
# beartype reads every annotation of the core; outside the tests they cost nothing. The hook stays on:
# modules are imported later, by the tests.
install_import_hook(["pgmif_core"], "helpers.shapes.checked")

from pgmif_core.phantom import Phantom, PhantomSize, make_phantom  # noqa: E402

collect_ignore = ["fuzz", "helpers", "references"]  # without tests, and without doctests
ROOT = Path(__file__).parents[1]
TINY = PhantomSize(slices=8, thickness_mm=7.0, pixel_mm=2.4)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return make_phantom(20240071, TINY)


@pytest.fixture(scope="session")
def deformed() -> Phantom:
    """A tiny phantom on which the B-spline improves on the rigid stage."""
    return make_phantom(20240073, TINY)


@pytest.fixture(scope="session")
def odd() -> Phantom:
    """A phantom of twelve slices, of another head than the tiny ones."""
    return make_phantom(5, PhantomSize(12, 6.0, 2.4))


@pytest.fixture
def tumour(phantom) -> np.ndarray:
    """Where the phantom's tumour is."""
    return sitk.GetArrayFromImage(phantom.gtv) > 0


@pytest.fixture
def blob() -> np.ndarray:
    """A square of 10×10 on a plane of 33×41."""
    pixels = np.zeros((33, 41), np.uint8)
    pixels[20:30, 20:30] = 1
    return pixels


@pytest.fixture
def published(root) -> pd.DataFrame:
    """The numbers that the paper prints."""
    return pd.read_csv(root / "published" / "results.csv")


@pytest.fixture(scope="session")
def real_mri() -> Path:
    folder = os.environ.get("PGMIF_REAL_MRI", "")
    if not folder:
        pytest.skip("PGMIF_REAL_MRI is not set: the six real patients are not part of this repository")
    path = Path(folder)
    assert (path / "data_manifest.csv").is_file(), f"PGMIF_REAL_MRI={folder} has no data_manifest.csv"
    return path


def pytest_collection_modifyitems(items):
    """The longest first: the real patients' tests take minutes, and none should start last and alone."""
    items.sort(key=lambda item: item.get_closest_marker("real") is None)


def pytest_collection_finish(session):
    """Tests of one group must share a process, and xdist says nothing where it cannot see to that."""
    if not session.config.getoption("loadgroup", False):
        return
    grouped = [i.nodeid for i in session.items if i.get_closest_marker("xdist_group")]
    apart = [name for name in grouped if "@" not in name]
    if apart:
        raise pytest.UsageError(f"xdist does not keep groups together with this pytest: {apart}")
