"""Damaged DICOM series and RTSTRUCTs."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pydicom
from damage import ANY, EDGES, FLOATS, WORDS, Rng, blank, cut, flip, lose, pick
from pydicom.dataset import Dataset
from pydicom.uid import UID

# DICOM

DICOM_TAGS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "SliceThickness", "RescaleSlope", "RescaleIntercept", "NumberOfFrames",
    "SOPClassUID", "SeriesInstanceUID", "InstanceNumber", "Modality", "FrameOfReferenceUID",
    "PixelPaddingValue", "SpacingBetweenSlices", "PatientID", "SOPInstanceUID", "ImageType",
)
SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5",
            "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90",
            "1.2.840.10008.1.2.4.100", "1.2.3.4")


def _raw_value(data: Dataset, keyword: str, rng: Rng) -> None:
    """A value as no writer of DICOM would accept it."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    vr = pydicom.datadict.dictionary_VR(keyword).split(" ")[0]
    if vr in ("US", "SS"):
        value = np.array(pick(rng, EDGES)).astype("<u2").tobytes() * int(rng.integers(0, 3))
    else:
        words = [str(pick(rng, EDGES + FLOATS + WORDS)) for _ in range(int(rng.integers(0, 7)))]
        value = "\\".join(words).encode("utf-8", "replace")
        value += b" " * (len(value) % 2)
    data[tag] = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(tag), vr, len(value), value, 0, False, True)


def _nudge(data: Dataset, keyword: str, rng: Rng) -> None:
    """A value near the right one: a slice out of place, an axis turned, another spacing."""
    values = np.atleast_1d(np.array(data[keyword].value, float)) if keyword in data else np.zeros(1)
    k = int(rng.integers(len(values)))
    values[k] += pick(rng, (1e-5, 1e-3, 0.01, 0.1, -1, 7, 300, -0.5))
    setattr(data, keyword, [f"{v:.8f}"[:16] for v in values] if len(values) > 1 else f"{values[0]:.8f}")


def _one_tag(file: Path, rng: Rng, keyword: str, change: str) -> None:
    data = pydicom.dcmread(file)
    if change == "delete":
        data.pop(pydicom.datadict.tag_for_keyword(keyword), None)
    elif change == "nudge":
        _nudge(data, keyword, rng)
    else:
        _raw_value(data, keyword, rng)
    data.save_as(file)


def _syntax(file: Path, rng: Rng) -> None:
    """Pixels that are called something else than they are."""
    syntax = UID(pick(rng, SYNTAXES))
    data = pydicom.dcmread(file)
    if rng.random() < 0.5 and not syntax.is_private and syntax.is_compressed:
        pixels = bytearray(data.PixelData[:600])
        data.PixelData = pydicom.encaps.encapsulate([bytes(pixels)])
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(file)
        return
    raw, old = bytearray(file.read_bytes()), str(data.file_meta.TransferSyntaxUID).encode()
    new = str(syntax).encode()[: len(old)].ljust(len(old), b"\0")
    file.write_bytes(bytes(raw).replace(old, new, 1))


def _rle(file: Path, rng: Rng) -> None:
    """Compressed pixels, damaged."""
    data = pydicom.dcmread(file)
    data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    pixels = bytearray(data.PixelData)
    pick(rng, (flip, cut, blank, lose))(pixels, rng)
    data.PixelData = bytes(pixels) + b"\0" * (len(pixels) % 2)
    data.save_as(file)


def _file_bytes(file: Path, rng: Rng) -> None:
    data = bytearray(file.read_bytes())
    change = pick(rng, ANY)
    if change is flip:
        flip(data, rng, 128 if rng.random() < 0.9 else 0, 1800 if rng.random() < 0.8 else 0)
    else:
        change(data, rng)
    file.write_bytes(data)


def _files(folder: Path, rng: Rng) -> None:
    """A file of a series lost, doubled, empty, or of another series."""
    files = sorted(folder.iterdir())
    first, second = (files[k] for k in rng.choice(len(files), 2, replace=False))
    kind = int(rng.integers(5))
    if kind == 0:
        first.unlink()
    elif kind == 1:
        shutil.copyfile(first, folder / "copy.dcm")
    elif kind == 2:
        first.write_bytes(b"")
    elif kind == 3:
        shutil.copyfile(first, second)
    else:
        (folder / "notes.txt").write_bytes(rng.bytes(300))


def dicom(base: Path, to: Path, name: str, rng: Rng) -> Path:
    """A damaged series: in one file, or in all of them alike."""
    folder = Path(shutil.copytree(base / f"{name}_dicom", to / f"mutant-{name}"))
    files = sorted(folder.iterdir())
    chosen = files if rng.random() < 0.4 else [pick(rng, files)]
    kind = int(rng.integers(10))
    if kind == 0:
        _files(folder, rng)
        return folder
    seed, keyword = int(rng.integers(2**31)), pick(rng, DICOM_TAGS)
    change = pick(rng, ("delete", "raw", "raw", "raw"))
    if keyword in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient") and kind % 2:
        change = "nudge"
    for file in chosen:
        own = np.random.default_rng(seed)  # the same in every file
        if kind < 6:
            _one_tag(file, own, keyword, change)
        elif kind == 6:
            _syntax(file, own)
        elif kind == 7:
            _rle(file, own)
        else:
            _file_bytes(file, own)
    return folder


# RTSTRUCT

def _contours(data: Dataset) -> list[Dataset]:
    return [loop for roi in data.ROIContourSequence for loop in roi.ContourSequence]


def _points(data: Dataset, rng: Rng) -> None:
    loop = pick(rng, _contours(data))
    values = [str(v) for v in loop.ContourData]
    kind = int(rng.integers(8))
    if kind == 0:
        values = values[: int(rng.integers(len(values)))]
    elif kind == 1:
        values[int(rng.integers(len(values)))] = pick(rng, WORDS)
    elif kind == 2:
        values[int(rng.integers(len(values)))] = str(pick(rng, FLOATS))
    elif kind == 3:
        values = values * int(rng.integers(2, 200))
    elif kind == 4:
        values = []
    elif kind == 5:  # one point in another plane
        k = 3 * int(rng.integers(len(values) // 3)) + 2
        values[k] = f"{float(values[k]) + float(rng.normal(0, 8)):.6f}"
    elif kind == 6:  # a scribble
        order = rng.permutation(len(values) // 3)
        values = [values[3 * i + j] for i in order for j in range(3)]
    else:  # far away
        values = [f"{float(v) + 1e5:.4f}" for v in values]
    text = "\\".join(values).encode("utf-8", "replace")
    loop[0x30060050] = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(0x30060050), "DS", len(text), text + b" " * (len(text) % 2), 0, False, True)


def _structure(data: Dataset, rng: Rng) -> None:
    kind = int(rng.integers(9))
    if kind == 0:
        delattr(data, pick(rng, ("ROIContourSequence", "StructureSetROISequence",
                                  "ReferencedFrameOfReferenceSequence", "Modality", "SOPClassUID")))
    elif kind == 1:
        pick(rng, data.ROIContourSequence).ReferencedROINumber = int(pick(rng, (0, 2, 77)))
    elif kind == 2:
        names = ("GTVp", "", "gtvp", "GTV*", "x" * 300, "[", "\n")
        data.StructureSetROISequence[1].ROIName = pick(rng, names)
    elif kind == 3:
        pick(rng, data.ROIContourSequence).ContourSequence = []
    elif kind == 4:
        loops = data.ROIContourSequence[0].ContourSequence
        loops.append(copy.deepcopy(pick(rng, loops)))
    elif kind == 5:
        for loop in _contours(data):
            loop.ContourGeometricType = pick(rng, ("POINT", "OPEN_PLANAR", "CLOSED_NONPLANAR", "", "X"))
    elif kind == 6:
        data.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3"
        for roi in data.StructureSetROISequence:
            roi.ReferencedFrameOfReferenceUID = "1.2.3"
    elif kind == 7:
        loop = pick(rng, _contours(data))
        delattr(loop, pick(rng, ("ContourData", "ContourGeometricType", "NumberOfContourPoints")))
    else:
        shift = float(rng.normal(0, 4))
        for loop in data.ROIContourSequence[0].ContourSequence:
            moved = np.array(loop.ContourData, float).reshape(-1, 3)
            moved[:, 2] += shift
            loop.ContourData = [f"{v:.6f}"[:16] for v in moved.ravel()]


def rtstruct(base: Path, to: Path, name: str, rng: Rng) -> Path:
    """A damaged structure set, to be read on the good T2w series."""
    path = to / "mutant-gtv.dcm"
    kind = int(rng.integers(3))
    if kind == 2:
        data = bytearray((base / "gtv.dcm").read_bytes())
        pick(rng, ANY)(data, rng)
        path.write_bytes(data)
        return path
    data = pydicom.dcmread(base / "gtv.dcm")
    for _ in range(int(rng.integers(1, 3))):
        try:
            (_points if kind else _structure)(data, rng)
        except (AttributeError, ValueError, TypeError, IndexError):
            break  # the first change took what the second wanted
    data.save_as(path)
    return path
