"""Shapes are checked while tests run; a tiny phantom and the real patients as fixtures."""

import os
from pathlib import Path

import helpers.shapes  # noqa: F401  which the hook names
import matplotlib
import pytest
from jaxtyping import install_import_hook

matplotlib.use("Agg")
# beartype reads the jaxtyping annotations; outside the tests they cost nothing. The hook stays on:
# modules are imported later, by the tests.
install_import_hook(
    ["pgmif_core.gradients", "pgmif_core.losses", "pgmif_core.networks", "pgmif_core.methods"],
    "helpers.shapes.checked",
)

from pgmif_core.phantom import Phantom, PhantomSize, make_phantom  # noqa: E402

ROOT = Path(__file__).parents[1]
TINY = PhantomSize(slices=8, thickness_mm=7.0, pixel_mm=2.4)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return make_phantom(20240071, TINY)


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
