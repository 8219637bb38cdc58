"""The U-Net's agreement, summed up over seeds and patients."""

import numpy as np
import pytest

from pgmif.steps.delineation import seed_means, unet_summary


def test_summary_tells_seeds_from_patients():
    import pandas as pd

    table = pd.DataFrame([
        {"subject": s, "method": "t2w", "seed": k, "dice": d + 0.1 * k, "hd95_mm": 5.0, "missed": False}
        for s, d in (("a", 0.2), ("b", 0.4), ("c", 0.6)) for k in (0, 1)
    ])
    row = unet_summary(table).iloc[0]
    assert row["dice"] == pytest.approx(0.45)
    assert row["seed_sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert row["patient_sd"] == pytest.approx(0.2)
    assert row["missed"] == 0
    assert list(seed_means(table)["dice"]) == pytest.approx([0.25, 0.45, 0.65])
