"""Registrations that go wrong are given up and said so; QC pages; a full disk loses nothing."""

import subprocess
import sys
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from dicoms import oblique

from pgmif.cohort.manifest import read_manifest
from pgmif.figures.panels import checkerboard
from pgmif.figures.qc import qc_flags, qc_page, strong_edges, write_qc_table
from pgmif.runs.parallel import each_patient
from pgmif_core.files import DiskFullError, replacing, replacing_folder
from pgmif_core.images import registration
from pgmif_core.images.displacements import (
    displacement_lengths,
    head_points,
    smallest_jacobian,
    transform_points,
)
from pgmif_core.images.registration import register
from pgmif_core.images.volumes import read_image
from pgmif_core.phantom import PhantomSize, make_phantom


@pytest.fixture(scope="module")
def deformed():
    return make_phantom(20240073, PhantomSize(slices=8, thickness_mm=7.0, pixel_mm=2.4))


def spline(image, values):
    transform = sitk.BSplineTransformInitializer(image, [12, 12, 2], 3)
    count = len(transform.GetParameters())
    transform.SetParameters(np.broadcast_to(values, count).tolist() if np.ndim(values) == 0
                            else np.resize(values, count).tolist())
    return transform


@pytest.mark.parametrize(("values", "note"), [
    (25.0, "moves by"), (24.0 * (-1.0) ** np.arange(15), "folds space"), (-3.0, "did not improve"),
])
def test_a_bad_spline_is_given_up_and_named(deformed, monkeypatch, values, note):
    monkeypatch.setattr(
        registration, "bspline_registration", lambda fixed, *_: spline(fixed, values)
    )
    if note != "did not improve":  # however good its mutual information
        monkeypatch.setattr(registration, "_metric", lambda f, m, t: -float(
            {"Transform": 1, "Euler3DTransform": 2}.get(type(t).__name__, 3)))
        monkeypatch.setattr(registration, "_best_start", lambda f, m: sitk.Euler3DTransform())
    result = register(deformed.T2w, deformed.T1w)
    assert result.stage == "rigid"
    assert note in result.note
    row = {"stage": result.stage, "note": result.note, "rigid_mm": 1.0, "bspline_mm": 0.0}
    assert note in qc_flags(row, ("T1w", "T2w"))


def test_nothing_in_common_is_failed_and_flagged(deformed, monkeypatch):
    monkeypatch.setattr(registration, "_metric", lambda *_: -1.0)
    result = register(deformed.T2w, deformed.T1w)
    assert result.stage == "failed"
    assert result.transform.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
    assert "did not improve" in result.note
    assert qc_flags({"stage": "failed"}, ("T1w", "T2w")) == "T1w not registered"


def test_an_affine_stage_finds_a_scale(deformed):
    scaled = sitk.Image(deformed.T1w)
    scaled.SetSpacing([s * 1.03 for s in deformed.T1w.GetSpacing()])
    without, affine = (
        register(deformed.T2w, scaled, use_bspline=False, use_affine=a) for a in (False, True)
    )
    assert (without.stage, affine.stage) == ("rigid", "affine")
    assert affine.metric_after < without.metric_after


def test_jacobian_against_closed_forms(deformed):
    stretch = sitk.AffineTransform(3)
    stretch.SetMatrix((np.diag([1.1, 1.0, 0.9])).ravel().tolist())
    assert smallest_jacobian(stretch, deformed.T2w) == pytest.approx(0.99, abs=1e-3)
    rigid = sitk.Euler3DTransform()
    rigid.SetRotation(0.1, -0.2, 0.05)
    assert smallest_jacobian(rigid, deformed.T2w) == pytest.approx(1, abs=1e-3)
    shift = sitk.TranslationTransform(3, (3.0, 4.0, 0.0))
    np.testing.assert_allclose(displacement_lengths(shift, deformed.T2w), 5.0)


def test_checkerboard_and_edges():
    board = checkerboard(np.zeros((9, 13)), np.ones((9, 13)), 3)
    assert board.mean() == pytest.approx(0.5, abs=0.15)
    assert board[0, 0] != board[0, -1] or board[0, 0] != board[4, 0]
    step = np.zeros((40, 30))
    step[:, 15:] = 1
    assert set(np.flatnonzero(strong_edges(step).any(axis=0))) <= set(range(13, 17))
    assert not strong_edges(np.zeros((9, 9))).any()


def test_a_page_per_patient_and_a_sortable_table(deformed, tmp_path):
    plane = np.random.default_rng(0).random((48, 40))
    grid = sitk.Image([40, 48, 3], sitk.sitkFloat32)
    page = qc_page("sub-1", "a cohort", {"T1w": plane, "T2w": plane, "CT": plane}, grid, 1,
                   {"T1w": None, "T2w": None, "CT": sitk.TranslationTransform(3, (0.0, 3.0, 4.0))},
                   plane > 0.95)
    titles = [ax.get_title() for ax in page.axes if ax.get_title()]
    assert titles[3:] == ["CT / T2w, GTV", "CT, edges of T2w", "displacement (mm)"]
    assert page.axes[5].images[0].get_array().max() == pytest.approx(5)
    page.savefig(tmp_path / "sub-1.png")
    table = pd.DataFrame({"subject": ["sub-1", "sub-2"], "rigid_mm": [1.5, np.nan],
                          "flags": ["", "<far>"]})
    text = write_qc_table(table, tmp_path, "cohort <x>").read_text()
    HTMLParser().feed(text)
    assert "cohort &lt;x&gt;" in text
    assert '<a href="sub-1.png">' in text
    assert "&lt;far&gt;" in text
    assert text.count('class="flagged"') == 1
    assert "1 of 2 patients flagged" in text
    assert text.count("<button") == len(table.columns)


def known_motion(image, rng):
    """A rigid motion and a smooth bend of about 1 mm, as a transform from new points to old ones."""
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(image.TransformContinuousIndexToPhysicalPoint(
        [n / 2 for n in image.GetSize()]))
    rigid.SetRotation(*np.deg2rad(rng.uniform(-2, 2, 3)).tolist())
    rigid.SetTranslation(rng.uniform(-3, 3, 3).tolist())
    bend = sitk.BSplineTransformInitializer(image, [3, 3, 3], 3)
    bend.SetParameters(rng.normal(0, 1.2, len(bend.GetParameters())).tolist())
    return sitk.CompositeTransform([rigid, bend])


def recovered(manifest, subject):
    """Median error (mm) with which a known motion of a patient's T1w is found again."""
    cohort = read_manifest(manifest)
    seed = cohort.table["subject"].tolist().index(subject)
    t1w, t2w = (read_image(cohort.file(subject, m)) for m in ("T1w", "T2w"))
    known = known_motion(t2w, np.random.default_rng(seed))
    grid = sitk.Image(t1w)
    grid.SetDirection((oblique(3.0) @ np.reshape(t1w.GetDirection(), (3, 3))).ravel().tolist())
    moved = sitk.Resample(t1w, grid, known, sitk.sitkLinear)
    points = head_points(t2w, 1000)
    result = register(t2w, moved, seed=seed)
    returned = transform_points(known, transform_points(result.transform, points))
    return float(np.median(np.linalg.norm(returned - points, axis=1)))


@pytest.mark.slow
@pytest.mark.real
def test_known_motions_of_real_patients_are_recovered(real_mri):
    """T1w of six real heads moved by a known transform; median error of the patients ≤ 1 mm."""
    manifest = real_mri / "data_manifest.csv"
    subjects = read_manifest(manifest).table["subject"].tolist()
    errors = dict(zip(subjects, each_patient(partial(recovered, manifest), subjects), strict=True))
    print(errors)
    assert np.median(list(errors.values())) <= 1.0, errors
    assert max(errors.values()) <= 2.0, errors


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail(error):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(DiskFullError, match=r"table\.csv.*Make room"):
        fail(OSError(28, "No space left on device"))
    with pytest.raises(KeyError):
        fail(KeyError("x"))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_failed_folder_leaves_the_older_one_and_a_good_one_replaces_it_whole(tmp_path):
    path = tmp_path / "report"
    path.mkdir()
    (path / "old").touch()

    def fail(error):
        with replacing_folder(path) as temporary:
            (temporary / "new").touch()
            raise error

    with pytest.raises(KeyError):
        fail(KeyError("x"))
    with pytest.raises(DiskFullError, match=r"report.*Make room"):
        fail(OSError(28, "No space left on device"))
    assert [p.name for p in tmp_path.rglob("*")] == ["report", "old"]
    with replacing_folder(path) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["report", "new"]


FULL = """
import resource, sys
from pathlib import Path
from pgmif.cohort.manifest import read_manifest
from pgmif.runs.parameters import check_parameters
from pgmif.steps.preprocessing import preprocess_patient
folder = Path(sys.argv[1])
cohort = read_manifest(folder / "m.csv")
parameters = check_parameters({"register_bspline": False})
def work(subject):
    return preprocess_patient(cohort, folder / "store", parameters, folder / "registered", subject)
work("sub-a")
if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
row = work("sub-b")
print("done", row["subject"])
"""


def test_a_full_disk_keeps_what_was_finished(deformed, tmp_path):
    lines = ["subject,split,T1w,T2w,gtv,source,license"]
    for name, split in (("sub-a", "train"), ("sub-b", "test")):
        for column in ("T1w", "T2w", "gtv"):
            sitk.WriteImage(getattr(deformed, column), str(tmp_path / f"{name}_{column}.nrrd"))
        files = ",".join(f"{name}_{c}.nrrd" for c in ("T1w", "T2w", "gtv"))
        lines.append(f"{name},{split},{files},test,CC0")
    (tmp_path / "m.csv").write_text("\n".join(lines))

    def preprocess(how):
        return subprocess.run([sys.executable, "-c", FULL, str(tmp_path), how],
                              capture_output=True, text=True, check=False)

    failed = preprocess("full")
    assert failed.returncode == 1
    assert "Make room" in failed.stderr
    assert "sub-b" in failed.stderr
    finished = (tmp_path / "store" / "sub-a.json").stat().st_mtime_ns
    assert not (tmp_path / "store" / "sub-b.json").exists()
    assert not [p for p in tmp_path.rglob(".*") if p.is_file()]
    again = preprocess("room")
    assert "done sub-b" in again.stdout, again.stderr
    assert (tmp_path / "store" / "sub-a.json").stat().st_mtime_ns == finished
