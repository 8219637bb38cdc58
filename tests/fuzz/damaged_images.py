"""Damaged NIfTI, NRRD and MetaImage files."""

import bz2
import gzip
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from damage import ANY, EDGES, FLOATS, WORDS, Rng, flip, pick
from good import plain_bytes

# NIfTI

NIFTI_FIELDS = (  # offset, type, and how often
    (0, "<i4", 1), (40, "<i2", 3), (42, "<i2", 2), (44, "<i2", 2), (46, "<i2", 2), (48, "<i2", 2),
    (56, "<f4", 1), (68, "<i2", 1), (70, "<i2", 3), (72, "<i2", 2), (76, "<f4", 2), (80, "<f4", 2),
    (84, "<f4", 2), (88, "<f4", 2), (108, "<f4", 3), (112, "<f4", 2), (116, "<f4", 2), (123, "u1", 3),
    (252, "<i2", 2), (254, "<i2", 2), (256, "<f4", 1), (260, "<f4", 1), (264, "<f4", 1),
    (268, "<f4", 1), (280, "<f4", 2), (284, "<f4", 1), (292, "<f4", 1), (300, "<f4", 2), (316, "<f4", 1),
    (324, "<f4", 1), (344, "<i4", 1), (348, "<i4", 1), (352, "<i4", 1),
)


def _nifti_field(data: bytearray, rng: Rng) -> None:
    weights = np.array([w for *_, w in NIFTI_FIELDS], float)
    for _ in range(int(rng.integers(1, 3))):
        offset, kind, _weight = NIFTI_FIELDS[int(rng.choice(len(weights), p=weights / weights.sum()))]
        value = pick(rng, FLOATS) if kind == "<f4" else pick(rng, EDGES)
        known = int(rng.integers(0, 2100)) if offset == 70 and rng.random() < 0.5 else value
        with np.errstate(all="ignore"):
            item = np.array(known).astype(kind)
        data[offset : offset + item.nbytes] = item.tobytes()


def _nifti_large(data: bytearray, rng: Rng) -> None:
    """Sizes that would fill the memory."""
    sizes = [pick(rng, (32767, 20000, 4096, 512)) for _ in range(3)]
    data[40:48] = np.array([3, *sizes], "<i2").tobytes()


def nifti(base: Path, to: Path, name: str, rng: Rng) -> Path:
    """A damaged NIfTI of the good image `name`, packed or not."""
    data = bytearray(plain_bytes(base / f"{name}.nii.gz"))
    change = pick(rng, (_nifti_field, _nifti_field, _nifti_field, _nifti_large, *ANY))
    if change is flip:
        flip(data, rng, 0, 352 if rng.random() < 0.8 else 0)
    else:
        change(data, rng)
    packed = rng.random() < 0.5
    if packed:
        data = bytearray(gzip.compress(bytes(data), 1, mtime=0))
        if rng.random() < 0.25:
            pick(rng, ANY[:-1])(data, rng)
    path = to / f"mutant-{name}.nii{'.gz' if packed != (rng.random() < 0.05) else ''}"
    path.write_bytes(data)
    return path


# NRRD and MetaImage

def _text(header: bytes, rng: Rng, separator: bytes) -> bytes:
    """One to three lines of a header changed: a value replaced, a line lost, doubled or moved."""
    lines = header.split(b"\n")
    for _ in range(int(rng.integers(1, 4))):
        k, kind = int(rng.integers(len(lines))), int(rng.integers(6))
        key, found, value = lines[k].partition(separator)
        parts = value.split()
        if kind == 0:
            del lines[k]
        elif kind == 1:
            lines.insert(int(rng.integers(len(lines))), lines[k])
        elif kind == 2 and found:
            lines[k] = key + found + b" " + pick(rng, WORDS).encode()
        elif kind in (3, 4) and parts:
            parts[int(rng.integers(len(parts)))] = str(pick(rng, EDGES + FLOATS + WORDS)).encode()
            lines[k] = key + found + b" " + b" ".join(parts)
        elif kind == 5:
            lines.insert(k, pick(rng, NEW_LINES))
        if not lines:
            return b""
    return b"\n".join(lines)


NEW_LINES = (
    b"encoding: gzip", b"encoding: ascii", b"encoding: bzip2", b"encoding: hex", b"endian: big",
    b"line skip: 3", b"byte skip: -1", b"byte skip: 99999", b"data file: LIST", b"type: block",
    b"data file: ../T2w.nii.gz", b"CompressedData = True", b"CompressedDataSize = 7",
    b"ElementType = MET_DOUBLE", b"ElementDataFile = /dev/zero", b"HeaderSize = -1",
    b"BinaryDataByteOrderMSB = True", b"ElementNumberOfChannels = 3", b"NDims = 4",
    b"BinaryData = False",
    b"dimension: 4", b"kinds: vector domain domain", b"space: left-up", b"\xff\xfe", b"x" * 5000,
    b"DimSize = 30000 30000 30000", b"sizes: 30000 30000 30000",
)


def text_headed(base: Path, to: Path, name: str, rng: Rng) -> Path:
    """A damaged NRRD or MetaImage, attached or detached, packed or not."""
    suffix = pick(rng, ("nrrd", "nhdr", "mha", "mhd"))
    path = to / f"mutant-{name}.{suffix}"
    sitk.WriteImage(sitk.ReadImage(str(base / f"{name}.nii.gz")), str(path), bool(rng.integers(2)))
    data = path.read_bytes()
    if suffix == "nrrd":
        header, end, voxels = data.partition(b"\n\n")
    elif suffix == "mha":
        header, end, voxels = data.partition(b"ElementDataFile = LOCAL\n")
        header, end = header + end[:-1], b"\n"
    else:
        header, end, voxels = data, b"", b""
    if rng.random() < 0.75:
        separator = b":" if suffix.startswith("n") else b"="
        path.write_bytes(_text(header, rng, separator) + end + voxels)
        return path
    beside = [p for p in to.iterdir() if p != path and p.name.startswith(path.stem)]
    target = beside[0] if beside and rng.random() < 0.5 else path
    changed = bytearray(target.read_bytes())
    if rng.random() < 0.1 and target != path:
        target.unlink()
    elif rng.random() < 0.1:
        target.write_bytes(bz2.compress(bytes(changed)))
    else:
        pick(rng, ANY)(changed, rng)
        target.write_bytes(changed)
    return path
