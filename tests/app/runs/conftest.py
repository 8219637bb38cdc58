"""The finished run of the smoke profile."""

import pytest
from helpers.pipelines import run


@pytest.fixture(scope="session")
def smoke(root):
    """The results of a finished run of the smoke profile."""
    done = run(root, "--profile", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "results" / "phantom-smoke"
