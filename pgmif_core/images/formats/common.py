"""What all formats share: how far a file is trusted, checks of sizes and geometry, unpacking."""

import bz2
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

ORTHONORMAL_TOLERANCE = 1e-3
MOST_VOXELS = 2**27  # 512 × 512 × 512: more is no scan of a head, and would not fit beside its copies
DIRECTION_DECIMALS = 12
SMALLEST_MM, LARGEST_MM = 0.01, 100.0  # a voxel's sides
MOST_DEFLATED = 1032  # times that deflate can shrink
HEADER_BYTES = 2**20  # of a text header; real ones have a few thousand


class ImageError(ValueError):
    """An image file that cannot be used: names the file, what was expected, found, and to do."""


class Trust(NamedTuple):
    """How far files are believed. `assume_ras`: take a file without orientation for RAS; commands and
    the pipeline do so only where they are told to.

    `allow_outside`: a header may name files of voxels anywhere; else only in `within`, the header's
    own folder if None.
    """

    assume_ras: bool = False
    allow_outside: bool = False
    within: Path | None = None


class Volume(NamedTuple):
    """Voxels (z, y, x), or with further axes before, and where they lie (LPS, mm); columns of `matrix`
    are the steps along x, y, z."""

    voxels: NDArray
    matrix: NDArray[np.float64]
    origin: NDArray[np.float64]


@contextmanager
def refusing(path: Path, what: str) -> Iterator[None]:
    """Whatever a reader ends with inside this block becomes an ImageError that names the file."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ImageError(
            f"{path}: expected {what}, found {type(error).__name__}{': ' + reason if reason else ''}. "
            "The file may be truncated, damaged or of another type; copy or convert it again."
        ) from error


def check_sizes(path: Path, sizes: Sequence[int]) -> None:
    """Raise ImageError unless sizes are those of a volume that can be read into memory."""
    if len(sizes) != 3:
        raise ImageError(
            f"{path}: expected a 3-D volume, found shape {tuple(sizes)}. Split it into volumes."
        )
    check_count(path, sizes)


def check_count(path: Path, sizes: Sequence[int]) -> int:
    """Number of voxels of sizes that are all positive and not absurd; ImageError otherwise."""
    if any(size < 1 for size in sizes):
        raise ImageError(f"{path}: expected positive sizes, found {tuple(sizes)}; the header is "
                         "damaged. Copy or convert the file again.")
    count = 1
    for size in sizes:
        count *= size
    if count > MOST_VOXELS:
        raise ImageError(
            f"{path}: expected at most {MOST_VOXELS:,} voxels (512 × 512 × 512), found "
            f"{' × '.join(map(str, sizes))}. Crop or resample the image to the head."
        )
    return count


def check_room(path: Path, needed: int, packed: bool, offset: int = 0) -> None:
    """Raise ImageError where a file is too short for its voxels, unpacked or at the best packing."""
    found = max(0, path.stat().st_size - offset)
    most = found * MOST_DEFLATED if packed else found
    if offset < 0 or most < needed:
        raise ImageError(
            f"{path}: expected {needed:,} bytes of voxels, found {found:,}"
            f"{' packed' if packed else ''}: the file is truncated or its header is damaged. Copy or "
            "convert it again."
        )


def unpack(path: Path, offset: int, needed: int, packing: str) -> bytes:
    """`needed` bytes of voxels from a file; packing 'raw', 'gzip' (or zlib) or 'bzip2'.

    Raises ImageError where there are fewer; never unpacks more.
    """
    check_room(path, needed, packing != "raw", offset)
    with path.open("rb") as file:
        file.seek(offset)
        if packing == "raw":
            return file.read(needed)
        unpacker: Any = bz2.BZ2Decompressor() if packing == "bzip2" else zlib.decompressobj(47)
        parts, length = [], 0
        while length < needed and (chunk := file.read(2**20)):
            while chunk and length < needed:
                part = unpacker.decompress(chunk, needed - length)
                parts.append(part)
                length += len(part)
                chunk = b"" if packing == "bzip2" else unpacker.unconsumed_tail
                if packing == "bzip2" and not unpacker.needs_input and not unpacker.eof:
                    continue
                if not part and not chunk:
                    break
            if unpacker.eof:
                break
    if length < needed:
        raise ImageError(
            f"{path}: expected {needed:,} bytes of voxels, found {length:,} unpacked: the file is "
            "truncated. Copy or convert it again."
        )
    return b"".join(parts)


def open_text(path: Path) -> bytes:
    """The first bytes of a file: a header is looked for there."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        return file.read(HEADER_BYTES)


def geometry(path: Path, matrix: NDArray, origin: NDArray) -> tuple[NDArray, NDArray]:
    """Spacing (mm) and direction from the steps along the axes; ImageError says what is wrong."""
    shown = np.column_stack([matrix, origin])
    if not np.isfinite(shown).all() or np.abs(shown).max() > 1e6 or not np.linalg.det(matrix):
        raise ImageError(
            f"{path}: expected an invertible affine (voxel to mm), found the singular\n{shown}\n"
            "Export the image again, or set its geometry from the scanner's."
        )
    spacing = np.linalg.norm(matrix, axis=0)
    if spacing.min() < SMALLEST_MM or spacing.max() > LARGEST_MM:
        raise ImageError(
            f"{path}: expected voxels of {SMALLEST_MM:g} to {LARGEST_MM:g} mm, found "
            f"{' × '.join(f'{s:g}' for s in spacing)} mm. Correct the spacing or its unit."
        )
    direction = matrix / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > ORTHONORMAL_TOLERANCE:
        raise ImageError(
            f"{path}: expected orthogonal axes, found a sheared affine\n{shown}\n"
            "Resample the image to an orthogonal grid first."
        )
    left, _, right = np.linalg.svd(direction)  # rounding in the header: nearest exact rotation
    # its last bits differ from process to process, and would decide ties of nearest neighbours
    return spacing, np.round(left @ right, DIRECTION_DECIMALS)


def to_image(path: Path, volume: Volume) -> sitk.Image:
    """A volume as a float32 image, its geometry checked."""
    spacing, direction = geometry(path, volume.matrix, volume.origin)
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels, np.float32))
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(volume.origin.tolist())
    return image


def assumed_ras(sizes: Sequence[int], spacing: ArrayLike) -> tuple[NDArray, NDArray]:
    """Matrix and origin (LPS) of a file without orientation taken for RAS, centred about 0."""
    matrix = np.diag([-1.0, -1.0, 1.0]) @ np.diag(np.asarray(spacing, float))
    return matrix, -matrix @ ((np.asarray(sizes, float) - 1) / 2)


def no_frame(path: Path, what: str) -> ImageError:
    """The refusal of a file that does not say where left and right are."""
    return ImageError(
        f"{path}: expected an orientation, found none ({what}): the file does not say where left and "
        "right are. Convert it again from the scanner's DICOM, or pass --assume-ras (assume_ras: true) "
        "if you know that its axes run to the right, to the front and upward."
    )


def checked_data_file(header: Path, name: str, trust: Trust) -> Path:
    """The file of voxels that a header names. Raises ImageError where it lies elsewhere or is absent."""
    if not name or "\0" in name or len(name) > 1000:
        raise ImageError(f"{header}: expected the name of a file of voxels, found {name[:80]!r}.")
    path = Path(os.path.normpath(header.parent / name))
    folder = Path(os.path.abspath(trust.within or header.parent)).resolve()
    if not trust.allow_outside and not path.resolve().is_relative_to(folder):
        raise ImageError(
            f"{header}: expected voxels inside {folder}, found the name {name!r}, which leads outside. "
            "Move the data, or pass --allow-outside if you trust this file."
        )
    if not path.is_file():
        raise ImageError(f"{header}: expected a file of voxels {name!r}, found none. Copy it, too.")
    return path
