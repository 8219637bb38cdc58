"""Contours of a cohort's patients: one structure of several, in the place and of a size that can be."""

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicoms import dicom_seg, mask_contours, write_dicom_series, write_rtstruct
from helpers.images import count, like, write
from scipy.ndimage import binary_dilation, binary_fill_holes
from typer.testing import CliRunner

from pgmif.cli import app
from pgmif.cohort.manifest import patient_problems, read_gtv, read_manifest
from pgmif_core.images.masks import displaced, mask_note, read_mask
from pgmif_core.images.volumes import write_image


@pytest.fixture
def cohort(phantom, tmp_path):
    """A function that writes a patient with other files, and says what is wrong with it."""
    t1w = sitk.Resample(phantom.T1w, phantom.T2w)

    def problems(moved=(0.0, 0.0, 0.0), reference=None, space="", **more):
        shift = sitk.Image(t1w)
        shift.SetOrigin((np.array(t1w.GetOrigin()) + moved).tolist())
        gtv = sitk.Image(phantom.gtv)
        gtv.SetOrigin(shift.GetOrigin())
        for k in (1, 2):
            for name, picture in {"T1w": shift, "T2w": phantom.T2w, "gtv": gtv, **more}.items():
                write_image(picture, tmp_path / f"{name}{k}.nii.gz")
            if reference is not None:
                write_image(reference, tmp_path / f"ref{k}.nii.gz")
        refs = [f"ref{k}.nii.gz" if reference is not None else "" for k in (1, 2)]
        rows = [f"s{k},{split},T1w{k}.nii.gz,T2w{k}.nii.gz,gtv{k}.nii.gz,{space},{refs[k - 1]},x,y"
                for k, split in ((1, "train"), (2, "test"))]
        header = "subject,split,T1w,T2w,gtv,gtv_space,reference,source,license"
        (tmp_path / "m.csv").write_text("\n".join([header, *rows, ""]))
        return patient_problems(read_manifest(tmp_path / "m.csv"), "s1")

    return problems


def test_a_mask_on_the_grid_of_t1w_is_told_to_be_so(cohort):
    """Not to be given the affine of T2w, which would move the tumour."""
    (problem,) = cohort(moved=(4.0, 0.0, 0.0))
    assert "found one on the grid of T1w: set gtv_space to T1w" in problem
    assert cohort(moved=(4.0, 0.0, 0.0), space="T1w") == []


def test_a_tumour_as_its_own_reference_region_is_refused_on_any_sequence(cohort, phantom):
    for space in ("", "T1w"):
        (problem,) = cohort(reference=phantom.gtv, space=space)
        assert "expected a reference region beside the tumour" in problem


def test_a_contour_of_another_patient_is_refused(tmp_path, phantom, blob):
    """Of a SEG and of an RTSTRUCT, in `check`; and accepted where that is asked for."""
    for k in (1, 2):
        for name in ("T1w", "T2w"):
            write_dicom_series(getattr(phantom, name), tmp_path / f"{name}{k}", PatientID="A",
                               frame_of_reference="1.2.3")
    write_rtstruct(tmp_path / "rt.dcm", {"GTV": mask_contours(phantom.gtv)}, "1.2.3")
    for name, column in (("rt.dcm", "rt.dcm"), ("seg.dcm", "seg.dcm")):
        if name == "seg.dcm":
            dicom_seg(tmp_path / name, [(1, 0, blob), (1, 3, blob)], patient="B")
        else:
            data = pydicom.dcmread(tmp_path / name)
            data.PatientID = "B"
            data.save_as(tmp_path / name)
        rows = [f"a,train,T1w1,T2w1,{column},x,y", "b,test,T1w2,T2w2,other.dcm,x,y"]
        (tmp_path / "other.dcm").write_bytes(b"")
        text = "\n".join(["subject,split,T1w,T2w,gtv,source,license", *rows, ""])
        (tmp_path / "m.csv").write_text(text)
        said = " ".join(patient_problems(read_manifest(tmp_path / "m.csv"), "a"))
        assert "expected T1w, T2w, gtv of one patient, found that their PatientID differs" in said
        accepted = read_manifest(tmp_path / "m.csv", different_patients=True)
        assert "PatientID" not in " ".join(patient_problems(accepted, "a"))


def call(*arguments, code=0):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def cohort_with(folder, gtv="gtv1.nii.gz", **columns):
    names = "".join(f",{name}" for name in columns)
    values = "".join(f",{value}" for value in columns.values())
    rows = [f"s1,train,T1w1.nii.gz,T2w1.nii.gz,{gtv},x,y{values}",
            f"s2,test,T1w2.nii.gz,T2w2.nii.gz,gtv2.nii.gz,x,y{',' * len(columns)}"]
    header = f"subject,split,T1w,T2w,gtv,source,license{names}"
    (folder / "m.csv").write_text("\n".join([header, *rows]) + "\n")
    return read_manifest(folder / "m.csv")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_several_labels_need_a_choice(folder, phantom, tumour, suffix):
    other = np.roll(tumour, 12, axis=2) & ~tumour
    write((tumour + 4 * other).astype(np.uint8), phantom.gtv, folder / f"two{suffix}")
    cohort = cohort_with(folder, f"two{suffix}")
    (problem,) = patient_problems(cohort, "s1")
    assert "found 2 labels: 1, 4. Set gtv_label" in problem
    chosen = {"1": tumour, "4": other, "1+4": tumour | other, "all": tumour | other}
    for label, expected in chosen.items():
        cohort = cohort_with(folder, f"two{suffix}", gtv_label=label)
        assert count(read_gtv(cohort, "s1")) == expected.sum()
    for label, message in (("3", "found only 1, 4"), ("GTV", "as a number")):
        (problem,) = patient_problems(cohort_with(folder, f"two{suffix}", gtv_label=label), "s1")
        assert message in problem
    (problem,) = patient_problems(cohort_with(folder, f"two{suffix}", gtv_roi="GTV"), "s1")
    assert "gtv_roi is for RTSTRUCT, SEG and .seg.nrrd" in problem


def test_a_soft_mask_is_cut_at_one_half_and_says_so(folder, phantom, tumour):
    soft = np.clip(tumour * 0.9 + 0.05, 0, 1).astype(np.float32)
    path = write(soft, phantom.gtv, folder / "soft.nii.gz")
    mask = read_mask(path, lambda: None)
    assert count(mask) == tumour.sum()
    assert "were cut at 0.5" in mask_note(mask)
    said = call("evaluate", folder / "T2w1.nii.gz", "--gtv", path, "--source", folder / "T2w1.nii.gz")
    assert "were cut at 0.5" in said


@pytest.mark.parametrize("values", [
    lambda t, r: r.random(t.shape) * 800, lambda t, r: r.integers(0, 200, t.shape),
    lambda t, r: t * 1.0 - 0.5, lambda t, r: t * 3.7 + r.random(t.shape),
])
def test_intensities_are_no_mask(folder, phantom, tumour, values):
    made = values(tumour, np.random.default_rng(0)).astype(np.float32)
    path = write(made, phantom.gtv, folder / "wrong.nii.gz")
    for column in ("gtv", "reference"):
        cohort = cohort_with(folder, reference="wrong.nii.gz") if column == "reference" \
            else cohort_with(folder, "wrong.nii.gz")
        assert any("intensities" in p and f"column {column}" in p for p in patient_problems(cohort,
            "s1"))
    said = call("evaluate", folder / "T2w1.nii.gz", "--gtv", path, "--source", folder / "T2w1.nii.gz",
                code=2)
    assert "intensities" in said


def slicer(path, phantom, labels, names, layers=None):
    """A .seg.nrrd; with `layers` a first axis of layers, as 3-D Slicer writes overlapping segments."""
    stack = np.stack(labels, axis=-1) if layers else labels[0]
    if not layers:
        seg = like(stack, phantom.gtv, np.uint8)
        for n, name in enumerate(names):
            for key, value in (("Name", name), ("LabelValue", n + 1), ("Layer", 0)):
                seg.SetMetaData(f"Segment{n}_{key}", str(value))
        sitk.WriteImage(seg, str(path))
        return path
    spacing = phantom.gtv.GetSpacing()
    direction = " ".join(f"({','.join(str(spacing[k]) if j == k else '0' for j in range(3))})"
                         for k in range(3))
    size = " ".join(map(str, phantom.gtv.GetSize()))
    head = ["NRRD0004", "type: unsigned char", "dimension: 4", "space: left-posterior-superior",
            f"sizes: {len(labels)} {size}", f"space directions: none {direction}",
            "kinds: list domain domain domain", "encoding: raw",
            f"space origin: ({','.join(map(str, phantom.gtv.GetOrigin()))})"]
    head += [f"Segment{n}_{key}:={value}" for n, name in enumerate(names)
             for key, value in (("Name", name), ("LabelValue", 1), ("Layer", n))]
    path.write_bytes("\n".join(head).encode() + b"\n\n" + stack.astype(np.uint8).tobytes())
    return path


@pytest.mark.parametrize("layered", [False, True])
def test_segments_are_chosen_by_name(folder, phantom, tumour, layered):
    other = np.roll(tumour, 9, axis=2)
    plain = [tumour + 2 * (other & ~tumour)]
    slicer(folder / "x.seg.nrrd", phantom, [tumour, other] if layered else plain, ("GTV", "Parotid"),
           layered)
    expected = {"GTV": tumour, "parotid": other if layered else other & ~tumour, "GT*": tumour}
    for roi, voxels in expected.items():
        mask = read_gtv(cohort_with(folder, "x.seg.nrrd", gtv_roi=roi), "s1")
        assert count(mask) == voxels.sum()
        assert displaced(mask, phantom.gtv, "T2w") == ""
    assert count(read_gtv(cohort_with(folder, "x.seg.nrrd"), "s1")) == tumour.sum()  # GTV*
    (problem,) = patient_problems(cohort_with(folder, "x.seg.nrrd", gtv_roi="lymph"), "s1")
    assert "no such structure: 'GTV', 'Parotid'" in problem
    (problem,) = patient_problems(cohort_with(folder, "x.seg.nrrd", gtv_roi="*"), "s1")
    assert "several" in problem


MOVES = {
    "mirrored": lambda a: np.diag([-1, 1, 1, 1]) @ a,
    "upside down": lambda a: np.diag([1, 1, -1, 1]) @ a,
    "identity": lambda a: np.eye(4), "shifted": lambda a: a + np.outer([1.6, 0, 0, 0], [0, 0, 0, 1]),
    "other spacing": lambda a: a @ np.diag([1.05, 1.05, 1, 1]),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("column", ["gtv", "reference"])
def test_a_mask_of_the_images_matrix_lies_in_its_place(folder, phantom, name, column):
    mask = nibabel.load(folder / "gtv1.nii.gz")
    voxels = np.asarray(mask.dataobj)
    if column == "reference":
        voxels = np.roll(voxels, 9, axis=0)
    nibabel.save(nibabel.Nifti1Image(voxels, MOVES[name](mask.affine)), folder / "moved.nii.gz")
    columns = {"gtv": "moved.nii.gz"} if column == "gtv" else {"reference": "moved.nii.gz"}
    problems = patient_problems(cohort_with(folder, **columns), "s1")
    assert any(f"column {column}" in p and "the mask's affine is" in p and "and that of T2w" in p
               for p in problems)
    option = ("--gtv", folder / "moved.nii.gz") if column == "gtv" else (
        "--gtv", folder / "gtv1.nii.gz", "--reference", folder / "moved.nii.gz")
    said = call("evaluate", folder / "T2w1.nii.gz", *option, "--source", folder / "T1w1.nii.gz", code=2)
    assert "the mask's affine is" in said
    assert "gtv_space" not in said


def test_a_mask_may_be_off_by_rounding_or_have_a_grid_of_its_own(folder, phantom):
    mask = nibabel.load(folder / "gtv1.nii.gz")
    affine = mask.affine.copy()
    affine[:3, 3] += 0.4
    nibabel.save(nibabel.Nifti1Image(np.asarray(mask.dataobj), affine), folder / "near.nii.gz")
    assert not patient_problems(cohort_with(folder, "near.nii.gz"), "s1")
    cropped = phantom.gtv[5:-5, 5:-5, :]
    sitk.WriteImage(cropped, str(folder / "cropped.nii.gz"))
    assert not patient_problems(cohort_with(folder, "cropped.nii.gz"), "s1")


@pytest.mark.parametrize("share", ["head", "brain", "half"])
def test_a_mask_of_the_head_or_the_brain_is_no_tumour(folder, phantom, share):
    t2w = sitk.GetArrayFromImage(phantom.T2w)
    head = np.stack([binary_fill_holes(plane > 60) for plane in t2w])
    if share == "brain":
        head = ~binary_dilation(~head, iterations=4)
    if share == "half":
        head[:, : head.shape[1] // 2] = False
    write(head.astype(np.uint8), phantom.gtv, folder / "T2_mask.nii.gz")
    (problem,) = patient_problems(cohort_with(folder, "T2_mask.nii.gz"), "s1")
    assert "of the head on T2w (at most 33%)" in problem
    problems = patient_problems(cohort_with(folder, reference="T2_mask.nii.gz"), "s1")
    assert any("column reference" in p and "of the head" in p for p in problems)


def test_both_a_name_and_a_number_are_refused(folder):
    with pytest.raises(ValueError, match="found both; keep one"):
        cohort_with(folder, gtv_roi="GTV", gtv_label="1")
