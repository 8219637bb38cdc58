"""published/results.csv holds the numbers that the paper prints."""

import pytest

# typed a second time from the Results, so that one slip of the hand shows
PRINTED = {
    ("cnr", ""): {
        "pgmif": (1.208, 1.175, 1.381, 31.4), "t1w": (1.044, 0.957, 1.042, 58.6),
        "t2w": (1.111, 1.023, 1.182, 43.9), "gmmci": (0.967, 0.795, 0.982, 36.8),
        "dlmwl": (0.883, 0.832, 0.943, 52.1), "pwa": (0.875, 0.806, 0.972, 42.6),
        "moi": (0.863, 0.823, 0.991, 62.3),
    },
    ("sobel", "T1w"): {
        "pgmif": (0.594, 0.579, 0.607), "gmmci": (0.491, 0.458, 0.507),
        "dlmwl": (0.292, 0.248, 0.317), "pwa": (0.423, 0.383, 0.455), "moi": (0.437, 0.406, 0.479),
    },
    ("sobel", "T2w"): {
        "pgmif": (0.692, 0.651, 0.718), "gmmci": (0.495, 0.487, 0.533),
        "dlmwl": (0.191, 0.179, 0.243), "pwa": (0.448, 0.414, 0.463), "moi": (0.540, 0.521, 0.636),
    },
}


@pytest.mark.parametrize("key", PRINTED)
def test_published_numbers_are_the_printed_ones(published, key):
    assert len(published) == 17
    rows = published.fillna({"reference": ""}).set_index(["metric", "reference"]).loc[key]
    columns = ["median", "q1", "q3", *(["cv_percent"] if key[0] == "cnr" else [])]
    found = {r["method"]: tuple(r[c] for c in columns) for _, r in rows.iterrows()}
    assert found == PRINTED[key]
