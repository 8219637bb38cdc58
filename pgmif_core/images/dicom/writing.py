"""A fused volume → a derived MR series that overlays on the T2w series it came from."""

import datetime
import os
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from pgmif_core.files import remove
from pgmif_core.images.dicom.series import FRAME_OF_REFERENCE, SeriesError

STORED_MAXIMUM = 4095  # fused 1.0; twelve bits, as scanners store


def write_series(
    image: sitk.Image, folder: str | os.PathLike, subject: str, method: str,
    frame_of_reference: str = "",
) -> Path:
    """Write a fused volume in [0, 1] as one DICOM file per slice (MR Image, DERIVED\\SECONDARY).

    Geometry is the image's own. `frame_of_reference` is that of the T2w series, so that planning
    software overlays the two; it is the only identifier kept, all others are new. The patient is
    called `subject`. Stored values are 4095 times the fused ones, and rescale to them. The folder
    appears when it is complete. Raises SeriesError where the folder already holds files.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise SeriesError(
            f"{folder}: expected an empty or absent folder, found files; a second series among them "
            "could not be told from the first. Name another folder."
        )
    temporary = folder.with_name(f".{os.getpid()}-{folder.name}")
    remove(temporary)  # left over by a killed process that had the same number
    temporary.mkdir(parents=True)
    try:
        common = _common(subject, method, frame_of_reference or _frame(image) or generate_uid())
        voxels = np.clip(sitk.GetArrayFromImage(image), 0, 1)
        stored = np.round(voxels * STORED_MAXIMUM).astype("<u2")
        for k, plane in enumerate(stored):
            _slice(common, image, k, plane).save_as(
                temporary / f"{k + 1:04d}.dcm", enforce_file_format=True
            )
        if folder.exists():
            folder.rmdir()
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _frame(image: sitk.Image) -> str:
    known = FRAME_OF_REFERENCE in image.GetMetaDataKeys()
    return image.GetMetaData(FRAME_OF_REFERENCE) if known else ""


def _common(subject: str, method: str, frame_of_reference: str) -> pydicom.Dataset:
    """What all slices share. Dates of the examination stay empty: they identify a patient."""
    now = datetime.datetime.now()
    common = pydicom.Dataset()
    common.SpecificCharacterSet = "ISO_IR 192"
    common.SOPClassUID = MRImageStorage
    common.PatientName = common.PatientID = subject
    for empty in (
        "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
        "StudyID", "AccessionNumber", "PositionReferenceIndicator", "ScanOptions", "EchoTime",
        "EchoTrainLength", "RepetitionTime", "PatientPosition",
    ):
        setattr(common, empty, "")
    common.PatientIdentityRemoved = "NO"  # the frame of reference and the voxels may still tell
    common.StudyInstanceUID, common.SeriesInstanceUID = generate_uid(), generate_uid()
    common.FrameOfReferenceUID = frame_of_reference
    common.Modality, common.SeriesNumber = "MR", 9001
    common.SeriesDescription = f"{method} (fused, derived)"[:64]
    common.Manufacturer, common.ManufacturerModelName = "pgmif", "pgmif"
    common.SoftwareVersions = version("pgmif")
    common.InstanceCreationDate = common.ContentDate = now.strftime("%Y%m%d")
    common.InstanceCreationTime = common.ContentTime = now.strftime("%H%M%S")
    common.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    common.DerivationDescription = (
        f"{method}: image fusion of registered sequences by pgmif {version('pgmif')}. "
        "Research use only, not a medical device."
    )
    common.BurnedInAnnotation, common.LossyImageCompression = "NO", "00"
    common.ScanningSequence, common.SequenceVariant, common.MRAcquisitionType = "RM", "NONE", "2D"
    common.SamplesPerPixel, common.PhotometricInterpretation = 1, "MONOCHROME2"
    common.BitsAllocated, common.BitsStored, common.HighBit = 16, 12, 11
    common.PixelRepresentation = 0
    common.RescaleSlope, common.RescaleIntercept = _numbers(np.array([1 / STORED_MAXIMUM, 0.0]))
    common.RescaleType = "US"
    common.WindowCenter, common.WindowWidth = "0.5", "1"
    return common


def _numbers(values: NDArray) -> list[str]:
    """Decimal strings of at most 16 characters, as DICOM demands; 1e-9 or better near 100 mm."""
    return [pydicom.valuerep.format_number_as_ds(float(v)) for v in values]


def _slice(common: pydicom.Dataset, image: sitk.Image, k: int, plane: NDArray) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.update(common)
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.InstanceNumber = k + 1
    spacing = np.array(image.GetSpacing())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    dataset.ImagePositionPatient = _numbers(
        np.array(image.TransformIndexToPhysicalPoint((0, 0, k)))
    )
    dataset.ImageOrientationPatient = _numbers(np.concatenate([direction[:, 0], direction[:, 1]]))
    dataset.PixelSpacing = _numbers(spacing[1::-1])
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _numbers(spacing[2:])[0]
    dataset.Rows, dataset.Columns = plane.shape
    dataset.PixelData = plane.tobytes()
    return dataset
