"""Images that another program fused: read, checked, and refused before anything starts."""

from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.commands import main

from pgmif.runs import staleness
from pgmif.runs.fused import read_fused
from pgmif.runs.outside import check_measurable, check_outside, outside_file, read_outside
from pgmif.runs.parameters import ParameterError, Parameters, check_parameters
from pgmif.runs.run import Run
from pgmif.steps import baseline_comparison
from pgmif_core.files import file_hash
from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import write_patient
from pgmif_core.images.volumes import ImageError, Trust, write_image
from pgmif_core.methods.names import method_named


@pytest.fixture
def patient():
    grid = sitk.Image([20, 20, 4], sitk.sitkFloat32)
    grid.SetSpacing([1.5, 1.5, 4.0])
    grid.SetOrigin([10.0, -5.0, 3.0])
    empty = np.zeros((4, 20, 20), bool)
    return PatientSlices("sub-a", np.zeros((4, 2, 20, 20), np.float32), empty, empty, grid)


@pytest.fixture
def volume():
    return np.random.default_rng(0).random((4, 20, 20)).astype(np.float32)


def image_of(volume, grid):
    image = sitk.GetImageFromArray(volume)
    image.CopyInformation(grid)
    return image


def test_arrays_and_images_give_the_same(patient, volume, tmp_path):
    np.save(tmp_path / "a.npy", volume)
    write_image(image_of(volume, patient.grid), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_outside(tmp_path / "a.npy", patient), volume)
    np.testing.assert_allclose(read_outside(tmp_path / "a.nii.gz", patient), volume, atol=1e-6)


def test_another_orientation_of_the_same_image_gives_the_same(patient, volume, tmp_path):
    turned = sitk.DICOMOrient(image_of(volume, patient.grid), "RAI")
    write_image(turned, tmp_path / "b.nii.gz")
    np.testing.assert_allclose(read_outside(tmp_path / "b.nii.gz", patient), volume, atol=1e-5)


def test_eight_bit_arrays_are_scaled_and_nothing_is_stretched(patient, volume, tmp_path):
    np.save(tmp_path / "a.npy", np.rint(volume * 255).astype(np.uint8))
    np.testing.assert_allclose(read_outside(tmp_path / "a.npy", patient), volume, atol=1 / 500)
    np.save(tmp_path / "b.npy", volume / 7)
    np.testing.assert_array_equal(read_outside(tmp_path / "b.npy", patient), volume / 7)


@pytest.mark.parametrize(("change", "message"), [
    (lambda v: v * 255, r"expected intensities in \[0, 1\], found .* to 25"),
    (lambda v: v - 0.5, "expected intensities"),
    (lambda v: np.where(v > 0.9, np.nan, v), "expected intensities"),
    (lambda v: np.full_like(v, np.nan), "expected every slice that is measured"),
    (lambda v: v.astype(str), "expected an array of numbers"),
    (lambda v: v[:, :-1], "shape of the patient's slices"),
])
def test_bad_arrays_are_refused(patient, volume, tmp_path, change, message):
    np.save(tmp_path / "a.npy", change(volume))
    with pytest.raises(ImageError, match=message):
        read_outside(tmp_path / "a.npy", patient)


def test_an_image_elsewhere_is_refused(patient, volume, tmp_path):
    image = image_of(volume, patient.grid)
    image.SetOrigin([500.0, 0.0, 0.0])
    write_image(image, tmp_path / "a.nii.gz")
    with pytest.raises(ImageError, match="in the space of T2w"):
        read_outside(tmp_path / "a.nii.gz", patient)


def test_slices_that_are_not_measured_may_be_absent(patient, volume, tmp_path):
    patient.gtv[1, 5:9, 5:9] = True
    patient.reference[2, 5:9, 5:9] = True
    volume[[0, 3]] = np.nan
    np.save(tmp_path / "a.npy", volume)
    middle = image_of(np.nan_to_num(volume), patient.grid)[:, :, 1:3]
    write_image(middle, tmp_path / "b.nii.gz")
    for name in ("a.npy", "b.nii.gz"):
        read = read_outside(tmp_path / name, patient)
        np.testing.assert_allclose(read[1:3], volume[1:3], atol=1e-6)
        assert np.isnan(read[[0, 3]]).all()
    patient.gtv[3, 5:9, 5:9] = True
    for name in ("a.npy", "b.nii.gz"):
        with pytest.raises(ImageError, match="found none for slice 3"):
            read_outside(tmp_path / name, patient)


def test_an_image_without_an_orientation_is_refused(patient, volume, tmp_path):
    nibabel.Nifti1Image(volume.T, None).to_filename(tmp_path / "a.nii.gz")
    with pytest.raises(ImageError, match="assume_ras"):
        read_outside(tmp_path / "a.nii.gz", patient)


def test_no_pickle_is_read(patient, tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"a\.npy: expected an array of numbers.*pickle"):
        read_outside(tmp_path / "a.npy", patient)


def test_a_clipped_reference_region_is_refused(patient, volume, tmp_path):
    patient.reference[1, 3:8, 3:8] = True
    check_measurable(tmp_path / "a.npy", volume, patient)
    volume[patient.reference] = 0
    with pytest.raises(ImageError, match=r"a\.npy: expected some noise"):
        check_measurable(tmp_path / "a.npy", volume, patient)


def test_one_file_per_subject(tmp_path):
    with pytest.raises(ParameterError, match=r"expected one file of sub-a.*found none"):
        outside_file(tmp_path, "sub-a")
    (tmp_path / "sub-a.npy").touch()
    assert outside_file(tmp_path, "sub-a").name == "sub-a.npy"
    (tmp_path / "sub-a.nii.gz").touch()
    with pytest.raises(ParameterError, match=r"found sub-a\.npy, sub-a\.nii\.gz"):
        outside_file(tmp_path, "sub-a")


def test_every_problem_is_said_at_once(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "sub-a.npy").touch()
    with pytest.raises(ParameterError) as error:
        check_outside({"pgmif": "x", "Bad Name": "x", "y": "absent"}, tmp_path, ["sub-a", "sub-b"])
    text = str(error.value)
    for part in ("'pgmif': expected a name of its own, found that of PGMIF", "taken are", "'Bad Name'",
                 "y: expected a folder, found none", "sub-b"):
        assert part in text
    check_outside({"other": "x"}, tmp_path, ["sub-a"])


def test_refused_before_anything_starts(root, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(root)
    arguments = ["reproduce", "--profile", "smoke", "--set", "run=never",
                 "--set", f"outside_methods={{other: {tmp_path}}}"]
    assert main(arguments) == 2
    assert "expected one file of sub-071" in capsys.readouterr().err
    assert not (root / "results" / "never").exists()
    with pytest.raises(ParameterError, match="outside_methods"):
        check_parameters({"outside_methods": {"a": 3}})


def halved(path):
    """An image whose voxels alone are changed, in the file beside its header."""
    values = np.frombuffer(path.read_bytes(), "<f4")
    path.write_bytes((values / 2).astype("<f4").tobytes())


@pytest.fixture
def beside_header(request, tmp_path, patient, volume):
    """A header with its voxels in another file, near or below: the two files."""
    folder = tmp_path / "theirs"
    (folder / "voxels").mkdir(parents=True)
    kind, image = request.param, image_of(volume, patient.grid)
    header = folder / ("sub-a.nhdr" if kind == "nhdr" else "sub-a.mhd")
    sitk.WriteImage(image, str(header))
    voxels = next(p for p in folder.iterdir() if p.is_file() and p != header)
    if kind == "below":
        moved = voxels.rename(folder / "voxels" / voxels.name)
        header.write_text(header.read_text().replace(voxels.name, f"voxels/{voxels.name}"))
        voxels = moved
    return header, voxels


@pytest.mark.parametrize("beside_header", ["mhd", "nhdr", "below"], indirect=True)
def test_voxels_beside_a_header_are_fused_again_when_they_change(
    tmp_path, patient, beside_header, monkeypatch
):
    cohort = SimpleNamespace(subjects=lambda split: ["sub-a"], modalities=("T1w", "T2w"), trust=Trust())
    monkeypatch.setattr(Run, "cohort", cohort)
    monkeypatch.setattr(staleness, "read_manifest", lambda *_: cohort)
    monkeypatch.setattr(baseline_comparison, "run_methods", lambda run: {"mine": method_named("mine")})
    monkeypatch.setattr(baseline_comparison, "method_code", lambda method: "")
    run = Run(tmp_path, "r", Parameters(outside_methods={"mine": "theirs"}), "x")
    sources = np.random.default_rng(1).random(patient.sources.shape).astype(np.float32)
    write_patient(run.store, patient._replace(sources=sources), {})

    def sources_of_the_step():
        config = run.parameters.model_dump()
        return [file_hash(p) for p in staleness._sources("04_baseline_comparison", config, tmp_path)]

    keys, means = [], []
    for change in (None, None, halved):
        if change:
            change(beside_header[1])
        keys.append(sources_of_the_step())
        baseline_comparison.fuse_patient(run, {}, "sub-a")
        means.append(read_fused(run, "sub-a", "mine").mean())
    assert keys[0] == keys[1] != keys[2]
    assert means[0] == means[1]
    assert means[2] == pytest.approx(means[0] / 2)
