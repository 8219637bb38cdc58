"""Own readers beside SimpleITK; headers that contradict, lack or hide something are refused."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicoms import image, oblique

from pgmif_core.images.formats import data_files, read_metaimage, read_nrrd
from pgmif_core.images.formats.common import geometry
from pgmif_core.images.volumes import ImageError, Trust, read_image, volume_files, write_image

KINDS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64, np.int64)
STRICT = Trust()


def odd_image(kind=np.float32, seed=0):
    voxels = (np.random.default_rng(seed).random((5, 6, 7)) * 100).astype(kind)
    result = sitk.GetImageFromArray(voxels)
    result.SetSpacing((1.1, 2.2, 3.3))
    result.SetOrigin((4.0, -5.0, 6.5))
    result.SetDirection(oblique(30).ravel().tolist())
    return result


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


def two_frames(path, shift=0.0, degrees=0.0, codes=(1, 1)):
    affine = np.diag([1.5, 1.5, 4.0, 1])
    other = affine.copy()
    other[:3, :3] = oblique(degrees, (0, 0, 1)) @ other[:3, :3]
    other[0, 3] += shift
    volume = nibabel.Nifti1Image(np.ones((9, 9, 6), np.float32), affine)
    volume.set_sform(other, codes[0])
    volume.set_qform(affine, codes[1])
    nibabel.save(volume, path)
    return path


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"shift": -40.0}, {"degrees": 10.0},
                                    {"degrees": 180.0}])
def test_two_frames_that_differ_are_refused_with_both(tmp_path, change):
    with pytest.raises(ImageError, match=r"(?s)found two: sform.*qform.*mm apart"):
        read_image(two_frames(tmp_path / "a.nii.gz", **change))


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (0, 1), (1, 0), (4, 0)])
def test_equal_or_single_codes_pass(tmp_path, codes):
    shift = 0.0 if min(codes) else 30.0  # a frame that is not declared says nothing
    found = read_image(two_frames(tmp_path / "a.nii.gz", shift, codes=codes), STRICT)
    assert found.GetSize() == (9, 9, 6)
    read_image(two_frames(tmp_path / "b.nii.gz", 0.3, codes=codes), STRICT)


@pytest.mark.parametrize("rows", [("srow_x", "srow_y", "srow_z"), ("srow_x",), ("srow_z",)])
def test_a_singular_frame_beside_a_sound_one_says_nothing(tmp_path, rows):
    path = two_frames(tmp_path / "a.nii.gz")
    volume = nibabel.load(path)
    made = nibabel.Nifti1Image(np.asarray(volume.dataobj), None, volume.header)
    for name in rows:
        made.header[name] = 0
    made.to_filename(path)
    np.testing.assert_allclose(read_image(path, STRICT).GetSpacing(), [1.5, 1.5, 4.0], rtol=1e-5)


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


NRRD = ("NRRD0005\ntype: {type}\ndimension: {dimension}\nspace: {space}\nsizes: {sizes}\n"
        "space directions: {directions}\nencoding: {encoding}\nendian: {endian}\n"
        "space origin: (0,0,0)\n{more}\n")
GOOD = {"type": "float", "dimension": 3, "space": "LPS", "sizes": "4 4 4", "encoding": "raw",
        "directions": "(1,0,0) (0,1,0) (0,0,1)", "endian": "little", "more": ""}


@pytest.mark.parametrize(("change", "message"), [
    ({"sizes": "4 4 400"}, "bytes of voxels"), ({"sizes": "4 4 -4"}, "positive sizes"),
    ({"sizes": "99999 99999 99999"}, "at most"), ({"dimension": 4}, "as many sizes"),
    ({"sizes": "4 4 x"}, "numbers after"), ({"type": "block"}, "known type"),
    ({"encoding": "zstd"}, "known encoding"), ({"endian": "middle"}, "known endian"),
    ({"encoding": "ascii"}, "as numbers|numbers as text"),
    ({"encoding": "gzip"}, "decompress|incorrect|found error"),
    ({"directions": "(1,0,0) (0,1,0) (0,0,0)"}, "invertible"),
    ({"directions": "(1,0,0) (0,1,0) (0,0,nan)"}, "invertible"),
    ({"directions": "(1,0,0) (0,1,0) (0,0,900)"}, "voxels of"),
    ({"directions": "(1,0) (0,1) (0,0)"}, "three axes"), ({"more": "byte skip: -5\n"}, "few lines"),
    ({"more": "data file: absent.raw\n"}, "found none"),
    ({"more": "data file: /etc/hosts\n"}, "outside"),
    ({"more": "data file: ../away.raw\n"}, "outside"), ({"more": "data file: a%d.raw 1 99999 1\n"}, "1 "
                                                                                                    "to"),
    ({"more": "data file: LIST\n../away.raw\n"}, "outside"),
])
def test_nrrd_headers_are_checked(tmp_path, change, message):
    path = tmp_path / "in" / "a.nrrd"
    path.parent.mkdir()
    (tmp_path / "away.raw").write_bytes(bytes(256))
    path.write_bytes(NRRD.format(**GOOD).encode() + bytes(256))
    read_image(path, STRICT)
    path.write_bytes(NRRD.format(**{**GOOD, **change}).encode() + bytes(256))
    with pytest.raises(ImageError, match=message):
        read_image(path, STRICT)


META = ("ObjectType = Image\nNDims = {dims}\nDimSize = {sizes}\nElementType = {type}\n"
        "TransformMatrix = {matrix}\nOffset = 0 0 0\nElementSpacing = {spacing}\n"
        "CompressedData = {packed}\n"
        "ElementNumberOfChannels = {channels}\nHeaderSize = {header}\nElementDataFile = {file}\n")
META_GOOD = {"dims": 3, "sizes": "4 4 4", "type": "MET_FLOAT", "matrix": "1 0 0 0 1 0 0 0 1",
             "spacing": "1 1 2", "packed": "False", "channels": 1, "header": 0, "file": "LOCAL"}


@pytest.mark.parametrize(("change", "message"), [
    ({"dims": -1}, "NDims"), ({"sizes": "4 4 4 4", "dims": 4}, "3-D"), ({"sizes": "4 4 0"}, "positive"),
    ({"type": "MET_STRING"}, "known type"), ({"channels": 3}, "one number per voxel"),
    ({"matrix": "1 0 0 0 1 0 0 0 9"}, "unit vectors"), ({"matrix": "1 0 0"}, "9 numbers"),
    ({"spacing": "1 1 0"}, "invertible"), ({"packed": "True"}, "found"), ({"header": -9}, "HeaderSize"),
    ({"header": 10**9}, "bytes of voxels"), ({"file": "/etc/hosts"}, "outside"),
    ({"file": "../x.raw"}, "outside"), ({"file": "LIST"}, "found|outside"),
    ({"file": "a%d.raw"}, "pattern"),
    ({"sizes": "100000 100000 1000"}, "at most"),
])
def test_metaimage_headers_are_checked(tmp_path, change, message):
    path = tmp_path / "a.mha"
    path.write_bytes(META.format(**META_GOOD).encode() + bytes(256))
    assert read_metaimage(path).voxels.shape == (4, 4, 4)
    path.write_bytes(META.format(**{**META_GOOD, **change}).encode() + bytes(256))
    with pytest.raises(ImageError, match=message):
        read_image(path)


def test_a_detached_file_may_lie_where_that_is_allowed(tmp_path):
    (tmp_path / "in").mkdir()
    header = tmp_path / "in" / "a.mhd"
    header.write_text(META.format(**META_GOOD | {"file": "../a.raw"}))
    (tmp_path / "a.raw").write_bytes(bytes(256))
    for trust in (Trust(allow_outside=True), Trust(within=tmp_path)):
        assert read_image(header, trust).GetSize() == (4, 4, 4)
        assert [p.name for p in volume_files(header, trust)] == ["a.mhd", "a.raw"]
    with pytest.raises(ImageError, match="--allow-outside"):
        volume_files(header)


def test_voxels_of_pairs_are_inputs(tmp_path):
    volume = nibabel.load(write_image(odd_image(), tmp_path / "x.nii"))
    nibabel.save(nibabel.Nifti1Pair(np.asarray(volume.dataobj), volume.affine), tmp_path / "a.img")
    assert [p.name for p in volume_files(tmp_path / "a.hdr")] == ["a.hdr", "a.img"]
    assert [p.name for p in volume_files(tmp_path / "a.img")] == ["a.img", "a.hdr"]
    (tmp_path / "a.img").unlink()
    with pytest.raises(ImageError, match="beside it"):
        data_files(tmp_path / "a.hdr")


def test_text_voxels_are_read(tmp_path):
    path = tmp_path / "a.nrrd"
    text = " ".join(map(str, range(64))).encode()
    path.write_bytes(NRRD.format(**GOOD | {"encoding": "ascii"}).encode() + text)
    np.testing.assert_array_equal(read_nrrd(path).voxels.ravel(), np.arange(64))


@pytest.mark.parametrize("dims", [{2: -32768, 6: 255}, {1: 32767, 2: 32767, 3: 32767}, {1: -1}, {0: 7},
                                  {1: 30000}, {3: 0}])
@pytest.mark.parametrize("packed", [False, True])
def test_nifti_sizes_are_checked_before_memory_is_taken(tmp_path, dims, packed):
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8), "f4"), np.eye(4)), tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    for place, value in dims.items():
        struct.pack_into("<h", raw, 40 + 2 * place, value)
    path = tmp_path / ("b.nii.gz" if packed else "b.nii")
    path.write_bytes(gzip.compress(bytes(raw)) if packed else bytes(raw))
    if dims == {0: 7}:
        assert read_image(path).GetSize() == (8, 8, 8)  # further axes of one
        return
    with pytest.raises(ImageError, match="expected"):
        read_image(path)


def test_system_files_are_not_of_a_series(tmp_path):
    for name in ("1.dcm", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in volume_files(tmp_path)] == ["1.dcm"]
