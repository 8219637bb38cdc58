"""Where screenshots go, and the report of a finished run."""

import pytest
from helpers.reports import clone, page  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def screenshots(root):
    folder = root / "results" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
