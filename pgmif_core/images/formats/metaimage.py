"""MetaImage (.mha, .mhd): header and voxels."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pgmif_core.files import replacing
from pgmif_core.images.formats.common import (
    ImageError,
    Trust,
    Volume,
    assumed_ras,
    check_count,
    check_sizes,
    checked_data_file,
    no_frame,
    open_text,
    unpack,
)

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}
LAST = "ElementDataFile"
NAME = re.compile(r"[A-Za-z_][\w .:|()\[\]-]*")  # others' too: ITK keeps those of NIfTI, like dim[0]


class Header(NamedTuple):
    """`fields` as written, and where voxels start in a file that holds both."""

    fields: dict[str, str]
    data_at: int
    listed: tuple[str, ...]


def read_header(path: Path) -> Header:
    """The header of a MetaImage. Raises ImageError where there is none."""
    text, fields, at = open_text(path), {}, 0
    while LAST not in fields:
        line, newline, _ = text[at:].partition(b"\n")
        key, separator, value = line.decode("utf-8", "replace").partition("=")
        at += len(line) + len(newline)
        if not newline or not separator or not NAME.fullmatch(key.strip()) or len(fields) > 500:
            raise ImageError(f"{path}: expected the header of a MetaImage up to '{LAST} =', found "
                             f"{line[:60]!r}. Convert the file again.")
        fields[key.strip()] = value.strip()
    listed: tuple[str, ...] = ()
    if fields[LAST].upper().startswith("LIST"):
        rest = text[at:].decode("utf-8", "replace").splitlines()
        listed = tuple(line.strip() for line in rest if line.strip())
    return Header(fields, at, listed)


def data_names(path: Path, header: Header) -> list[str]:
    """Names of the files of voxels beside a header; empty where it holds them itself."""
    named = header.fields[LAST]
    if named.upper() == "LOCAL":
        return []
    if named.upper().startswith("LIST"):
        return list(header.listed[:10_000])
    if "%" in named:
        raise ImageError(f"{path}: expected a file of voxels, or LIST and their names, found the "
                         f"pattern {named!r}. Save the volume as one file.")
    return [named]


def _numbers(path: Path, header: Header, *names: str, count: int = 0, kind: type = float) -> list:
    """The numbers of the first of several fields that is there; empty where none is."""
    name = next((n for n in names if n in header.fields), "")
    try:
        found = [kind(word) for word in header.fields[name].split()] if name else []
    except ValueError:
        found = [None]
    if (name and None in found) or (found and count and len(found) != count):
        raise ImageError(f"{path}: expected {count or 'whole'} numbers after '{name} =', found "
                         f"{header.fields[name][:80]!r}; the header is damaged.")
    return found


def _yes(header: Header, *names: str) -> bool:
    return any(header.fields.get(name, "").strip().lower() in ("true", "1") for name in names)


def _placed(path: Path, header: Header, sizes: list[int], trust: Trust) -> tuple[NDArray, NDArray]:
    spacing = _numbers(path, header, "ElementSpacing", "ElementSize", count=3) or [1.0] * 3
    turned = _numbers(path, header, "TransformMatrix", "Rotation", "Orientation", count=9)
    origin = _numbers(path, header, "Offset", "Position", "Origin", count=3)
    if not turned and not origin:
        if not trust.assume_ras:
            raise no_frame(path, "neither TransformMatrix nor Offset")
        return assumed_ras(sizes, spacing)
    axes = np.reshape(turned or np.eye(3), (3, 3)).T  # the file has one axis per row
    lengths = np.linalg.norm(axes, axis=0)
    if not np.allclose(lengths, 1, atol=0.01):
        raise ImageError(f"{path}: expected a TransformMatrix of unit vectors, found lengths "
                         f"{np.round(lengths, 3).tolist()}; the header is damaged.")
    return axes * np.array(spacing), np.array(origin or [0.0] * 3)


def read_metaimage(path: Path, trust: Trust = Trust()) -> Volume:  # noqa: B008
    """A MetaImage volume with one number per voxel. Raises ImageError."""
    header = read_header(path)
    sizes = _numbers(path, header, "DimSize", kind=int)
    dimensions = _numbers(path, header, "NDims", kind=int)
    if dimensions != [len(sizes)]:
        raise ImageError(f"{path}: expected NDims sizes, found NDims {header.fields.get('NDims')!r} and "
                         f"DimSize {header.fields.get('DimSize')!r}; the header is damaged.")
    check_sizes(path, sizes)
    channels = _numbers(path, header, "ElementNumberOfChannels", kind=int) or [1]
    element = header.fields.get("ElementType", "")
    if channels != [1] or element not in TYPES:
        raise ImageError(f"{path}: expected one number per voxel of a known type, found "
                         f"{channels[0]} of {element or 'none'!r}. Convert the file again.")
    matrix, origin = _placed(path, header, sizes, trust)
    big = _yes(header, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    kind = np.dtype(TYPES[element]).newbyteorder(">" if big else "<")
    return Volume(_voxels(path, header, sizes, kind, trust), matrix, origin)


def _voxels(path: Path, header: Header, sizes: list[int], kind: np.dtype, trust: Trust) -> NDArray:
    if header.fields.get("BinaryData", "True").strip().lower() not in ("true", "1"):
        raise ImageError(f"{path}: expected binary voxels, found text (BinaryData = False). Save it "
                         "again as binary.")
    packing = "gzip" if _yes(header, "CompressedData") else "raw"
    names = data_names(path, header)
    files = [checked_data_file(path, name, trust) for name in names] or [path]
    count = check_count(path, sizes)
    skip = (_numbers(path, header, "HeaderSize", kind=int) or [0])[0]
    if count % len(files) or skip < -1:
        raise ImageError(f"{path}: expected files of equal parts after a header of 0 or more bytes, "
                         f"found {len(files)} files and HeaderSize {skip}.")
    part = count // len(files)
    arrays = []
    for file in files:
        needed = part * kind.itemsize
        begin = skip or (header.data_at if file == path else 0)
        at = file.stat().st_size - needed if skip == -1 else begin
        arrays.append(np.frombuffer(unpack(file, at, needed, packing), kind, part))
    return np.concatenate(arrays).reshape(sizes[::-1])


def write_detached(voxels: NDArray, image: sitk.Image, path: Path, header: Path) -> None:
    """Voxels (z, y, x; uint8 or float32) of an image as `path` with suffix .raw, and its header."""
    raw = path.with_suffix(".raw")
    with replacing(raw) as temporary:
        temporary.write_bytes(np.ascontiguousarray(voxels.astype(voxels.dtype.newbyteorder("<"))).tobytes())
    axes = np.reshape(image.GetDirection(), (3, 3)).T.ravel()
    fields = {
        "ObjectType": "Image", "NDims": 3, "BinaryData": True, "BinaryDataByteOrderMSB": False,
        "CompressedData": False, "TransformMatrix": " ".join(map(repr, axes.tolist())),
        "Offset": " ".join(map(repr, image.GetOrigin())),
        "ElementSpacing": " ".join(map(repr, image.GetSpacing())),
        "DimSize": " ".join(map(str, image.GetSize())),
        "ElementType": "MET_UCHAR" if voxels.dtype == np.uint8 else "MET_FLOAT", LAST: raw.name,
    }
    header.write_text("".join(f"{name} = {value}\n" for name, value in fields.items()))
