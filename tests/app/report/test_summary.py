"""How long a run took."""

from pgmif.report.summary import busy_seconds


def test_pauses_between_parts_of_a_run_do_not_count():
    assert busy_seconds([0, 5, 100], [10, 10, 1]) == 16
    assert busy_seconds([], []) == 0
