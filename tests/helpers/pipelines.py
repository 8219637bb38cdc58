"""Runs of the pipeline as a process, and the figures that each must make."""

import subprocess
import sys

import pytest


def run(root, *arguments):
    """`make reproduce` with arguments, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pgmif", "reproduce", *arguments],
        cwd=root, capture_output=True, text=True, check=False,
    )


of_the_smoke_run = pytest.mark.xdist_group("smoke")  # one process: they read and write one folder

FIGURES = (
    "figure_0_phantoms", "figure_1_pgmif_architecture", "figure_2_dlmwl_architecture",
    "figure_3_baselines", "figure_4_patients", "figure_5a_cnr", "figure_5b_sobel", "figure_7_frontier",
    "figure_7_metrics", "figure_10_ideas", "figure_10_steps", "table_claims",
)
