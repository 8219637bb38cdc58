import time

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml

from pgmif.cohort.manifest import (
    Cohort,
    ManifestError,
    all_problems,
    check_images,
    patient_problems,
    read_manifest,
)
from pgmif.runs.parameters import (
    ParameterError,
    Parameters,
    check_parameters,
    notebook_parameters,
    read_parameters,
)
from pgmif.runs.run import find_root
from pgmif_core.images.volumes import write_image
from pgmif_core.phantom import PhantomSize, make_phantom


@pytest.fixture
def cohort_folder(tmp_path, phantom):
    """Two patients with real files; the manifest is written by the tests."""
    for subject in ("a", "b"):
        for column in ("T1w", "T2w", "gtv"):
            write_image(getattr(phantom, column), tmp_path / f"{subject}_{column}.nii.gz")
    return tmp_path


def manifest(folder, change=None, **columns):
    table = pd.DataFrame({
        "subject": ["a", "b"], "split": ["train", "test"],
        **{c: [f"{s}_{c}.nii.gz" for s in "ab"] for c in ("T1w", "T2w", "gtv")},
        "source": "test", "license": "CC0-1.0", **columns,
    })
    if change:
        table = change(table)
    table.to_csv(folder / "m.csv", index=False)
    return folder / "m.csv"


def put(row, column, value):
    def change(table):
        table.loc[row, column] = value
        return table
    return change


def test_a_good_manifest(cohort_folder):
    cohort = read_manifest(manifest(cohort_folder))
    check_images(cohort)
    assert cohort.modalities == ("T1w", "T2w")
    assert cohort.subjects("test") == ["b"]
    assert not cohort.is_phantom
    assert cohort.label == f"cohort {cohort.name}"


@pytest.mark.parametrize(("change", "message"), [
    (put(0, "T1w", "nowhere.nii.gz"), "row 2 (a), column T1w: expected a file"),
    (put(0, "T1w", ""), "column T1w: expected a path"),
    (put(1, "subject", "a"), "a is in both splits"),
    (lambda t: pd.concat([t, t.iloc[:1]]), "a appears 2 times"),
    (put(1, "split", "train"), "at least one test patient"),
    (put(0, "split", "validation"), "expected 'train' or 'test', found 'validation'"),
    (put(0, "subject", "../a"), "letters, digits"),
    (lambda t: t.rename(columns={"T1w": "T1W"}), "did you mean 'T1w'"),
    (lambda t: t.drop(columns="gtv"), "column 'gtv' is missing"),
    (lambda t: t.drop(columns="T1w"), "one modality cannot be fused"),
    (lambda t: t.assign(age=4), "unknown column 'age'"),
    (put(0, "T2w", "../outside.nii.gz"), "leaves the manifest's folder"),
    (lambda t: t.assign(gtv_space="ceT1w"), "column gtv_space"),
    (lambda t: t.assign(phantom_seed="x"), "column phantom_seed"),
    (lambda t: t.iloc[:0], "found none"),
    (lambda t: t.assign(phantom_seed=["1", ""]), "cannot be mixed"),
    (put(1, "T1w", "a_T1w.nii.gz"), "rows 2, 3: a (T1w) and b (T1w) share the file"),
    (put(1, "T1w", "./a_T1w.nii.gz"), "rows 2, 3: a (T1w) and b (T1w) share the file"),
    (put(1, "T2w", "a_T1w.nii.gz"), "a (T1w) and b (T2w) share the file"),
    (put(1, "gtv", "a_gtv.nii.gz"), "a (gtv) and b (gtv) share the file"),
    (put(1, "T1w", "b_T2w.nii.gz"), "row 3 (b): T1w and T2w name the same file"),
    (lambda t: t.assign(phantom_seed="²"), "expected a whole number"),
])
def test_bad_manifests_are_refused(cohort_folder, change, message):
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(cohort_folder, change))
    assert message in str(caught.value)


def test_hash_signs_and_trailing_commas_are_taken_literally(cohort_folder):
    path = manifest(cohort_folder, put(0, "source", "protocol #12"))
    assert read_manifest(path).table["license"].tolist() == ["CC0-1.0", "CC0-1.0"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line + "," for line in lines[1:])]) + "\n")
    assert read_manifest(path).subjects("test") == ["b"]


def test_an_unquoted_comma_and_its_row_are_named(cohort_folder):
    path = manifest(cohort_folder)
    header, first, second = path.read_text().splitlines()
    path.write_text("\n".join([header, "", first, second.replace("test,CC0", "Hosp, Dept,CC0")]))
    with pytest.raises(ManifestError, match="row 4: expected 7 entries, found 8"):
        read_manifest(path)
    path.write_text("\n".join([header, "", first, second.replace("b_T1w", "gone")]))
    with pytest.raises(ManifestError, match=r"row 4 \(b\), column T1w"):
        read_manifest(path)


def test_a_linked_manifest_lies_where_its_link_lies(cohort_folder, tmp_path_factory):
    path = manifest(cohort_folder)
    kept = tmp_path_factory.mktemp("annex") / "object.csv"
    path.rename(kept)
    path.symlink_to(kept)
    assert read_manifest(path).file("a", "T1w").exists()


def test_all_problems_are_reported_at_once(cohort_folder):
    def change(table):
        return put(1, "T2w", "gone.nii.gz")(put(0, "T1w", "away.nii.gz")(table))

    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(cohort_folder, change))
    assert len(caught.value.problems) == 2


def replace_image(folder, name, array_of=lambda a: a, origin=None):
    image = sitk.ReadImage(str(folder / name))
    changed = sitk.GetImageFromArray(array_of(sitk.GetArrayFromImage(image)))
    changed.SetSpacing(image.GetSpacing())
    changed.SetDirection(image.GetDirection())
    changed.SetOrigin(image.GetOrigin())
    if origin:
        changed.SetOrigin(origin)
    write_image(changed, folder / name)


@pytest.mark.parametrize(("name", "change", "origin", "message"), [
    ("b_gtv.nii.gz", np.zeros_like, None, "empty mask"),
    ("b_gtv.nii.gz", lambda a: a, (900.0, 0.0, 0.0), "outside the T2w volume"),
    ("b_T1w.nii.gz", lambda a: a, (900.0, 0.0, 0.0), "do not overlap in space"),
    ("b_T1w.nii.gz", np.zeros_like, None, "found the constant 0"),
    ("b_T1w.nii.gz", lambda a: a[:3], None, "at least 4 voxels along every axis"),
])
def test_bad_contents_are_refused(cohort_folder, name, change, origin, message):
    replace_image(cohort_folder, name, change, origin)
    with pytest.raises(ManifestError) as caught:
        check_images(read_manifest(manifest(cohort_folder)))
    assert message in str(caught.value)
    assert "row 3 (b)" in str(caught.value)


def test_a_manifest_named_by_a_roundabout_path(cohort_folder):
    manifest(cohort_folder)
    (cohort_folder / "inner").mkdir()
    cohort = read_manifest(cohort_folder / "inner" / ".." / "m.csv")
    assert cohort.name == cohort_folder.name
    assert cohort.file("a", "T1w").exists()


def test_paths_may_leave_the_folder_when_allowed(cohort_folder):
    inner = cohort_folder / "inner"
    inner.mkdir()
    path = manifest(cohort_folder, lambda t: t.assign(
        **{c: "../" + t[c] for c in ("T1w", "T2w", "gtv")}
    ))
    path = path.rename(inner / "m.csv")
    with pytest.raises(ManifestError, match="leaves"):
        read_manifest(path)
    check_images(read_manifest(path, allow_outside=True))


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


def test_the_embedded_manifest(root):
    cohort = read_manifest(root / "data_manifest.csv")
    assert cohort.is_phantom
    assert (cohort.name, cohort.label) == ("phantom", "synthetic phantom cohort")
    assert len(cohort.subjects("train")) == 70
    assert len(cohort.subjects("test")) == 10


def test_quick_yaml_lists_every_default(root):
    values = yaml.safe_load((root / "params" / "quick.yaml").read_text())
    assert values == Parameters().model_dump()


@pytest.mark.parametrize("profile", ["quick", "smoke", "paper"])
def test_profiles_are_valid(root, profile):
    assert read_parameters(root / "params" / f"{profile}.yaml").profile == profile


@pytest.mark.parametrize(("values", "message"), [
    ({"epsilonn": 0.1}, "did you mean 'epsilon'"),
    ({"epsilon": "1e-3"}, "write 1.0e-3"),
    ({"epsilon": "small"}, "found 'small' (str)"),
    ({"epsilon": 0}, "greater than 0"),
    ({"iterations": 1.5}, "iterations"),
    ({"points": 1}, "points"),
    ({"method": "densefuse"}, "'pgmif'"),
    ({"gradient_weights": 3}, "gradient_weights"),
])
def test_bad_parameters_are_refused(values, message):
    with pytest.raises(ParameterError) as caught:
        check_parameters(values)
    assert message in str(caught.value)


def test_whole_numbers_serve_as_floats_only_there():
    assert check_parameters({"epsilon": 1}).epsilon == 1.0
    assert check_parameters({"gradient_weights": [1, 8]}).gradient_weights == [1.0, 8.0]


def test_notebook_namespace_is_searched_for_unknown_names():
    import math

    namespace = {"epsilon": 0.1, "math": math, "_private": 3, "In": [], "print": print}
    assert notebook_parameters(namespace).epsilon == 0.1
    with pytest.raises(ParameterError, match="did you mean 'iterations'"):
        notebook_parameters({"epsilon": 0.1, "iteration": 3})


def test_a_notebook_may_be_run_again():
    namespace = {"epsilon": 0.1}
    notebook_parameters(namespace)
    namespace |= {"label": "PGMIF", "epsilon": 0.2}
    assert notebook_parameters(namespace).epsilon == 0.2


def test_a_notebook_cannot_read_what_it_does_not_declare():
    parameters = notebook_parameters({"epsilon": 0.1})
    assert parameters.epsilon == 0.1
    assert parameters.model_dump(exclude_unset=True) == {"epsilon": 0.1}
    with pytest.raises(ParameterError, match="add `slice_size = 192` to that cell"):
        _ = parameters.slice_size


@pytest.mark.parametrize(("values", "message"), [
    ({"crop": 200}, "larger than slice_size"),
    ({"reference_nearest_mm": 30.0}, "not below"),
])
def test_parameters_that_do_not_fit_together(values, message):
    with pytest.raises(ParameterError, match=message):
        check_parameters(values)


def test_unknown_profile_and_root(root, tmp_path):
    with pytest.raises(ParameterError, match="known profiles: paper, quick, smoke"):
        read_parameters(root / "params" / "fast.yaml")
    with pytest.raises(FileNotFoundError, match="inside a clone"):
        find_root(tmp_path)
    assert find_root(root / "notebooks") == root


def test_modality_weights_are_filled_up_with_one():
    from pgmif.runs.parameters import modality_weights

    assert modality_weights([1.0, 8.0], ("T1w", "T2w")) == (1.0, 8.0)
    assert modality_weights([1.0, 8.0], ("T1w", "T2w", "ceT1w", "CT")) == (1.0, 8.0, 1.0, 1.0)
    assert modality_weights([1.0, 8.0, 2.0], ("T1w", "T2w", "ceT1w")) == (1.0, 8.0, 2.0)
    for weights in ([1.0], [1.0, 8.0, 1.0]):
        with pytest.raises(ParameterError, match="2 to 2 weights"):
            modality_weights(weights, ("T1w", "T2w"))


def test_the_third_sequence_of_the_phantoms(root, tmp_path):
    cohort = read_manifest(root / "data_manifest_ceT1w.csv")
    assert cohort.name == "phantom-ceT1w"
    assert cohort.label == "synthetic phantom cohort (T1w, T2w, ceT1w)"
    seeds = read_manifest(root / "data_manifest.csv").table["phantom_seed"]
    assert cohort.table["phantom_seed"].tolist() == seeds.tolist()
    text = (root / "data_manifest_ceT1w.csv").read_text().replace("ceT1w", "FLAIR")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ManifestError, match="expected of a phantom T1w, T2w, ceT1w, CT, found FLAIR"):
        read_manifest(tmp_path / "m.csv")


def test_semicolons_and_capitals_are_named(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("subject;split;T1w\na;train;x\n")
    with pytest.raises(ManifestError, match="found semicolons"):
        read_manifest(path)
    path.write_text("subject,split,T1w,T2w,GTV,source,license\na,train,x,y,z,s,l\n")
    with pytest.raises(ManifestError, match="did you mean 'gtv'"):
        read_manifest(path)


def test_a_ct_must_be_in_hounsfield_units(tmp_path):
    phantom = make_phantom(20240071, PhantomSize(8, 7.0, 2.4), further=("CT",))
    images = {"T1w": phantom.T1w, "T2w": phantom.T2w, "CT": phantom.CT, "gtv": phantom.gtv}
    rows = []
    for subject, split, offset in (("a", "train", 0), ("b", "test", 1024)):
        for column, image in images.items():
            shifted = image + offset if column == "CT" else image
            write_image(shifted, tmp_path / f"{subject}_{column}.nii.gz")
        rows.append({"subject": subject, "split": split, "source": "test", "license": "CC0-1.0",
                     **{c: f"{subject}_{c}.nii.gz" for c in images}})
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    cohort = read_manifest(tmp_path / "m.csv")
    assert cohort.modalities == ("T1w", "T2w", "CT")
    assert patient_problems(cohort, "a") == []
    (problem,) = patient_problems(cohort, "b")
    for part in ("row 3", "column CT", "Hounsfield", "nothing below 0", "rescale"):
        assert part in problem


def test_after_ctrl_c_nothing_is_still_being_read(tmp_path, monkeypatch):
    table = pd.DataFrame({"subject": [str(k) for k in range(200)]})
    begun, ended = [], []

    def read(_, subject):
        begun.append(subject)
        time.sleep(0.05 * (subject != "0"))
        ended.append(subject)
        return []

    monkeypatch.setattr("pgmif.cohort.manifest.patient_problems", read)
    found = all_problems(Cohort(tmp_path / "m.csv", table, ("T1w", "T2w")))
    assert next(found) == []
    found.close()  # what an interruption of its reader comes to
    assert sorted(begun) == sorted(ended)
    assert len(begun) < len(table)
