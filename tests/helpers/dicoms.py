"""DICOM files of tests: series, structure sets, and a whole public-cohort tree, from phantoms."""

import itertools
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

PLANTED = {  # identifiers that must reach no output
    "PatientName": "Planted^Surname", "PatientID": "PLANTED-ID-4711", "PatientBirthDate": "19610203",
    "StudyDate": "20190807", "ReferringPhysicianName": "Planted^Referrer",
    "InstitutionName": "Planted Hospital", "AccessionNumber": "PLANTEDACC", "StudyID": "PLANTEDSTUDY",
    "SeriesDescription": "t2_tse Planted^Surname",
}


def image(voxels, spacing=(1.0, 1.0, 3.0), direction=None, origin=(0.0, 0.0, 0.0)):
    result = sitk.GetImageFromArray(np.asarray(voxels, np.float32))
    result.SetSpacing(spacing)
    result.SetOrigin(origin)
    if direction is not None:
        result.SetDirection(np.asarray(direction).ravel().tolist())
    return result


def oblique(degrees=20.0, axis=(1, 2, 3)):
    versor = sitk.VersorRigid3DTransform()
    versor.SetRotation((np.array(axis) / np.linalg.norm(axis)).tolist(), float(np.deg2rad(degrees)))
    return np.array(versor.GetMatrix()).reshape(3, 3)


def write_dicom_series(
    volume: sitk.Image, folder: Path, slope=1.0, intercept=0.0, shear=(0.0, 0.0, 0.0),
    frame_of_reference=None, number=1, order=None, **changes,
) -> Path:
    """One classic MR file per slice, in scrambled file order, with planted identifiers."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels = sitk.GetArrayFromImage(volume)
    direction = np.array(volume.GetDirection()).reshape(3, 3)
    series, study = generate_uid(), generate_uid()
    frame = frame_of_reference or generate_uid()
    order = order if order is not None else np.random.default_rng(0).permutation(len(voxels))
    for name, k in enumerate(order):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        for key, value in PLANTED.items():
            setattr(data, key, value)
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.FrameOfReferenceUID, data.Modality, data.SeriesNumber = frame, "MR", number
        data.InstanceNumber = int(k) + 1
        position = np.array(volume.TransformIndexToPhysicalPoint((0, 0, int(k)))) + k * np.array(shear)
        data.ImagePositionPatient = [f"{v:.8f}"[:16] for v in position]
        axes = np.concatenate([direction[:, 0], direction[:, 1]])
        data.ImageOrientationPatient = [f"{v:.12f}"[:16] for v in axes]
        spacing = volume.GetSpacing()
        data.PixelSpacing = [spacing[1], spacing[0]]
        data.SliceThickness = spacing[2]
        data.Rows, data.Columns = voxels.shape[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        own = slope[k] if np.ndim(slope) else slope
        if own != 1 or intercept:
            data.RescaleSlope, data.RescaleIntercept = own, intercept
        data.PixelData = np.round((voxels[k] - intercept) / own).astype("<i2").tobytes()
        for key, value in changes.items():
            setattr(data, key, value)
        data.save_as(folder / f"{name:04d}.dcm", enforce_file_format=True)
    return folder


def write_rtstruct(path: Path, structures: dict[str, list[np.ndarray]], frame: str) -> Path:
    """An RTSTRUCT with, per structure, contours of (n, 3) points in mm."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, generate_uid()
    data.Modality, data.StructureSetLabel = "RTSTRUCT", "test"
    data.PatientName = PLANTED["PatientName"]
    reference = Dataset()
    reference.FrameOfReferenceUID = frame
    data.ReferencedFrameOfReferenceSequence = [reference]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, loops) in enumerate(structures.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID, roi.ROIGenerationAlgorithm = frame, "MANUAL"
        data.StructureSetROISequence.append(roi)
        contour = Dataset()
        contour.ReferencedROINumber, contour.ContourSequence = number, []
        for loop in loops:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(loop)
            item.ContourData = [f"{v:.6f}"[:16] for v in np.asarray(loop).ravel()]
            contour.ContourSequence.append(item)
        data.ROIContourSequence.append(contour)
    data.save_as(path, enforce_file_format=True)
    return path


def into_air(mask: sitk.Image) -> sitk.Image:
    """The same contour, moved to a corner of its own volume: in view, beside the head."""
    voxels = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    size = np.array(mask.GetSize())
    corner = np.array([0.14 * size[0], 0.12 * size[1], voxels[:, 2].mean()])
    here, there = (
        np.array(mask.TransformContinuousIndexToPhysicalPoint(i.tolist()))
        for i in (voxels.mean(axis=0), corner)
    )
    copy = sitk.Image(mask)
    copy.SetOrigin((np.array(mask.GetOrigin()) + there - here).tolist())
    return copy


def mask_contours(mask: sitk.Image) -> list[np.ndarray]:
    """Contours of a mask as a planning system draws them: one loop per slice and component, in mm."""
    from skimage.measure import find_contours

    loops = []
    for k, plane in enumerate(sitk.GetArrayFromImage(mask)):
        for loop in find_contours(np.pad(plane.astype(float), 1), 0.5):
            index = [(x - 1, y - 1, float(k)) for y, x in loop]
            loops.append(np.array([mask.TransformContinuousIndexToPhysicalPoint(i) for i in index]))
    return loops


def frame_of(folder: Path) -> str:
    return str(pydicom.dcmread(next(folder.glob("*.dcm"))).FrameOfReferenceUID)


def npc277_tree(folder: Path, patients: int, make) -> Path:
    """The exact layout of Zenodo 10900202 from phantoms: data/MRI-Segments/001/{T1WI,T2WI,CE-T1WI}.

    `make(k)` gives the phantom of patient k with its ceT1w. Contours are drawn on every sequence.
    """
    base = folder / "data" / "MRI-Segments"
    for k in range(patients):
        phantom, place = make(k), base / f"{k + 1:03d}"
        frame = generate_uid()
        scans = {"T1WI": phantom.T1w, "T2WI": phantom.T2w, "CE-T1WI": phantom.ceT1w}
        for number, (name, scan) in enumerate(scans.items(), start=1):
            write_dicom_series(scan, place / name, frame_of_reference=frame, number=number)
        for name, scan in (("T1", phantom.T1w), ("T2", phantom.T2w), ("CE-T1", phantom.ceT1w)):
            mask = sitk.Resample(phantom.gtv, scan, sitk.Transform(), sitk.sitkNearestNeighbor)
            sitk.WriteImage(mask, str(place / f"ROI-{name}.nii"))
    return folder


def bids_tree(folder: Path, patients: int, make) -> Path:
    """A BIDS tree: anat images below sub-*, tumour masks below derivatives/."""
    for k in range(patients):
        phantom, name = make(k), f"sub-{k + 1:02d}"
        for suffix in ("T1w", "T2w"):
            path = folder / name / "ses-01" / "anat" / f"{name}_ses-01_{suffix}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(getattr(phantom, suffix), str(path))
        path = folder / "derivatives" / "gtv" / name / f"{name}_ses-01_space-T2w_label-GTV_mask.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(phantom.gtv, str(path))
    (folder / "dataset_description.json").write_text(
        '{"Name": "phantom BIDS", "BIDSVersion": "1.9.0", "License": "CC0"}'
    )
    return folder


def volume(depth=7, rows=24, columns=31, seed=0, **geometry):
    """An oblique volume of whole numbers."""
    voxels = np.random.default_rng(seed).integers(0, 900, (depth, rows, columns))
    geometry = {"spacing": (0.9, 1.1, 3.3), "direction": oblique(), "origin": (5, -40, 12), **geometry}
    return image(voxels, **geometry)


def assert_same(found, expected, voxels=0.51):
    """The same voxels, to rounding, in the same place."""
    assert found.GetSize() == expected.GetSize()
    for corner in itertools.product(*((0, n - 1) for n in expected.GetSize())):
        places = [i.TransformIndexToPhysicalPoint(corner) for i in (found, expected)]
        np.testing.assert_allclose(*places, atol=1e-3)
    arrays = [sitk.GetArrayFromImage(i) for i in (found, expected)]
    np.testing.assert_allclose(*arrays, atol=voxels)


def group(**values):
    """An item of a sequence."""
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
