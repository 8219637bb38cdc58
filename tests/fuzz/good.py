"""Good files to begin with: a small phantom in every format, of which each has to be accepted."""

import gzip
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
from helpers.dicoms import mask_contours, write_dicom_series, write_rtstruct
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from pgmif_core.phantom import PhantomSize, make_phantom

SIZE = PhantomSize(slices=8, thickness_mm=7.0, pixel_mm=4.0)
SEED = 20240071
FRAME = generate_uid(entropy_srcs=["pgmif fuzz"])
TYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64")
ORIENTATIONS = ("RAS", "LPS", "LAS", "RPS", "PIR", "ASL", "SAR", "IPL")


def write_good(folder: Path) -> Path:
    """The files that accompany a mutant, and one of each kind to mutate, in a new folder."""
    folder.mkdir(parents=True)
    phantom = make_phantom(SEED, SIZE)
    for name in ("T1w", "T2w"):
        sitk.WriteImage(_whole(getattr(phantom, name), sitk.sitkInt16), str(folder / f"{name}.nii.gz"))
    # a stand-in for a fused image: what `evaluate` wants beside a source on the same grid
    t1w = sitk.Resample(phantom.T1w, phantom.T2w)
    sitk.WriteImage(_whole((t1w + phantom.T2w) / 2, sitk.sitkInt16), str(folder / "fused.nii.gz"))
    sitk.WriteImage(_whole(t1w, sitk.sitkInt16), str(folder / "registered.nii.gz"))
    sitk.WriteImage(_whole(phantom.gtv, sitk.sitkUInt8), str(folder / "gtv.nii.gz"))
    for name in ("T1w", "T2w"):
        write_dicom_series(getattr(phantom, name), folder / f"{name}_dicom", frame_of_reference=FRAME,
                           number=1 + (name == "T2w"), PatientID="FUZZ")
        _same_every_time(folder / f"{name}_dicom")
    drawn = mask_contours(phantom.gtv)
    behind = [loop + np.array([0, 20, 0]) for loop in drawn]
    write_rtstruct(folder / "gtv.dcm", {"GTVp": drawn, "Brain": behind}, FRAME)
    _same_every_time(folder / "gtv.dcm")
    return folder


def _same_every_time(place: Path) -> None:
    """Identifiers that do not depend on the moment, so that a seed gives one mutant."""
    for file in sorted(place.iterdir()) if place.is_dir() else [place]:
        data = pydicom.dcmread(file)
        for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            of = file.name if name == "SOPInstanceUID" else name
            setattr(data, name, generate_uid(entropy_srcs=[place.name, of]))
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(file)


def _whole(image: sitk.Image, kind: int) -> sitk.Image:
    return sitk.Cast(sitk.Round(sitk.Cast(image, sitk.sitkFloat32)), kind)


Form = Callable[[Path, Path, str], Path]
ALL, SERIES = ("T1w", "T2w", "gtv"), ("T1w", "T2w")


def good_forms() -> dict[str, tuple[tuple[str, ...], Form]]:
    """By name: the roles that a form can take, and what writes an image `name` of `base` in it."""
    forms: dict[str, tuple[tuple[str, ...], Form]] = {}
    for kind in TYPES:
        forms[f"nifti {kind}"] = ALL, partial(_nifti, kind=kind)
        forms[f"nifti {kind} >"] = ALL, partial(_nifti, kind=kind, order=">")
    for axes in ORIENTATIONS:
        forms[f"nifti {axes}"] = SERIES, partial(_nifti, axes=axes)
    for codes in ((1, 0), (0, 1), (0, 4), (1, 1), (2, 4)):
        forms[f"nifti codes {codes}"] = ALL, partial(_nifti, codes=codes)
    for form in ("nii", "nii2.gz", "img", "NII.GZ"):
        forms[f"nifti as {form}"] = ALL, partial(_nifti, form=form)
    for suffix in ("nrrd", "nhdr", "mha", "mhd"):
        for packed in (False, True):
            forms[f"{suffix}{' packed' * packed}"] = ALL, partial(_itk, suffix=suffix, packed=packed)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless):
        forms[f"dicom {syntax.name}"] = SERIES, partial(_dicom, syntax=syntax)
    forms["rtstruct"] = ("rtstruct",), lambda base, to, name: Path(
        shutil.copy(base / f"{name}.dcm", to / f"mutant-{name}.dcm"))
    return forms


def good_jobs() -> list[tuple[str, str]]:
    """Every form in every role."""
    return [(name, role) for name, (roles, _) in good_forms().items() for role in roles]


def _nifti(
    base: Path, to: Path, name: str, kind: str = "int16", order: str = "<", axes: str = "",
    codes: tuple[int, int] | None = None, form: str = "nii.gz",
) -> Path:
    image = nibabel.load(base / f"{name}.nii.gz")
    voxels = np.asarray(image.dataobj, np.float64)
    if kind in ("int8", "uint8"):
        voxels *= min(1.0, np.iinfo(kind).max / voxels.max())
    maker = nibabel.Nifti2Image if form == "nii2.gz" else nibabel.Nifti1Image
    if form == "img":
        maker = nibabel.Nifti1Pair
    header = maker.header_class(endianness=order)
    # int64 is seldom meant, and nibabel asks for it by name
    made = maker(voxels.round().astype(kind), image.affine, header, dtype=kind)
    if axes:
        turn = nibabel.orientations.ornt_transform(
            nibabel.io_orientation(made.affine), nibabel.orientations.axcodes2ornt(axes))
        made = made.as_reoriented(turn)
    made.header.set_xyzt_units("mm")
    made.set_qform(made.affine, 1 if codes is None else codes[0])
    made.set_sform(made.affine, 1 if codes is None else codes[1])
    path = to / f"mutant-{name}.{form.replace('nii2', 'nii').lower()}"
    made.to_filename(path)
    return path.rename(to / f"mutant-{name}.{form}") if form.isupper() else path


def _itk(base: Path, to: Path, name: str, suffix: str, packed: bool) -> Path:
    path = to / f"mutant-{name}.{suffix}"
    sitk.WriteImage(sitk.ReadImage(str(base / f"{name}.nii.gz")), str(path), packed)
    return path


def _dicom(base: Path, to: Path, name: str, syntax: str) -> Path:
    folder = Path(shutil.copytree(base / f"{name}_dicom", to / f"mutant-{name}"))
    for file in sorted(folder.iterdir()):
        data = pydicom.dcmread(file)
        if syntax == RLELossless:
            data.compress(RLELossless, generate_instance_uid=False)
            data.save_as(file)
            continue
        big = syntax == ExplicitVRBigEndian
        if big:
            data.PixelData = np.frombuffer(data.PixelData, "<i2").astype(">i2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(file, data, implicit_vr=syntax == ImplicitVRLittleEndian,
                         little_endian=not big, enforce_file_format=True)
    return folder


def plain_bytes(path: Path) -> bytes:
    """What a file holds, unpacked."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.name.endswith(".gz") else data
