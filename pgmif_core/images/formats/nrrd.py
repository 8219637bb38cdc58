"""NRRD (.nrrd, .nhdr): header and voxels, and the segments that 3-D Slicer names in it."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16",
                     "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long",
                     "signed long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64",
                     "uint64_t"), "u8"),
    "float": "f4", "double": "f8",
}
PACKINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
            "txt": "text", "text": "text", "ascii": "text"}
SPELT = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}
SPACES = {  # signs of the axes towards LPS
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}
UNITS_MM = {"": 1.0, "mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0,
            "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3}
WIDEST_LIST = 1000  # slices in files of their own


class Header(NamedTuple):
    """Fields (lower case) and key/value pairs, and where voxels start in a file that holds both."""

    fields: dict[str, str]
    pairs: dict[str, str]
    data_at: int
    listed: tuple[str, ...]  # file names after `data file: LIST`


def read_header(path: Path) -> Header:
    """The header of an NRRD file. Raises ImageError where there is none."""
    text = open_text(path)
    if not re.match(rb"NRRD000[1-6]\r?\n", text):
        raise ImageError(f"{path}: expected an NRRD file, found {text[:8]!r}. Convert it again.")
    end = re.search(rb"\n\r?\n", text)
    head = text[: end.start()] if end else text
    fields, pairs, listed = {}, {}, []
    for line in head.decode("utf-8", "replace").splitlines()[1:]:
        if fields.get("data file", "").lower().startswith("list"):
            listed.append(line.strip())
        elif ":=" in line:
            key, _, value = line.partition(":=")
            pairs[key.strip()] = value.strip()
        elif ":" in line and not line.startswith("#"):
            key, _, value = line.partition(":")
            fields[SPELT.get(key.strip().lower(), key.strip().lower())] = value.strip()
    return Header(fields, pairs, end.end() if end else len(text), tuple(n for n in listed if n))


def data_names(path: Path, header: Header) -> list[str]:
    """Names of the files of voxels beside a header; empty where it holds them itself."""
    named = header.fields.get("data file", "")
    if not named:
        return []
    if named.lower().startswith("list"):
        return list(header.listed)
    pattern = re.fullmatch(r"(\S*%0?\d*d\S*)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(\s+\d+)?", named)
    if not pattern:
        return [named]
    first, last, step = (int(n) for n in pattern.groups()[1:4])
    numbers = range(first, last + (1 if step > 0 else -1), step) if step else range(0)
    if not 0 < len(numbers) <= WIDEST_LIST:
        raise ImageError(f"{path}: expected 1 to {WIDEST_LIST} files of voxels, found {named!r}.")
    return [pattern[1] % n for n in numbers]


def _numbers(path: Path, header: Header, field: str, kind: type = float) -> list:
    try:
        return [kind(word) for word in header.fields.get(field, "").split()]
    except ValueError as error:
        raise ImageError(f"{path}: expected numbers after '{field}:', found "
                         f"{header.fields[field][:80]!r}; the header is damaged.") from error


def _vectors(path: Path, text: str) -> list[NDArray | None]:
    """`(1,0,0) none (0,1,0)` as vectors; None of an axis that is none of space."""
    found: list[NDArray | None] = []
    for word in re.findall(r"none|\([^)]*\)", text):
        try:
            found.append(None if word == "none" else np.array([float(x) for x in word[1:-1].split(",")]))
        except ValueError as error:
            raise ImageError(f"{path}: expected vectors, found {text[:80]!r}.") from error
    return found


def _placed(path: Path, header: Header, sizes: list[int], trust: Trust) -> tuple[NDArray, NDArray]:
    """Matrix and origin (LPS, mm) of the three axes of space."""
    directions = [v for v in _vectors(path, header.fields.get("space directions", "")) if v is not None]
    space = header.fields.get("space", "").lower()
    if not directions or space not in SPACES:
        spacing = _numbers(path, header, "spacings") or [
            float(np.linalg.norm(v)) for v in directions]
        if not trust.assume_ras or len(spacing) != 3:
            raise no_frame(path, f"space {space or 'absent'}, {len(directions)} space directions")
        return assumed_ras(sizes, spacing)
    units = [u.strip().lower() for u in re.findall(r'"([^"]*)"', header.fields.get("space units", ""))]
    if len(directions) != 3 or any(v.shape != (3,) for v in directions) or set(units) - UNITS_MM.keys():
        raise ImageError(f"{path}: expected three axes of space in mm, found {len(directions)} in "
                         f"{units or 'mm'}. Convert the file again.")
    to_lps = np.array(SPACES[space], float) * np.array([UNITS_MM[u] for u in units or ["mm"] * 3])
    origins = _vectors(path, header.fields.get("space origin", "(0,0,0)"))
    if len(origins) != 1 or origins[0] is None or origins[0].shape != (3,):
        raise ImageError(f"{path}: expected a space origin of three numbers, found "
                         f"{header.fields['space origin'][:80]!r}.")
    return to_lps[:, None] * np.stack(directions, axis=1), to_lps * origins[0]


def _field(path: Path, header: Header, name: str, known: dict[str, str]) -> str:
    value = header.fields.get(name, "").lower()
    if value not in known:
        raise ImageError(f"{path}: expected a known {name}, found {value or 'none'!r}; known are "
                         f"{', '.join(sorted(known))}. Convert the file again.")
    return known[value]


def _skipped(path: Path, header: Header, file: Path, needed: int, packing: str) -> int:
    """Where voxels start in their file, after lines and bytes that the header says to skip."""
    at = header.data_at if file == path else 0
    lines, skip = (
        (_numbers(path, header, f"{what} skip", int) or [0])[0] for what in ("line", "byte")
    )
    if not 0 <= lines <= 10_000 or skip < -1 or (skip and packing not in ("raw", "text")):
        raise ImageError(f"{path}: expected few lines and bytes to skip, found {lines} and {skip}.")
    if lines:
        with file.open("rb") as opened:
            opened.seek(at)
            for _ in range(lines):
                opened.readline(10**6)
            at = opened.tell()
    return file.stat().st_size - needed if skip == -1 else at + skip


def _text_voxels(path: Path, file: Path, at: int, count: int, kind: str) -> NDArray:
    with file.open("rb") as opened:
        opened.seek(at)
        words = opened.read(count * 40 + 1000).split()
    if len(words) < count:
        raise ImageError(f"{path}: expected {count} numbers as text, found {len(words)}.")
    try:
        return np.array([float(word) for word in words[:count]]).astype(kind)
    except ValueError as error:
        raise ImageError(f"{path}: expected voxels as numbers, found text: {error}.") from error


def _voxels(path: Path, header: Header, sizes: list[int], trust: Trust) -> NDArray:
    kind = np.dtype(_field(path, header, "type", {k: k for k in TYPES}) and
                    TYPES[header.fields["type"].lower()])
    packing = _field(path, header, "encoding", PACKINGS)
    if kind.itemsize > 1 and packing != "text":
        kind = kind.newbyteorder(_field(path, header, "endian", {"little": "<", "big": ">"}))
    names = data_names(path, header)
    files = [checked_data_file(path, name, trust) for name in names] or [path]
    count = check_count(path, sizes)
    if count % len(files):
        raise ImageError(f"{path}: expected files of equal parts, found {len(files)} for {sizes}.")
    part = count // len(files)
    arrays = []
    for file in files:
        at = _skipped(path, header, file, part * kind.itemsize, packing)
        arrays.append(
            _text_voxels(path, file, at, part, "f4") if packing == "text"
            else np.frombuffer(unpack(file, at, part * kind.itemsize, packing), kind, part)
        )
    return np.concatenate(arrays).reshape(sizes[::-1])


def read_nrrd(path: Path, trust: Trust = Trust(), layers: bool = False) -> Volume:  # noqa: B008
    """An NRRD volume. With `layers`, voxels have a first axis of layers (segmentations of Slicer)."""
    header = read_header(path)
    sizes = _numbers(path, header, "sizes", int)
    dimension = _numbers(path, header, "dimension", int)
    if dimension != [len(sizes)]:
        raise ImageError(f"{path}: expected as many sizes as dimensions, found dimension "
                         f"{header.fields.get('dimension')!r} and sizes {sizes}.")
    vectors = _vectors(path, header.fields.get("space directions", ""))
    layered = layers and len(sizes) == 4 and len(vectors) == 4 and vectors[0] is None
    spatial = sizes[1:] if layered else sizes
    check_sizes(path, spatial)
    matrix, origin = _placed(path, header, spatial, trust)
    voxels = _voxels(path, header, sizes, trust)
    if layers:
        voxels = np.moveaxis(voxels, -1, 0) if layered else voxels[None]
    return Volume(voxels, matrix, origin)


class Segment(NamedTuple):
    """A structure of a segmentation: its name, the label of its voxels, and their layer."""

    name: str
    label: int
    layer: int


def segments_of(path: str | os.PathLike) -> list[Segment]:
    """The segments that 3-D Slicer notes in a .seg.nrrd; empty where there are none."""
    path = Path(path)
    if not path.name.lower().endswith(".nrrd"):
        return []
    pairs, found = read_header(path).pairs, []
    for key, name in pairs.items():
        match = re.fullmatch(r"(Segment\d+)_Name", key)
        if match:
            numbers = [pairs.get(f"{match[1]}_{part}", "") for part in ("LabelValue", "Layer")]
            if not all(re.fullmatch(r"\d{1,6}", n or "0") for n in numbers):
                raise ImageError(f"{path}: expected whole numbers of segment {name!r}, found {numbers}.")
            found.append(Segment(name, int(numbers[0] or 1), int(numbers[1] or 0)))
    return found
