"""Preprocessing of a patient: contours, reference, flags, and what a full disk leaves."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.cohorts import manifest, replace_image
from helpers.dicoms import oblique

from pgmif.cohort.manifest import ManifestError, check_images, read_manifest
from pgmif.runs.parallel import each_patient
from pgmif.runs.parameters import Parameters
from pgmif.steps.cohort import truth_file
from pgmif.steps.preprocessing import _made_from, preprocess_patient
from pgmif_core.images.displacements import head_points, transform_points
from pgmif_core.images.patient import partly_imaged
from pgmif_core.images.registration import register
from pgmif_core.images.store import read_patient
from pgmif_core.images.volumes import read_image, write_image


def test_a_tumour_outside_the_t1w_slices_stops_the_patient(cohort_folder, phantom):
    from pgmif.steps.preprocessing import preprocess_patient
    from pgmif_core.images.store import patient_details

    write_image(sitk.Resample(phantom.T1w, phantom.T2w)[:, :, :4], cohort_folder / "b_T1w.nii.gz")
    slices = np.arange(phantom.gtv.GetSize()[2])[:, None, None]
    replace_image(cohort_folder, "b_gtv.nii.gz", lambda a: np.where(slices >= 6, a, 0))
    cohort = read_manifest(manifest(cohort_folder))
    store = cohort_folder / "store"
    with pytest.raises(ValueError, match="b: expected every modality to image the tumour"):
        preprocess_patient(cohort, store, Parameters(), cohort_folder / "registered", "b")
    assert patient_details(store, "b") is None


def test_a_gtv_on_t1w_is_checked_and_warped_there(cohort_folder, phantom):
    from pgmif.steps.preprocessing import preprocess_patient
    from pgmif_core.images.store import read_patient

    drawn = sitk.Resample(phantom.gtv, phantom.T1w, sitk.DisplacementFieldTransform(
        sitk.Image(phantom.displacement)), sitk.sitkNearestNeighbor)
    write_image(drawn, cohort_folder / "b_gtv.nii.gz")
    cohort = read_manifest(manifest(cohort_folder, lambda t: t.assign(gtv_space=["", "T1w"])))
    check_images(cohort)
    for subject in "ab":
        preprocess_patient(cohort, cohort_folder / "s", Parameters(), cohort_folder, subject)
    a, b = (np.asarray(read_patient(cohort_folder / "s", s).gtv) for s in "ab")
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    assert dice > 0.6  # voxels of 7 mm: the same tumour, drawn on the other sequence


def test_a_reference_drawn_by_hand_is_used(cohort_folder, phantom):
    from pgmif.steps.preprocessing import preprocess_patient
    from pgmif_core.images.store import read_patient

    drawn = sitk.GetArrayFromImage(phantom.gtv) * 0
    drawn[4, 30:40, 20:30] = 1
    mask = sitk.GetImageFromArray(drawn)
    mask.CopyInformation(phantom.gtv)
    write_image(mask, cohort_folder / "b_ref.nii.gz")
    cohort = read_manifest(manifest(cohort_folder, reference=["", "b_ref.nii.gz"]))
    check_images(cohort)
    settings = Parameters(register_bspline=False)
    for subject in "ab":
        preprocess_patient(cohort, cohort_folder / "s", settings, cohort_folder, subject)
    a, b = (np.asarray(read_patient(cohort_folder / "s", s).reference) for s in "ab")
    assert b[4].any()
    assert not b[:4].any()
    assert not np.array_equal(a, b)
    broken = manifest(cohort_folder, reference=["", "gone.nii.gz"])
    with pytest.raises(ManifestError, match="column reference"):
        read_manifest(broken)


def test_a_finished_patient_is_not_done_again(cohort_folder):
    from pgmif.steps.preprocessing import preprocess_patient

    cohort = read_manifest(manifest(cohort_folder))
    settings = Parameters(register_bspline=False)
    arguments = (cohort, cohort_folder / "s", settings, cohort_folder, "a")
    first = preprocess_patient(*arguments)
    written = (cohort_folder / "s" / "a.json").stat().st_mtime_ns
    assert preprocess_patient(*arguments) == first
    assert (cohort_folder / "s" / "a.json").stat().st_mtime_ns == written
    other = Parameters(register_bspline=False, reference_window_mm=14.0)
    preprocess_patient(cohort, cohort_folder / "s", other, cohort_folder, "a")
    assert (cohort_folder / "s" / "a.json").stat().st_mtime_ns != written


def test_the_order_of_minmax_is_part_of_what_a_patient_was_made_from(cohort_folder):
    cohort, kept = read_manifest(manifest(cohort_folder)), {}
    for minmax in ("placed", "acquired"):
        settings = Parameters(register_bspline=False, minmax_slices=minmax)
        preprocess_patient(cohort, cohort_folder / "s", settings, cohort_folder, "a")
        kept[minmax] = read_patient(cohort_folder / "s", "a")
    placed, acquired = kept["placed"], kept["acquired"]
    assert not np.array_equal(placed.sources, acquired.sources)
    assert (np.asarray(acquired.sources).max(axis=(2, 3)) <= 1).all()
    np.testing.assert_allclose(placed.sources.max(axis=(2, 3))[placed.sources.any(axis=(2, 3))], 1)
    assert (acquired.ranges == [0, 1]).all()
    np.testing.assert_array_equal(placed.gtv, acquired.gtv)


def test_hot_voxels_and_missing_parts_are_flagged(odd, tmp_path):
    t1w = sitk.Image(odd.T1w)
    t1w[3, 3, 4] = 30000.0
    narrow = t1w[28:, :, :]  # misses a part of the head in every slice
    for k in (1, 2):
        for name, picture in (("T1w", narrow), ("T2w", odd.T2w), ("gtv", odd.gtv)):
            write_image(picture, tmp_path / f"{name}{k}.nii.gz")
    rows = [f"s{k},{s},T1w{k}.nii.gz,T2w{k}.nii.gz,gtv{k}.nii.gz,x,y" for k,
        s in ((1, "train"), (2, "test"))]
    header = "subject,split,T1w,T2w,gtv,source,license"
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]) + "\n")
    row = preprocess_patient(read_manifest(tmp_path / "m.csv"), tmp_path / "store",
                             Parameters(register_bspline=False), tmp_path / "registered", "s2")
    assert "T1w does not show" in row["flags"]
    patient = read_patient(tmp_path / "store", "s2")
    assert not (patient.gtv & ~patient.imaged).any()
    assert not (patient.reference & ~patient.imaged).any()
    assert partly_imaged(patient).any()
    t1w[3, 3, 4] = 0.0
    t1w[60, 50, 4] = 30000.0
    write_image(t1w, tmp_path / "T1w2.nii.gz")
    row = preprocess_patient(read_manifest(tmp_path / "m.csv"), tmp_path / "store",
                             Parameters(register_bspline=False), tmp_path / "registered", "s2")
    assert "T1w: a few voxels beyond all others cut in slice 4" in row["flags"]
    assert "does not show" not in row["flags"]


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


def test_a_changed_true_displacement_is_measured_against_again(cohort_folder):
    cohort = read_manifest(manifest(cohort_folder))
    states = [_made_from(cohort, Parameters(), "a")]
    truth = cohort_folder / truth_file("a", "T1w")
    for content in (b"first", b"other"):
        truth.write_bytes(content)
        states.append(_made_from(cohort, Parameters(), "a"))
    assert states[0] != states[1] != states[2]
    assert states[2] == _made_from(cohort, Parameters(), "a")
