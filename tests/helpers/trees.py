"""Folders of patients as `scan` finds them, and what it says of them."""

import csv

from typer.testing import CliRunner

from pgmif.cli import app
from pgmif.cohort.layouts import scan_folder, unused


def tree(folder, *names):
    """Empty files of these names, with their folders."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def found(folder, layout="auto", patterns=None):
    """Subject → column → file name, and all notes together."""
    _, patients = scan_folder(folder, layout, patterns)
    files = {p.subject: {c: f.relative_to(folder).as_posix() for c, f in p.files.items()}
             for p in patients}
    return files, "; ".join([note for p in patients for note in p.notes] + unused(folder, patients))


def scan(folder, *options, code=0):
    """What `pgmif scan` says, and the rows of the manifest that it writes."""
    done = CliRunner().invoke(app, ["scan", str(folder), *options])
    assert done.exit_code == code, done.output
    manifest = folder / "data_manifest.csv"
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    rows = list(csv.DictReader(lines))
    return " ".join(done.output.split()), rows


def patient(name, *more):
    """Names of a patient's files."""
    return [f"{name}/T1w.nii.gz", f"{name}/T2w.nii.gz", f"{name}/gtv.nii.gz", *more]


def bids(folder, sessions=("ses-1",), masks=(("ses-1", "GTV"),), subject="sub-01"):
    """A BIDS tree of a subject: T1w and T2w of every session, and masks of session and label."""
    for session in sessions:
        start = f"{subject}/{session}/anat/{subject}_{session}"
        tree(folder, *(f"{start}_{suffix}.nii.gz" for suffix in ("T1w", "T2w")))
    for session, label in masks:
        tree(folder, f"derivatives/gtv/{subject}/{subject}_{session}_label-{label}_mask.nii.gz")
    return folder
