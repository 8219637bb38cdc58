"""DICOM series: sorted, tilted, multi-frame, padded; and those that are refused."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicoms import PLANTED, assert_same, frame_of, image, volume, write_dicom_series

from pgmif_core.images.dicom import SeriesError, read_series
from pgmif_core.images.volumes import read_image


def test_a_series_is_sorted_by_position_and_keeps_its_obliquity(tmp_path):
    expected = volume()
    folder = write_dicom_series(expected, tmp_path / "t2")
    (folder / ".DS_Store").write_bytes(b"not an image")
    found = read_series(folder)
    assert_same(found, expected)
    assert found.GetMetaData("frame-of-reference") == frame_of(folder)
    assert list(found.GetMetaDataKeys()) == ["frame-of-reference"]


def test_simpleitk_reads_the_same_series_alike(tmp_path):
    folder = write_dicom_series(volume(), tmp_path / "t2")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    assert_same(read_series(folder), reader.Execute())


@pytest.mark.parametrize("slope", [2.5, 0.25 + 0.05 * np.arange(7)])
def test_rescale_slope_and_intercept_of_each_slice(tmp_path, slope):
    expected = volume()
    folder = write_dicom_series(expected, tmp_path / "t2", slope=slope, intercept=-100.0)
    assert_same(read_series(folder), expected, voxels=1.3)


def test_a_tilted_gantry_is_undone(tmp_path):
    z, y, x = np.mgrid[:9, :40, :40].astype(float)
    upright = image(1000 + 20 * x + 10 * y + 30 * z, (1.0, 1.0, 2.0))
    shear = np.array([0.0, 0.5, 0.0])
    slices = 1000 + 20 * x + 10 * (y + 0.5 * z) + 30 * z  # a slice that starts later sees later y
    folder = write_dicom_series(image(slices, (1.0, 1.0, 2.0)), tmp_path / "ct", shear=shear)
    found = read_series(folder)
    for point in ((10.0, 12.0, 4.0), (20.5, 25.0, 13.0), (30.0, 20.0, 16.0)):
        here = found.EvaluateAtPhysicalPoint(point)
        assert here == pytest.approx(upright.EvaluateAtPhysicalPoint(point), abs=0.6)


def multiframe(folder, expected, slopes):
    """An enhanced MR image: one file, geometry and rescale in functional groups."""
    from pydicom.dataset import Dataset
    from pydicom.uid import EnhancedMRImageStorage

    parts = write_dicom_series(expected, folder / "parts", order=range(expected.GetSize()[2]))
    frames = [pydicom.dcmread(p) for p in sorted(parts.glob("*.dcm"))]
    data = frames[0]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    pixels, groups = [], []
    order = np.random.default_rng(1).permutation(len(frames))
    for k in order:
        group = Dataset()
        for macro, names in (("PlanePositionSequence", ["ImagePositionPatient"]),
                             ("PlaneOrientationSequence", ["ImageOrientationPatient"]),
                             ("PixelMeasuresSequence", ["PixelSpacing", "SliceThickness"])):
            item = Dataset()
            for name in names:
                setattr(item, name, frames[k][name].value)
            setattr(group, macro, [item])
        rescale = Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = slopes[k], 5
        rescale.RescaleType = "US"
        group.PixelValueTransformationSequence = [rescale]
        groups.append(group)
        pixels.append(np.round((frames[k].pixel_array - 5) / slopes[k]).astype("<i2"))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del data[name]
    data.PerFrameFunctionalGroupsSequence = groups
    data.SharedFunctionalGroupsSequence = [Dataset()]
    data.NumberOfFrames = len(frames)
    data.PixelData = np.stack(pixels).tobytes()
    for path in parts.glob("*.dcm"):
        path.unlink()
    data.save_as(parts / "enhanced.dcm")
    return parts


@pytest.mark.parametrize("slopes", [np.ones(7), 0.5 + 0.1 * np.arange(7)], ids=["one", "per frame"])
def test_multiframe(tmp_path, slopes):
    expected = volume()
    assert_same(read_series(multiframe(tmp_path, expected, slopes)), expected, voxels=0.6)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda f: (f / "0003.dcm").write_bytes((f / "0003.dcm").read_bytes()[:900]), "truncated"),
    (lambda f: (f / "0003.dcm").write_bytes((f / "0003.dcm").read_bytes()[:1900]), "truncated"),
    (lambda f: (f / "0003.dcm").write_bytes(b""), "DICOM"),
    (lambda f: (f / "notes.txt").write_text("hello"), "expected a DICOM file"),
    (lambda f: [p.unlink() for p in f.iterdir()], "no DICOM image"),
    (lambda f: write_dicom_series(volume(seed=1), f / "b", number=9).joinpath("0001.dcm").rename(
        f / "other.dcm"), "found 2: series"),
    (lambda f: next(p for p in f.glob("*.dcm") if pydicom.dcmread(p).InstanceNumber == 4).unlink(),
     "A slice is missing"),
    (lambda f: (f / "copy.dcm").write_bytes((f / "0002.dcm").read_bytes()), "taken twice"),
])
def test_bad_series_are_refused(tmp_path, spoil, message):
    folder = write_dicom_series(volume(), tmp_path / "t2")
    spoil(folder)
    with pytest.raises(SeriesError, match=message) as caught:
        read_series(folder)
    assert "t2" in str(caught.value)
    assert not any(str(v) in str(caught.value) for v in PLANTED.values())


def test_missing_and_doubled_slices_are_named_by_position(tmp_path):
    upright = volume(direction=np.eye(3), origin=(0, 0, 100))
    folder = write_dicom_series(upright, tmp_path / "t2", order=range(7))
    (folder / "0003.dcm").unlink()
    with pytest.raises(SeriesError, match=r"between 106\.60 and 113\.20 mm \(0002\.dcm, 0004\.dcm\)"):
        read_series(folder)


def test_two_stations_in_one_series_are_refused(tmp_path):
    upper = volume(depth=5, direction=np.eye(3), origin=(0, 0, 0))
    lower = volume(depth=5, direction=np.eye(3), origin=(20, 0, 5 * 3.3))
    folder = write_dicom_series(upper, tmp_path / "t2")
    other = write_dicom_series(lower, tmp_path / "other")
    series = pydicom.dcmread(folder / "0000.dcm").SeriesInstanceUID
    for path in other.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID = series
        data.save_as(folder / f"b{path.name}")
    with pytest.raises(SeriesError, match="along one line"):
        read_series(folder)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_read(tmp_path):
    expected = volume(depth=9, spacing=(0.9, 1.1, 0.625), direction=np.eye(3), origin=(0, 0, 0))
    folder = write_dicom_series(expected, tmp_path / "t1")
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.ImagePositionPatient = [f"{float(v):.1f}" for v in data.ImagePositionPatient]
        data.save_as(path)
    assert read_series(folder).GetSpacing()[2] == pytest.approx(0.625)


def test_contradicting_headers_are_a_clear_error(tmp_path):
    folder = write_dicom_series(volume(), tmp_path / "t2", ImageOrientationPatient=[0] * 6)
    with pytest.raises(SeriesError, match=r"contradict|taken twice"):
        read_series(folder)


@pytest.mark.parametrize(("padding", "limit", "signed"),
    [(-2000, None, 1), (0, None, 1), (-2000, -1500, 1)])
def test_pixel_padding_is_as_dark_as_air(tmp_path, padding, limit, signed):
    voxels = np.random.default_rng(0).integers(10, 900, (6, 16, 17)).astype(float)
    voxels[:, :4] = padding if limit is None else np.linspace(padding, limit, 4)[:, None]
    more = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    folder = write_dicom_series(image(voxels), tmp_path / "s", PixelPaddingValue=padding, **more)
    found = sitk.GetArrayFromImage(read_image(folder))
    assert found.min() == voxels[:, 4:].min()
    np.testing.assert_array_equal(found[:, 4:], voxels[:, 4:])
    assert (found[:, :4] == voxels[:, 4:].min()).all()
