"""The report's tables are in words."""

import pandas as pd

from pgmif.report.tables import TESTS, heading, readable


def test_tables_are_in_words(root, page):
    for name in TESTS:
        for folder in ("phantom", "phantom-paper", "real_heads"):
            path = root / "figures" / folder / f"{name}.csv"
            if folder == "phantom-paper" and not path.exists():
                continue  # of make evidence, which the paper's own length has not been given
            table = readable(pd.read_csv(path))
            assert not [c for c in table if "_" in c], path
            for column in {"method", "measure", "against"} & set(table):
                assert not table[column].astype(str).str.contains("_").any(), path
    assert [heading(c) for c in ("rigid_mm", "gtv_ml", "registration_seconds", "side", "mm")] == [
        "rigid, mm", "gtv, ml", "registration, s", "side", "mm"]
    text = page.read_text()
    assert "P, Wilcoxon" in text
    assert "<td class=\"\">T2w blurred</td>" in text
