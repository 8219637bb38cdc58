"""The table of CNR stands beside the printed one."""

import numpy as np
from helpers.tidy_tables import NAMES, tidy

from pgmif.steps.cnr_boxplots import summarize_cnr


def test_summary_stands_beside_the_printed_numbers(published):
    summary = summarize_cnr(tidy("cnr", dict.fromkeys(NAMES, 1.0)), published).set_index("method")
    assert summary.loc["pgmif", "paper_median"] == 1.208
    assert summary.loc["t1w", "paper_cv_percent"] == 58.6
    assert np.isnan(summary.loc["t2w_blurred", "paper_median"])
    assert np.isnan(summary.loc["pgmif", "p_versus_pgmif"])
