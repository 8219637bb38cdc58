"""DICOM SEG: one segment of several, frames that are not stored, and whose it is."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicoms import image, mask_contours, write_dicom_series, write_rtstruct
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from pgmif.cohort.manifest import patient_problems, read_manifest
from pgmif_core.images.masks import read_mask
from pgmif_core.images.volumes import ImageError


def count(mask):
    return int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))


def group(**values):
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def dicom_seg(path, frames, fractional=False, apart=None, frame="", patient=""):
    """A DICOM SEG of (segment, z, pixels) frames: 1 GTV, 2 Parotid; slices of 3 mm, `apart` mm."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.SeriesInstanceUID, data.PhotometricInterpretation = "SEG", "1.2.3", "MONOCHROME2"
    data.FrameOfReferenceUID, data.PatientID = frame, patient
    data.SamplesPerPixel, data.PixelRepresentation, data.NumberOfFrames = 1, 0, len(frames)
    data.Rows, data.Columns = frames[0][2].shape
    bits = 8 if fractional else 1
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.SegmentationType = "FRACTIONAL" if fractional else "BINARY"
    if fractional:
        data.MaximumFractionalValue = 200
    data.SharedFunctionalGroupsSequence = [group(
        PlaneOrientationSequence=[group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[group(PixelSpacing=[1, 1], SliceThickness=3, **(
            {"SpacingBetweenSlices": apart} if apart else {}))])]
    data.SegmentSequence = [group(SegmentNumber=s, SegmentLabel=n, SegmentAlgorithmType="MANUAL")
                            for s, n in ((1, "GTV"), (2, "Parotid"))]
    data.PerFrameFunctionalGroupsSequence = [group(
        PlanePositionSequence=[group(ImagePositionPatient=[0, 0, z])],
        SegmentIdentificationSequence=[group(ReferencedSegmentNumber=s)]) for s, z, _ in frames]
    pixels = np.concatenate([f.ravel() for *_, f in frames])
    packed = pixels.astype(np.uint8) if fractional else np.packbits(pixels, bitorder="little")
    data.add_new(0x7FE00010, "OB", packed.tobytes())
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def blob():
    pixels = np.zeros((33, 41), np.uint8)
    pixels[20:30, 20:30] = 1
    return pixels


def test_a_segment_of_a_dicom_seg_alone_is_read(tmp_path, blob):
    other = np.roll(blob, -15, 1)
    path = dicom_seg(tmp_path / "a.dcm", [(1, 0, blob), (2, 0, other), (1, 3, blob), (2, 6, other)])
    assert count(read_mask(path, lambda: None, "GTV")) == 200
    assert count(read_mask(path, lambda: None)) == 200
    assert count(read_mask(path, lambda: None, "par*")) == 200
    with pytest.raises(ImageError, match="no such structure: 'GTV', 'Parotid'"):
        read_mask(path, lambda: None, "lymph")
    with pytest.raises(ImageError, match="gtv_roi"):
        read_mask(path, lambda: None, "", "1")


@pytest.mark.parametrize("heights", [(0, 3, 12, 15), (12, 0, 3), (0.0, 2.99, 6.01, 15.0), (5,)])
def test_empty_slices_of_a_dicom_seg_are_not_stored_and_are_empty(tmp_path, blob, heights):
    path = dicom_seg(tmp_path / "b.dcm", [(1, z, blob) for z in heights])
    mask = read_mask(path, lambda: None, "GTV")
    assert count(mask) == 100 * len(heights)
    for z in heights:
        assert mask[mask.TransformPhysicalPointToIndex((25.0, 25.0, float(z)))]
    if 12 in heights:
        assert not mask[mask.TransformPhysicalPointToIndex((25.0, 25.0, 9.0))]


def test_fractions_of_a_dicom_seg_are_cut_at_one_half(tmp_path, blob):
    weak = blob * 99
    weak[20:25] = blob[20:25] * 101
    mask = read_mask(dicom_seg(tmp_path / "c.dcm", [(1, 0, weak), (1, 3, weak)], True), lambda: None,
        "GTV")
    assert count(mask) == 100


def test_a_folder_with_one_structure_set_is_read(tmp_path, blob):
    (tmp_path / "RS").mkdir()
    dicom_seg(tmp_path / "RS" / "1-1.dcm", [(1, 0, blob), (1, 3, blob)])
    assert count(read_mask(tmp_path / "RS", lambda: None, "GTV")) == 200
    grid = image(np.zeros((6, 16, 16)))
    grid.SetMetaData("frame-of-reference", "1.2.3")
    write_rtstruct(tmp_path / "RS" / "2.dcm", {"GTV": [np.array([[2, 2, 6], [9, 2, 6], [9, 9, 6.0]])]},
                   "1.2.3")
    with pytest.raises(ImageError, match="one structure set, found 2"):
        read_mask(tmp_path / "RS", lambda: grid)


@pytest.mark.parametrize(("heights", "apart", "step"), [
    ((0, 12), None, 3), ((0, 6, 12), 6, 6), ((0, 12, 24), 6, 6), ((0, 12), 4, 4),
    ((0, 4.5, 9), None, 4.5), ((0, 4.5, 9), 3, 4.5), ((5,), 6, 6),
])
def test_slices_are_as_thick_as_the_file_says(tmp_path, blob, heights, apart, step):
    """Where frames lie on such slices; else as far apart as two of them are at least."""
    path = dicom_seg(tmp_path / "d.dcm", [(1, z, blob) for z in heights], apart=apart)
    mask = read_mask(path, lambda: None)
    assert mask.GetSpacing()[2] == step
    assert count(mask) == 100 * len(heights)


def test_a_seg_in_another_frame_of_reference_is_refused(tmp_path, blob):
    grid = image(np.zeros((6, 33, 41)))
    grid.SetMetaData("frame-of-reference", "1.2.3")
    frames = [(1, 0, blob), (1, 3, blob)]
    for frame in ("", "1.2.3"):
        read_mask(dicom_seg(tmp_path / "e.dcm", frames, frame=frame), lambda: grid)
    with pytest.raises(ImageError, match="in another: it was drawn on another series"):
        read_mask(dicom_seg(tmp_path / "e.dcm", frames, frame="1.2.9"), lambda: grid)


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
