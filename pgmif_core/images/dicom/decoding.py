"""Pixels of DICOM files: plain ones by NumPy, compressed ones by GDCM in a process of its own.

A damaged compressed stream can end a decoder, or keep it busy for ever: the child has limits of time and
memory, and what happens to it becomes a refusal.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID

SECONDS, SECONDS_PER_FILE = 15, 0.3  # a child may take
MEMORY_BYTES = 1.4 * 2**30  # and take, beyond its libraries
DEFLATED = "1.2.840.10008.1.2.1.99"
DECODED = {  # what GDCM reads
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5",
}


class DecodingError(ValueError):
    """Pixels that cannot be had: says of which file and why."""


def syntax_of(header: pydicom.Dataset) -> UID:
    """Transfer syntax of a file; Explicit VR Little Endian where it is absent or private."""
    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    return UID(syntax) if syntax else UID("1.2.840.10008.1.2.1")


def is_plain(header: pydicom.Dataset) -> bool:
    """Whether pixels are stored as they are."""
    syntax = syntax_of(header)
    return not syntax.is_private and (syntax == DEFLATED or not syntax.is_compressed)


def frame_count(header: pydicom.Dataset) -> int:
    """Frames of a file, checked against what it can hold. Raises DecodingError."""
    file = Path(header.filename)
    frames = int(header.get("NumberOfFrames", 1) or 1)
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    bits = int(header.get("BitsAllocated", 16) or 16)
    size = file.stat().st_size
    if rows < 1 or columns < 1 or frames < 1 or frames * rows * columns > 2**31 or frames > size:
        raise DecodingError(
            f"{file}: expected frames, rows and columns of an image, found {frames} × {rows} × "
            f"{columns} in a file of {size:,} bytes; the header is damaged. Export the series again."
        )
    needed = (frames * rows * columns * bits + 7) // 8
    if is_plain(header) and syntax_of(header) != DEFLATED and size < needed:
        raise DecodingError(
            f"{file}: expected {needed:,} bytes of pixels, found a file of {size:,}: it is truncated. "
            "Copy or export the series again."
        )
    return frames


def stored_pixels(file: Path) -> NDArray:
    """Plain pixels (frames, rows, columns) as they are stored. Raises DecodingError."""
    header = pydicom.dcmread(file)
    header.filename = str(file)
    frames = frame_count(header)
    shape = (frames, int(header.Rows), int(header.Columns))
    bits, high = int(header.BitsAllocated), int(header.get("BitsStored", header.BitsAllocated))
    data = header.get("PixelData")
    if data is None or bits not in (1, 8, 16, 32) or not 0 < high <= bits:
        raise DecodingError(
            f"{file}: expected pixels of 1, 8, 16 or 32 bits, found {high} of {bits} bits"
            f"{'' if data else ' and no pixels'}. Export the series again."
        )
    count = int(np.prod(shape))
    if len(data) * 8 < count * bits:
        raise DecodingError(
            f"{file}: expected {count * bits // 8:,} bytes of pixels, found {len(data):,}: the file is "
            "truncated. Copy or export the series again."
        )
    if bits == 1:
        unpacked = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little")
        return unpacked[:count].reshape(shape)
    order = "<" if syntax_of(header).is_little_endian else ">"
    whole = np.frombuffer(data, f"{order}u{bits // 8}", count).reshape(shape).astype(np.int64)
    whole &= (1 << high) - 1  # overlays may lie in the bits above
    if int(header.get("PixelRepresentation", 0) or 0):
        whole -= (whole >> (high - 1) & 1) << high
    return whole


def compressed_pixels(files: Sequence[Path], headers: Sequence[pydicom.Dataset]) -> list[NDArray]:
    """Compressed pixels (frames, rows, columns) of every file, rescaled, by GDCM in a child process."""
    for header in headers:
        syntax = syntax_of(header)
        if syntax not in DECODED:
            raise DecodingError(
                f"{header.filename}: expected a compression that can be decoded, found {syntax.name}. "
                "Export the series uncompressed, or decompress it (dcmdjpeg, gdcmconv --raw)."
            )
    with tempfile.TemporaryDirectory(prefix="pgmif-") as folder:
        output = Path(folder) / "pixels.npz"
        names = "\0".join(os.path.abspath(file) for file in files)
        try:
            done = subprocess.run(
                # by its name, so that what this module reaches shows in its code
                [sys.executable, "-c", f"import {__name__} as m; m.{_decode_files.__name__}()",
                 str(output)],
                input=os.fsencode(names), capture_output=True, check=False,
                timeout=SECONDS + SECONDS_PER_FILE * len(files),
            )
        except subprocess.TimeoutExpired as error:
            raise DecodingError(
                f"{files[0].parent}: expected pixels that can be decoded, found none within "
                f"{error.timeout:.0f} s: a file is damaged. Export the series again."
            ) from error
        if done.returncode:
            failed = os.fsdecode(done.stdout.rsplit(b"\0", 1)[-1]) or str(files[0])
            raise DecodingError(
                f"{failed}: expected pixels that can be decoded, found none: the file is truncated or "
                "damaged. Export the series again."
            )
        with np.load(output) as arrays:
            return [arrays[f"arr_{k}"] for k in range(len(files))]


def _decode_files() -> None:
    """The child: reads names from its input, notes each on its output, and writes all arrays at once."""
    import SimpleITK as sitk

    with suppress(ValueError, OSError):  # not every system has the limit
        most = int(psutil.Process().memory_info().vms + MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    arrays = []
    for name in os.fsdecode(sys.stdin.buffer.read()).split("\0"):
        sys.stdout.buffer.write(b"\0" + os.fsencode(name))
        sys.stdout.buffer.flush()
        array = sitk.GetArrayFromImage(sitk.ReadImage(name, sitk.sitkFloat32))
        arrays.append(array if array.ndim == 3 else array[None])
    np.savez(sys.argv[1], *arrays)
