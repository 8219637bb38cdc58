"""NIfTI-1 and -2, single or as a pair, and Analyze: geometry in mm, or a refusal that says why."""

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
from nibabel.analyze import AnalyzeHeader
from nibabel.filebasedimages import FileBasedImage
from numpy.typing import NDArray

from pgmif_core.images.formats.common import (
    ImageError,
    Trust,
    Volume,
    assumed_ras,
    check_room,
    check_sizes,
    no_frame,
)

NIFTI_SUFFIXES = (".nii", ".nii.gz")
PAIR_SUFFIXES = (".hdr", ".img", ".img.gz", ".hdr.gz")
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])
MM = {"unknown": 1.0, "meter": 1000.0, "mm": 1.0, "micron": 1e-3}
SAME_FRAME_VOXELS = 0.5


def is_nifti(name: str) -> bool:
    """Whether a file name is one of NIfTI or Analyze."""
    return name.lower().endswith((*NIFTI_SUFFIXES, *PAIR_SUFFIXES))


def _corners(affine: NDArray, sizes: tuple[int, ...]) -> NDArray:
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in sizes])).reshape(3, -1)
    return affine[:3, :3] @ ends + affine[:3, 3:]


def _frames(volume: FileBasedImage) -> dict[str, NDArray]:
    """The affines that a header declares (code above 0) and that can be inverted."""
    header, found = volume.header, {}
    if not isinstance(header, AnalyzeHeader):  # another format, that always has one
        found["affine"] = np.asarray(volume.affine, float)
    elif hasattr(header, "get_sform"):
        coded = {"sform": header.get_sform(coded=True), "qform": header.get_qform(coded=True)}
        found = {name: np.asarray(affine, float) for name, (affine, code) in coded.items() if code > 0}
        sound = {n: a for n, a in found.items() if np.isfinite(a).all() and np.linalg.det(a[:3, :3])}
        found = sound or found  # one that is singular says nothing beside another
    return found


def _affine(path: Path, volume: FileBasedImage, sizes: tuple[int, ...], trust: Trust) -> NDArray | None:
    """The one affine that a header declares, in its own unit; None where it declares none."""
    frames = _frames(volume)
    if len(frames) == 2 and all(np.isfinite(f).all() for f in frames.values()):
        first, second = frames.values()
        apart = np.linalg.norm(_corners(first, sizes) - _corners(second, sizes), axis=0).max()
        voxel = np.linalg.norm(second[:3, :3], axis=0).min()
        if apart > SAME_FRAME_VOXELS * max(voxel, 1e-9):
            raise ImageError(
                f"{path}: expected one place in space, found two: sform\n{np.round(first[:3], 3)}\nand "
                f"qform\n{np.round(second[:3], 3)}\nlie {apart:.1f} mm apart. Remove the wrong one "
                "(code 0), or write the file again from the right one."
            )
    return next(iter(frames.values()), None)


def read_nifti(path: Path, trust: Trust = Trust()) -> Volume:  # noqa: B008
    """A NIfTI or Analyze volume; lengths in mm whatever unit the header has. Raises ImageError."""
    with _known_spelling(path) as known:
        volume = nibabel.load(known)
        return _volume(path, volume, trust)


@contextmanager
def _known_spelling(path: Path) -> Iterator[Path]:
    """The path, or a link to it: nibabel knows suffixes in lower or upper case alone, no .Nii.Gz."""
    suffix = next((s for s in NIFTI_SUFFIXES[::-1] if path.name.lower().endswith(s)), "")
    if not suffix or path.name[-len(suffix) :] in (suffix, suffix.upper()):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pgmif-") as folder:
        link = Path(folder) / f"image{suffix}"
        link.symlink_to(path.resolve())
        yield link


def _volume(path: Path, volume: FileBasedImage, trust: Trust) -> Volume:
    sizes = tuple(int(n) for n in volume.header.get_data_shape())
    while len(sizes) > 3 and sizes[-1] == 1:  # written by some tools for a single volume
        sizes = sizes[:-1]
    check_sizes(path, sizes)
    kind = volume.get_data_dtype()
    if kind.kind not in "biuf" or kind.names:
        raise ImageError(f"{path}: expected one number per voxel, found type {kind}. Convert the "
                         "image to grey values.")
    holder = Path(volume.file_map["image"].filename or path)
    packed = holder.name.lower().endswith((".gz", ".bz2", ".zst"))
    check_room(holder, int(np.prod(sizes, dtype=object)) * kind.itemsize, packed)
    if packed and holder.name.lower().endswith(".gz"):
        _check_unpacked(holder, int(np.prod(sizes)) * kind.itemsize)
    voxels = np.asarray(volume.dataobj, dtype=np.float32).reshape(sizes)
    affine = _affine(path, volume, sizes, trust)
    unit = volume.header.get_xyzt_units()[0] if hasattr(volume.header, "get_xyzt_units") else "unknown"
    if affine is None:
        if not trust.assume_ras:
            raise no_frame(path, "qform_code and sform_code are 0, or the file is Analyze")
        spacing = np.abs([float(z) for z in volume.header.get_zooms()[:3]]) * MM[unit]
        return Volume(voxels.T, *assumed_ras(sizes, spacing))
    to_lps = LPS_FROM_RAS * MM[unit]
    return Volume(voxels.T, to_lps @ affine[:3, :3], to_lps @ affine[:3, 3])


def _check_unpacked(path: Path, needed: int) -> None:
    """Raise ImageError where a packed file ends before its voxels: nothing large is allocated for it."""
    if needed <= 2**26:
        return
    length = 0
    with gzip.open(path) as file:
        while length < needed and (part := file.read(2**22)):
            length += len(part)
    if length < needed:
        raise ImageError(f"{path}: expected {needed:,} bytes of voxels, found {length:,}: the file is "
                         "truncated or its header is damaged. Copy or convert it again.")
