"""Nothing old passes for new: what is changed, what must run again, and what the pipeline runs again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
from helpers.cohorts import study

from pgmif.runs.notebooks import declared_parameters
from pgmif_core.images.volumes import write_image

RULES = ["cohort", "preprocessing", "training", "pgmif_plus", "baseline_comparison", "cnr_boxplots",
         "sobel_analysis", "frontier", "claims"]
ALL = set(RULES)
AFTER_COHORT = ALL - {"cohort"}
TRAINED = AFTER_COHORT - {"preprocessing"}
FUSED = TRAINED - {"training", "pgmif_plus"}
MEASURED = {"cnr_boxplots", "sobel_analysis", "frontier", "claims"}
RUN = ["--profile", "smoke", "--manifest", "study/m.csv", "--set", "run=stale"]


def pipeline(root, *more):
    return subprocess.run(
        [sys.executable, "-m", "pgmif", "reproduce", *RUN, *more], cwd=root, check=False,
        capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )


def planned(root, *options):
    """Rules that the pipeline would run."""
    done = pipeline(root, *options, "--", "--dry-run", "--quiet", "progress")
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^rule (\w+):", done.stdout + done.stderr, re.MULTILINE)) - {"all"}


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """A copy of the repository, in which a run of the study is finished."""
    copy = tmp_path_factory.mktemp("stale") / "repository"
    ignored = shutil.ignore_patterns(".git", ".venv", "results", ".snakemake", "_build", "__pycache__")
    shutil.copytree(root, copy, symlinks=True, ignore=ignored)
    study(copy / "study")
    done = pipeline(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(copy) == set()
    return copy


def older(path, content):
    """New content under a date of before, as `cp -p`, `rsync -a` and `tar` leave it."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9 * 86400))


def same_date(path, content):
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def changed_bytes(path):
    raw = bytearray(path.read_bytes())
    raw[-4000:-3000] = bytes(1000)
    return bytes(raw)


def replaced_volume(path):
    picture = sitk.ReadImage(str(path))
    write_image(sitk.Cast(picture * 1.01, sitk.sitkFloat32), path.with_name("x.nii.gz"))
    content = path.with_name("x.nii.gz").read_bytes()
    path.with_name("x.nii.gz").unlink()
    return content


def edited(old, new):
    def change(path):
        text = path.read_text()
        assert old in text, f"{path}: {old}"
        older(path, text.replace(old, new, 1).encode())
    return change


def cell(kind):
    def change(path):
        book = json.loads(path.read_text())
        found = next(c for c in book["cells"][2:] if c["cell_type"] == kind)
        found["source"] = [*found["source"], "\n\nvery_new = 1" if kind == "code" else "\n\nMore words."]
        older(path, json.dumps(book).encode())
    return change


touch = Path.touch
R, F = "results/stale", "figures/stale"
# (what, file, change, options, rules that must run again)
CHANGES = [
    ("an image touched", "study/T1w0.nii.gz", touch, [], set()),
    ("an image replaced, older date", "study/T1w0.nii.gz", lambda p: older(p, replaced_volume(p)), [],
     ALL),
    ("an image replaced, same date", "study/T2w3.nii.gz", lambda p: same_date(p, replaced_volume(p)), [],
     ALL),
    ("voxels of a .mhd replaced, older date", "study/T2w1.raw", lambda p: older(p, changed_bytes(p)), [],
     ALL),
    ("voxels of a .hdr replaced, same date and size", "study/T2w2.img",
     lambda p: same_date(p, changed_bytes(p)), [], ALL),
    ("a contour replaced, older date", "study/gtv3.seg.nrrd",
     lambda p: older(p, p.read_bytes() + b"\0"), [],
     ALL),
    ("the manifest touched", "study/m.csv", touch, [], set()),
    ("a patient moved to test", "study/m.csv", edited("s2,train", "s2,test"), [], ALL),
    ("gtv_roi edited", "study/m.csv", edited(",GTV", ",G*"), [], ALL),
    ("columns exchanged", "study/m.csv", edited("T1w,T2w,gtv", "T2w,T1w,gtv"), ["--allow-unlikely"],
     ALL),
    ("a column renamed", "study/m.csv", edited("source,license", "license,source"), [], ALL),
    ("a comment in a module", "pgmif_core/metrics/paper.py",
     edited("import numpy", "# so it is\nimport numpy"), [],
     set()),
    ("a docstring", "pgmif_core/metrics/paper.py",
     edited("Higher is better; signed", "More is better; signed"), [],
     set()),
    ("blank lines", "pgmif_core/images/registration.py",
     edited("\n\n\ndef register", "\n\n\n\n\ndef register"), [],
     set()),
    ("the CNR", "pgmif_core/metrics/paper.py", edited("/ noise)", "/ noise + 0.0)"), [], TRAINED),
    ("a constant of registration", "pgmif_core/images/registration.py",
     edited("STEPS = 40", "STEPS = 41"), [],
     AFTER_COHORT),
    ("a limit of quality control", "pgmif/figures/qc.py", edited("FAR_MM = 10.0", "FAR_MM = 11.0"), [],
     AFTER_COHORT),
    ("the frontier's curves", "pgmif_core/evaluation/frontier.py",
     edited("def curves(", "DUMMY = 1\n\n\ndef curves("), [],
     set()),  # a name that nobody uses
    ("the picture of claims", "pgmif/figures/claims.py",
     edited("0.19 * len(claims)", "0.2 * len(claims)"), [],
     {"claims"}),
    ("PGMIF+'s edge", "pgmif_core/methods/pgmif_plus.py",
     edited("edge: float = 1.5", "edge: float = 1.6"), [],
     TRAINED - {"training"}),
    ("a classical method", "pgmif_core/methods/classical.py",
     edited("return fused.clamp(0, 1)", "return fused.clamp(0, 0.9)"), [],
     FUSED),
    ("a data file of the phantom", "pgmif_core/phantom/tissues.csv", edited("fat,371", "fat,372"), [],
     ALL),
    ("a code cell", "notebooks/05_cnr_boxplots.ipynb", cell("code"), [],
     {"cnr_boxplots", "frontier", "claims"}),
    ("words of a notebook", "notebooks/05_cnr_boxplots.ipynb", cell("markdown"), [], set()),
    ("printed numbers of the paper", "published/results.csv",
     lambda p: older(p, p.read_bytes() + b"\n"), [],
     MEASURED),
    ("a parameter of plots", "study/m.csv", lambda p: None, ["--set", "points=false"],
     MEASURED),
    ("a parameter of training", "study/m.csv", lambda p: None, ["--set", "epsilon=0.05"],
     TRAINED - {"pgmif_plus"}),
    ("the number of processes", "study/m.csv", lambda p: None, ["--set", "workers=1"], set()),
    ("a table deleted", f"{R}/05_cnr_boxplots/cnr.csv", Path.unlink, [],
     {"cnr_boxplots", "frontier", "claims"}),
    ("a figure's PDF deleted", f"{F}/figure_5a_cnr.pdf", Path.unlink, [],
     {"cnr_boxplots", "frontier", "claims"}),
    ("a figure emptied", f"{F}/table_claims.png", lambda p: p.write_bytes(b""), [], {"claims"}),
    ("a number in a figure's table changed", f"{F}/table_sobel.csv",
     lambda p: same_date(p, p.read_bytes().replace(b"0", b"1")), [],
     {"sobel_analysis", "frontier", "claims"}),
    ("a stored array emptied", f"{R}/01_preprocessing/slices/s3_sources.npy",
     lambda p: p.write_bytes(b""),
     [], AFTER_COHORT),
    ("a page of quality control deleted", f"{R}/01_preprocessing/qc/s0.png", Path.unlink, [],
     AFTER_COHORT),
    ("a registered volume deleted", f"{R}/01_preprocessing/registered/s1_space-T2w_T1w.nii.gz",
     Path.unlink,
     [], AFTER_COHORT),
    ("weights deleted", f"{R}/02_training/pgmif/weights.safetensors", Path.unlink, [],
     FUSED | {"training"}),
    ("a fused volume deleted", f"{R}/04_baseline_comparison/s3_desc-pwa_T2w.nii", Path.unlink, [],
     FUSED),
    ("a fused volume emptied", f"{R}/04_baseline_comparison/s3_desc-moi_T2w.nii",
     lambda p: p.write_bytes(b""), [], FUSED),
    ("an executed notebook deleted", f"{R}/notebooks/06_sobel_analysis.ipynb", Path.unlink, [],
     {"sobel_analysis", "frontier", "claims"}),
    ("a product touched", f"{R}/01_preprocessing/preprocessing.csv", touch, [], set()),
    ("a record deleted", f"{R}/made/06_sobel_analysis.json", Path.unlink, [],
     {"sobel_analysis", "frontier", "claims"}),
    ("a record damaged", f"{R}/made/05_cnr_boxplots.json", lambda p: p.write_text("{"), [],
     {"cnr_boxplots", "frontier", "claims"}),
    ("a record without its seals", f"{R}/made/10_claims.json",
     lambda p: p.write_text('{"step": "10_claims", "key": "x", "outputs": []}'), [], {"claims"}),
    ("the run's provenance deleted", f"{R}/provenance.json", Path.unlink, [], {"claims"}),
    ("the run's parameters emptied", f"{R}/parameters.yaml", lambda p: p.write_text(""), [], set()),
    ("a line of the remembered hashes damaged", "results/.hashes",
     lambda p: p.write_bytes(b"0" * 64 + b" x x x x x\n" + p.read_bytes()), [], set()),
    ("the decoder in a process of its own", "pgmif_core/images/dicom/decoding.py",
     edited("if array.ndim == 3 else", "if array.ndim == 3 and True else"), [], ALL),
]


@pytest.mark.slow
@pytest.mark.xdist_group("stale")
def test_the_table_of_changes(finished, capsys):
    lines, wrong = [], []
    for what, file, change, options, expected in CHANGES:
        path = finished / file
        kept, state = path.read_bytes(), path.stat()
        change(path)
        found = planned(finished, *options)
        path.write_bytes(kept)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        shown = [" ".join(r for r in RULES if r in rules) or "nothing" for rules in (expected, found)]
        lines.append(f"{what} | {shown[0]} | {shown[1]}")
        if found != expected:
            wrong.append(lines[-1])
    with capsys.disabled():
        print("\nchange | must run again | runs again", *lines, sep="\n  ")
    assert not wrong
    assert planned(finished) == set()


@pytest.mark.slow
@pytest.mark.xdist_group("stale")
def test_what_was_lost_is_made_again_and_is_the_same(finished):
    lost = [f"{R}/01_preprocessing/slices/s3_sources.npy",
        f"{R}/04_baseline_comparison/s3_desc-pwa_T2w.nii",
            f"{F}/figure_5a_cnr.pdf"]
    before = {name: (finished / name).read_bytes() for name in lost}
    other = finished / R / "01_preprocessing" / "slices" / "s1_sources.npy"
    kept = other.stat().st_mtime_ns
    for name in lost:
        (finished / name).write_bytes(b"")
    done = pipeline(finished)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: (finished / name).read_bytes() for name in lost} == before
    assert other.stat().st_mtime_ns == kept  # only the patient that was damaged is done again
    assert planned(finished) == set()


@pytest.mark.slow
@pytest.mark.xdist_group("stale")
def test_a_run_killed_half_way_keeps_nothing_old(finished):
    path = finished / "study" / "T2w3.nii.gz"
    kept = path.read_bytes()
    older(path, replaced_volume(path))
    done = pipeline(finished, "--", "--until", "preprocessing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(finished) == TRAINED  # as if it had been killed there
    path.write_bytes(kept)
    assert planned(finished) == ALL


def test_declared_parameters_are_those_of_the_cell(root):
    config = {"profile": "smoke", "points": False, "iterations": 3, "method": "pgmif"}
    assert declared_parameters(str(root / "notebooks/05_cnr_boxplots.ipynb"), config) == {
        "profile": "smoke", "points": False,
    }
