"""The table of methods: what each needs, and a row for every modality."""

import pytest
import torch

from pgmif_core.methods.names import SHOWN
from pgmif_core.methods.registry import METHODS, compared_methods


def test_one_modality_and_missing_weights_are_refused():
    for name in METHODS:
        with pytest.raises(ValueError, match="modality ≥ 2"):
            METHODS[name](torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match="pass weights="):
        METHODS["pgmif"](torch.rand(1, 2, 8, 8))


def test_a_third_modality_is_a_row_of_its_own():
    x = torch.rand(2, 3, 9, 7)
    rows = compared_methods(("T1w", "T2w", "CT"))
    assert list(rows)[:4] == ["t1w", "t2w", "ct", "pgmif"]
    assert set(rows) - set(METHODS) == {"ct"}
    for position, name in enumerate(("t1w", "t2w", "ct")):
        torch.testing.assert_close(rows[name](x)[:, 0], x[:, position])
    assert [n for n in SHOWN if n in rows] == list(rows)
    assert compared_methods(("T1w", "T2w")).keys() == METHODS.keys()
