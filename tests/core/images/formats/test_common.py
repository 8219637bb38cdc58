"""Own readers beside SimpleITK, whatever the format; frames that are missing or sheared."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.dicoms import image, oblique
from helpers.images import STRICT, odd_image

from pgmif_core.images.formats.common import geometry
from pgmif_core.images.volumes import ImageError, Trust, read_image, volume_files, write_image

KINDS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64, np.int64)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"])
def test_volumes_are_what_simpleitk_reads(tmp_path, suffix, compressed):
    for kind in KINDS:
        expected, path = odd_image(kind), tmp_path / f"a{suffix}"
        sitk.WriteImage(expected, str(path), compressed)
        found = read_image(path, STRICT)
        np.testing.assert_allclose(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))
        for name in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(found, name)(), getattr(expected, name)(), atol=1e-4)


@pytest.mark.parametrize("name", ["o.mhd", "O.NII.GZ", "o.MHA", "x.NRRD", "y.nii", "z.Nii.Gz"])
def test_written_files_are_read_by_others(tmp_path, name):
    expected = odd_image()
    write_image(expected, tmp_path / name, {"Description": "x"})
    others = [] if name in ("o.MHA", "z.Nii.Gz") else [sitk.ReadImage(str(tmp_path / name))]
    for found in (read_image(tmp_path / name, STRICT), *others):
        np.testing.assert_allclose(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))
        np.testing.assert_allclose(found.GetOrigin(), expected.GetOrigin(), atol=1e-4)
    assert len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.parametrize(("unit", "times"), [("micron", 1000.0), ("meter", 1e-3), ("mm", 1.0)])
def test_units_are_converted(tmp_path, unit, times):
    volume = nibabel.Nifti1Image(np.ones((5, 6, 7), np.float32), np.diag([2.4, 2.4, 6.0, 1]) * times)
    volume.header.set_xyzt_units(unit)
    nibabel.save(volume, tmp_path / "a.nii")
    np.testing.assert_allclose(read_image(tmp_path / "a.nii").GetSpacing(), (2.4, 2.4, 6.0), rtol=1e-5)
    header = ("NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
              f"space directions: ({2 * times},0,0) (0,{2 * times},0) (0,0,{2 * times})\n"
              f'space units: "{ {"micron": "um", "meter": "m"}.get(unit, unit)}" "mm" "mm"\n')
    units = {"micron": "um", "meter": "m"}.get(unit, unit)
    header = header.rsplit("space units", 1)[0] + f'space units: "{units}" "{units}" "{units}"\n'
    (tmp_path / "a.nrrd").write_bytes(header.encode() + b"encoding: raw\nspace origin: (0,0,0)\n\n"
                                      + bytes(64))
    np.testing.assert_allclose(read_image(tmp_path / "a.nrrd").GetSpacing(), (2, 2, 2), rtol=1e-5)


def test_the_last_bits_of_a_header_decide_nothing(tmp_path):
    """A rotation is made exact by an SVD, whose last bits are not the same in every process."""
    rng = np.random.default_rng(0)
    exact = oblique(20.0) * np.array([0.977, 0.977, 1.0])
    noisy = (exact * (1 + rng.uniform(-2e-16, 2e-16, (3, 3))) for _ in range(200))
    assert len({geometry(tmp_path / "a.nii", m, np.zeros(3))[1].tobytes() for m in noisy}) == 1


def blind(path):
    volume = nibabel.Nifti1Image(np.ones((5, 6, 7), np.float32), np.diag([2, 2, 3, 1]))
    volume.set_sform(None, 0)
    volume.set_qform(None, 0)
    volume.header.set_zooms((2, 2, 3))
    nibabel.save(volume, path)


def analyze(path):
    nibabel.save(nibabel.AnalyzeImage(np.ones((5, 6, 7), np.float32), np.diag([-2, 2, 3, 1])), path)


def frameless_nrrd(path):
    path.write_bytes(b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 5 6 7\nspacings: 2 2 3\nencoding: "
                     b"raw\n\n" + bytes(range(210)))


def frameless_mha(path):
    path.write_bytes(b"ObjectType = Image\nNDims = 3\nDimSize = 5 6 7\nElementSpacing = 2 2 3\n"
                     b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n" + bytes(range(210)))


@pytest.mark.parametrize(("name", "make"), [
    ("a.nii.gz", blind), ("a.img", analyze), ("a.nrrd", frameless_nrrd), ("a.mha", frameless_mha),
])
def test_no_frame_is_refused_unless_assumed(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(ImageError, match="expected an orientation, found none"):
        read_image(tmp_path / name, STRICT)
    found = read_image(tmp_path / name, Trust(assume_ras=True))
    assert found.GetDirection()[::4] == (-1.0, -1.0, 1.0)
    np.testing.assert_allclose(found.GetSpacing(), (2, 2, 3))
    centre = found.TransformContinuousIndexToPhysicalPoint([2.0, 2.5, 3.0])
    np.testing.assert_allclose(centre, 0, atol=1e-6)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_sheared_volumes_are_refused(tmp_path, suffix):
    tilt = np.eye(3)
    tilt[:, 2] = (0, np.sin(0.25), np.cos(0.25))
    sheared = image(np.ones((5, 6, 7)), direction=tilt)
    sitk.WriteImage(sheared, str(tmp_path / f"a{suffix}"))
    with pytest.raises(ImageError, match="sheared"):
        read_image(tmp_path / f"a{suffix}")


def test_system_files_are_not_of_a_series(tmp_path):
    for name in ("1.dcm", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in volume_files(tmp_path)] == ["1.dcm"]
