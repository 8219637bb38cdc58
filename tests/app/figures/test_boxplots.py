"""Boxplots name the cohort and the methods that they show."""

from helpers.tidy_tables import NAMES, tidy
from matplotlib import pyplot as plt

from pgmif.figures.boxplots import boxplots
from pgmif_core.methods.registry import METHODS


def test_boxplots_name_the_cohort_and_leave_the_literal_start_out(published):
    table = tidy("cnr", dict.fromkeys([*NAMES, "pgmif_literal"], 1.0))
    figure = boxplots(table, ["cnr"], [published.query("metric == 'cnr'")], ["CNR"], "cohort X")
    labels = [t.get_text().replace("\n", " ") for t in figure.axes[0].get_xticklabels()]
    assert labels == [METHODS[n].label for n in METHODS if n in NAMES]
    assert "cohort X: 10 test patients" in figure.get_supxlabel()
    plt.close("all")
