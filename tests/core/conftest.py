"""Random volumes."""

import pytest
import torch


@pytest.fixture
def volumes():
    torch.manual_seed(0)
    return torch.rand(2, 1, 3, 5, 4, dtype=torch.float64), torch.rand(2, 2, 3, 5, 4, dtype=torch.float64)
