"""A finished run without hours of work: the committed figures of the phantoms, and small tables."""

import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from pgmif.report import write_report

PNG = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


def finished_run(root: Path, folder: Path, name: str, label: str) -> Path:
    """A clone in `folder` with one run that has finished; returns its results folder."""
    (folder / "params").mkdir(parents=True)
    (folder / "Snakefile").touch()
    shutil.copytree(root / "figures" / "phantom", folder / "figures" / name)
    base = folder / "results" / name
    for step in ("00_cohort", "01_preprocessing/qc", "10_claims", "notebooks"):
        (base / step).mkdir(parents=True)
    claims = pd.read_csv(root / "figures" / "phantom" / "table_claims.csv")
    claims.to_csv(base / "10_claims" / "claims.csv", index=False)
    patients = pd.DataFrame({
        "subject": ["sub-9", "sub-10", "sub-<11>"], "split": ["train", "test", "test"],
        "T1w": "secret/t1.nii.gz", "T2w": "secret/t2.nii.gz", "gtv": "secret/gtv.nii.gz",
        "source": "test", "license": "CC0-1.0",
    })
    patients.to_csv(base / "00_cohort" / "manifest.csv", index=False)
    table = patients[["subject", "split"]].assign(
        rigid_mm=[9.5, 12.25, 0.5], flags=["", "T1w far (12.2 mm)", ""]
    )
    table.to_csv(base / "01_preprocessing" / "preprocessing.csv", index=False)
    (base / "01_preprocessing" / "qc" / "sub-9.png").write_bytes(b"png")
    note = {"step": "10_claims", "cohort": label, "parameters": {"profile": "quick"}, "seconds": 1.5,
            "inputs": {"a.csv": "0" * 64}, "packages": {"torch": "2.13.0"}, "commit": "abc",
            "python": "3.11", "processor": "x", "threads": 2, "gpu": "none"}
    (base / "provenance.json").write_text(json.dumps({"10_claims": note}))
    (base / "parameters.yaml").write_text("epsilon: 0.05\nseed: 0\n")
    outputs = [
        nbformat.v4.new_output("display_data", {"image/png": PNG}),
        nbformat.v4.new_output("display_data", {"text/html": table.to_html()}),
        *(nbformat.v4.new_output("stream", text=f"{k} of 2 patients\n") for k in (1, 2)),
    ]
    source = 'save_figure(figure, run.figures, "figure_5a_cnr")'
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=outputs)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 04 Boxplots"), cell])
    nbformat.write(notebook, base / "notebooks" / "05_cnr_boxplots.ipynb")
    return base


LABEL = "synthetic phantom cohort"


@pytest.fixture(scope="session")
def clone(root, tmp_path_factory):
    """A clone with one finished run, `mine`."""
    folder = tmp_path_factory.mktemp("report") / "pgmif"
    finished_run(root, folder, "mine", LABEL)
    return folder


@pytest.fixture(scope="session")
def page(clone):
    """The report of that run."""
    return write_report(clone, "mine")
