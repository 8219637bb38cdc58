"""Nothing old passes for new: what is changed, what must run again, and what the pipeline runs again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from pgmif.runs.code_of import code_of_notebook
from pgmif.runs.order import STEPS
from pgmif_core.images.volumes import write_image
from pgmif_core.phantom import PhantomSize, make_phantom

RULES = ["cohort", "preprocessing", "training", "pgmif_plus", "baseline_comparison", "cnr_boxplots",
         "sobel_analysis", "frontier", "claims"]
ALL = set(RULES)
AFTER_COHORT = ALL - {"cohort"}
TRAINED = AFTER_COHORT - {"preprocessing"}
FUSED = TRAINED - {"training", "pgmif_plus"}
MEASURED = {"cnr_boxplots", "sobel_analysis", "frontier", "claims"}
RUN = ["--profile", "smoke", "--manifest", "study/m.csv", "--set", "run=stale"]


def paired(picture, path):
    """The image as a header and a file of voxels: .mhd + .raw, or .hdr + .img."""
    if path.suffix == ".mhd":
        return write_image(picture, path)
    volume = nibabel.load(write_image(picture, path.with_suffix(".nii")))
    nibabel.save(nibabel.Nifti1Pair(np.asarray(volume.dataobj), volume.affine), path.with_suffix(".img"))
    path.with_suffix(".nii").unlink()
    return path


def study(folder):
    """Four patients as files: NIfTI, MetaImage with voxels apart, a NIfTI pair, named segments."""
    folder.mkdir()
    rows = []
    for k, suffix in enumerate((".nii.gz", ".mhd", ".hdr", ".nii.gz")):
        phantom = make_phantom(20240001 + k, PhantomSize(8, 7.0, 2.4))
        for name in ("T1w", "T2w", "gtv"):
            path = folder / f"{name}{k}{suffix}"
            picture = getattr(phantom, name)
            paired(picture, path) if suffix in (".mhd", ".hdr") else write_image(picture, path)
        gtv = f"gtv{k}{suffix}"
        if k == 3:
            seg = sitk.Cast(phantom.gtv, sitk.sitkUInt8)
            for key, value in (("Name", "GTV"), ("LabelValue", 1), ("Layer", 0)):
                seg.SetMetaData(f"Segment0_{key}", str(value))
            gtv = "gtv3.seg.nrrd"
            sitk.WriteImage(seg, str(folder / gtv))
        rows.append(f"s{k},{'test' if k == 3 else 'train'},T1w{k}{suffix},T2w{k}{suffix},{gtv},x,y,"
                    f"{'GTV' if k == 3 else ''}")
    header = "subject,split,T1w,T2w,gtv,source,license,gtv_roi"
    (folder / "m.csv").write_text("\n".join([header, *rows]) + "\n")


def pipeline(root, *more):
    return subprocess.run(
        [sys.executable, "-m", "pgmif.cli.reproduce", "reproduce", *RUN, *more], cwd=root, check=False,
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
    ("the picture of claims", "pgmif/figures/style.py",
     edited("0.19 * len(claims)", "0.2 * len(claims)"), [],
     {"claims"}),
    ("PGMIF+'s edge", "pgmif_core/methods/pgmif_plus.py",
     edited("edge: float = 1.5", "edge: float = 1.6"), [],
     TRAINED),
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


def package(folder, **modules):
    """A package of our own beside the real one, for `code_of` to look into."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


PARTS = {
    "a": """\"\"\"Doc.\"\"\"
from pgmif_core.b import used, unused

LIMIT = 3


def work(x: int) -> int:
    \"\"\"Doc.\"\"\"
    return used(x) + LIMIT  # comment


def other():
    return unused()
""",
    "b": """from pgmif_core import c


def used(x):
    return c.deep(x)


def unused():
    return 1
""",
    "c": """TABLE = {"k": lambda: far()}


def deep(x):
    return x


def far():
    return 2
""",
}


@pytest.mark.parametrize(("module", "old", "new", "changes"), [
    ("a", "# comment", "# another", False), ("a", '    """Doc."""\n', '    """Other."""\n', False),
    ("a", '    """Doc."""\n', "", False), ("a", "x: int", "x: float", True),
    ("a", "LIMIT = 3", "LIMIT = 4", True),
    ("a", "return unused()", "return 7", False), ("b", "return c.deep(x)", "return c.deep(x) + 0", True),
    ("b", "return 1", "return 5", False), ("c", "return x\n", "return x + 0\n", True),
    ("c", "return 2", "return 3", True), ("c", "def far():", "\n\ndef far():", False),
])
def test_code_of_follows_what_a_function_reaches(tmp_path, monkeypatch, module, old, new, changes):
    import pgmif.runs.code_of as target

    monkeypatch.setattr(target, "ROOTS", {"pgmif_core": tmp_path})
    package(tmp_path, **PARTS)

    def hash_now():
        target._module.cache_clear()
        return target._hash(target._closure([("pgmif_core.a", "work")]))

    before = hash_now()
    assert PARTS[module].count(old) == 1
    package(tmp_path, **{module: PARTS[module].replace(old, new)})
    assert (hash_now() != before) is changes
    target._module.cache_clear()


def test_every_notebook_has_a_hash_of_its_own(root):
    found = [code_of_notebook(root / "notebooks" / f"{step}.ipynb") for step in STEPS]
    assert len(set(found)) == len(STEPS)


def test_every_step_has_its_rule(root):
    text = (root / "Snakefile").read_text()
    for step in STEPS.values():
        assert f"\nrule {step.rule}:\n" in text
        body = text.partition(f"\nrule {step.rule}:\n")[2].partition("\nrule ")[0]
        assert (f'before("{step.name}")' in body) == bool(step.after)
        assert f'product("{step.name}")' in body
