"""Tidy tables as the steps write them, made up."""

import numpy as np
import pandas as pd


def spread_table():
    """The ablation of the seed, with numbers whose spread is known."""
    rng = np.random.default_rng(0)
    return pd.DataFrame([
        {"ablation": "seed", "value": s, "method": m, "subject": f"p{k}", "cnr": k + 10 * s,
         "q_t1w": rng.random(), "q_t2w": rng.random(), "correlation": 1.0}
        for s in (0, 1, 2) for m in ("pgmif", "gmmci") for k in range(5)
    ])


NAMES = ["t1w", "t2w", "pgmif", "gmmci", "dlmwl", "pwa", "moi", "t2w_blurred", "t2w_sharpened"]


def tidy(value, means, n=10, reference=None):
    """A value of n patients by each method, close to its mean."""
    rng = np.random.default_rng(0)
    rows = [
        {"subject": f"s{k}", "method": m, value: mean + 0.05 * rng.standard_normal()}
        for m, mean in means.items() for k in range(n)
    ]
    table = pd.DataFrame(rows)
    return table.assign(reference=reference) if reference else table
