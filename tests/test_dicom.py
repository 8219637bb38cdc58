import itertools
import subprocess
import sys

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicoms import (
    PLANTED,
    frame_of,
    image,
    mask_contours,
    oblique,
    write_dicom_series,
    write_rtstruct,
)

from pgmif_core.images.dicom import (
    ContourError,
    SeriesError,
    contour_names,
    is_rtstruct,
    rasterise,
    read_series,
    write_series,
)


def volume(depth=7, rows=24, columns=31, seed=0, **geometry):
    voxels = np.random.default_rng(seed).integers(0, 900, (depth, rows, columns))
    geometry = {"spacing": (0.9, 1.1, 3.3), "direction": oblique(), "origin": (5, -40, 12), **geometry}
    return image(voxels, **geometry)


def assert_same(found, expected, voxels=0.51):
    assert found.GetSize() == expected.GetSize()
    for corner in itertools.product(*((0, n - 1) for n in expected.GetSize())):
        places = [i.TransformIndexToPhysicalPoint(corner) for i in (found, expected)]
        np.testing.assert_allclose(*places, atol=1e-3)
    arrays = [sitk.GetArrayFromImage(i) for i in (found, expected)]
    np.testing.assert_allclose(*arrays, atol=voxels)


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


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80",
                                    "1.2.840.10008.1.2.4.90"], ids=["RLE", "JPEG-LS", "JPEG 2000"])
def test_compressed_series(tmp_path, syntax):
    expected = volume(depth=4, rows=32, columns=40)
    folder = write_dicom_series(expected, tmp_path / "t2", PixelRepresentation=0)
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    assert_same(read_series(folder), expected)


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


def sphere(grid, radius, centre=(0.0, 0.0, 0.0)):
    size = grid.GetSize()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), -1).reshape(-1, 3)
    affine = np.array(grid.GetDirection()).reshape(3, 3) * np.array(grid.GetSpacing())
    points = index @ affine.T + np.array(grid.GetOrigin()) - centre
    inside = np.linalg.norm(points, axis=1) <= radius
    return inside.reshape(size).transpose(2, 1, 0)


def circles(grid, radius, reverse=False):
    """Where each slice plane of a grid cuts a sphere around the origin: analytic contours."""
    axes = np.array(grid.GetDirection()).reshape(3, 3)
    loops = []
    for k in range(grid.GetSize()[2]):
        height = np.array(grid.TransformIndexToPhysicalPoint((0, 0, k))) @ axes[:, 2]
        if abs(height) < radius:
            angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)[:: -1 if reverse else 1]
            ring = np.sqrt(radius**2 - height**2)
            flat = np.stack([ring * np.cos(angle), ring * np.sin(angle), np.full(120, height)])
            loops.append((axes @ flat).T)
    return loops


def oblique_grid():
    grid = image(np.zeros((40, 80, 90)), (0.8, 0.9, 1.5), oblique(25))
    middle = np.array(grid.TransformContinuousIndexToPhysicalPoint([44.3, 39.6, 19.4]))
    grid.SetOrigin((-middle).tolist())
    return grid


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_a_sphere_with_a_hole_is_rasterised_on_an_oblique_grid(tmp_path):
    grid = oblique_grid()
    loops = {"GTVp": circles(grid, 22), "shell": circles(grid, 22) + circles(grid, 11, reverse=True)}
    path = write_rtstruct(tmp_path / "rs.dcm", loops, "1.2.3")
    assert is_rtstruct(path)
    assert contour_names(path) == ["GTVp", "shell"]
    mask = sitk.GetArrayFromImage(rasterise(path, "gtv*", grid)) > 0
    assert dice(mask, sphere(grid, 22)) > 0.97
    shell = sitk.GetArrayFromImage(rasterise(path, "shell", grid)) > 0
    expected = sphere(grid, 22) & ~sphere(grid, 11)
    assert dice(shell, expected) > 0.97
    assert not shell[20, 39, 44]


def test_contours_drawn_on_thicker_slices_fill_those_between(tmp_path):
    grid = oblique_grid()
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": circles(grid, 22)[::2]}, "1.2.3")
    mask = sitk.GetArrayFromImage(rasterise(path, "GTV", grid)) > 0
    assert dice(mask, sphere(grid, 22)) > 0.95


def test_bad_structure_sets_are_refused(tmp_path):
    grid = oblique_grid()
    grid.SetMetaData("frame-of-reference", "1.2.3")
    away = [loop + 500 for loop in circles(grid, 22)]
    loops = {"GTVp": circles(grid, 22), "GTVn": circles(grid, 9), "far": away, "empty": []}
    path = write_rtstruct(tmp_path / "rs.dcm", loops, "1.2.3")
    for pattern, message in (
        ("tumour", "no such structure: 'GTVp', 'GTVn', 'far', 'empty'"),
        ("GTV*", "several: 'GTVp', 'GTVn'"), ("empty", "found none"), ("far", "inside the image"),
    ):
        with pytest.raises(ContourError, match=message.replace("*", r"\*")):
            rasterise(path, pattern, grid)
    grid.SetMetaData("frame-of-reference", "1.2.4")
    with pytest.raises(ContourError, match="another"):
        rasterise(path, "GTVp", grid)
    tilted = image(np.zeros((40, 80, 90)), (0.8, 0.9, 1.5), oblique(60), origin=(-30, -30, -30))
    with pytest.raises(ContourError, match="crosses"):
        rasterise(path, "GTVp", tilted)


def test_contours_traced_from_a_mask_give_the_mask_back(tmp_path, phantom):
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": mask_contours(phantom.gtv)}, "1.2.3")
    found = sitk.GetArrayFromImage(rasterise(path, "GTV", phantom.gtv)) > 0
    assert dice(found, sitk.GetArrayFromImage(phantom.gtv) > 0) > 0.97


def test_a_fused_series_lies_where_the_t2w_series_lies(tmp_path):
    original = read_series(write_dicom_series(volume(), tmp_path / "t2"))
    fused = sitk.Cast(sitk.RescaleIntensity(original, 0, 1), sitk.sitkFloat32)
    fused.CopyInformation(original)
    frame = original.GetMetaData("frame-of-reference")
    folder = write_series(fused, tmp_path / "fused", "sub-001", "PGMIF", frame)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    assert_same(sitk.Cast(reader.Execute(), sitk.sitkFloat32), fused, voxels=2e-4)
    assert_same(read_series(folder), fused, voxels=2e-4)
    headers = [pydicom.dcmread(p) for p in sorted(folder.glob("*.dcm"))]
    assert {h.FrameOfReferenceUID for h in headers} == {frame}
    assert len({h.SOPInstanceUID for h in headers}) == len(headers)
    assert "PGMIF" in headers[0].DerivationDescription
    assert "not a medical device" in headers[0].DerivationDescription
    assert headers[0].ImageType == ["DERIVED", "SECONDARY", "OTHER"]
    text = b"".join(p.read_bytes() for p in folder.iterdir())
    assert not any(str(value).encode() in text for value in PLANTED.values())
    with pytest.raises(SeriesError, match="found files"):
        write_series(fused, folder, "sub-001", "PGMIF")


def test_a_fused_series_has_every_attribute_the_standard_demands(tmp_path):
    """Against the standard's own tables, which highdicom carries: types 1 and 2 of MR Image."""
    standard = pytest.importorskip("highdicom._standard_utils", reason="highdicom is not installed")
    fused = image(np.random.default_rng(0).random((3, 8, 9)))
    path = next(write_series(fused, tmp_path / "fused", "sub-001", "PGMIF").iterdir())
    data = pydicom.dcmread(path)
    modules = [m["key"] for m in standard.get_iod_module_map()["mr-image"] if m["usage"] == "M"]
    assert {"mr-image", "image-plane", "sop-common"} <= set(modules)
    checked = 0
    for module in modules:
        for attribute in standard.get_module_attribute_map()[module]:
            if attribute["path"] or attribute["type"] not in ("1", "2"):
                continue
            assert attribute["keyword"] in data, f"{module}: {attribute['keyword']}"
            if attribute["type"] == "1":
                assert data[attribute["keyword"]].value not in ("", None), attribute["keyword"]
            checked += 1
    assert checked > 30


def lesions(grid, heights, radius=8.0):
    """Circles around the grid's middle on the slices (continuous index) `heights`."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    loops = []
    for k in heights:
        ring = np.stack([45 + radius * np.cos(angle), 40 + radius * np.sin(angle), np.full(60, k)], 1)
        loops.append(np.array([grid.TransformContinuousIndexToPhysicalPoint(p) for p in ring.tolist()]))
    return loops


def filled(path, grid):
    return np.flatnonzero(sitk.GetArrayFromImage(rasterise(path, "*", grid)).any(axis=(1, 2))).tolist()


def test_two_lesions_are_not_joined(tmp_path):
    grid = image(np.zeros((30, 80, 90)), (0.8, 0.9, 3.0), oblique(25))
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": lesions(grid, (5.0, 25.0))}, "1.2.3")
    assert filled(path, grid) in ([5, 25], [4, 5, 6, 24, 25, 26])
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": lesions(grid, (3, 4, 5, 20, 21))}, "1.2.3")
    assert filled(path, grid) == [3, 4, 5, 20, 21]


def test_contours_finer_than_the_slices_do_not_cancel(tmp_path):
    grid = image(np.zeros((12, 80, 90)), (0.8, 0.9, 6.0), oblique(25))
    fine = lesions(grid, np.arange(2, 8, 1 / 12))  # every 0.5 mm
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": fine}, "1.2.3")
    assert filled(path, grid) == list(range(2, 9)) or filled(path, grid) == list(range(2, 8))
    assert sitk.GetArrayFromImage(rasterise(path, "GTV", grid))[5, 40, 45] == 1


def test_names_with_brackets_and_another_frame_per_structure(tmp_path):
    grid = image(np.zeros((12, 80, 90)), (0.8, 0.9, 3.0))
    grid.SetMetaData("frame-of-reference", "1.2.3")
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV [MR]": lesions(grid, (5, 6))}, "1.2.3")
    assert sitk.GetArrayFromImage(rasterise(path, "gtv [mr]", grid)).any()
    data = pydicom.dcmread(path)
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "9.9.9"
    data.save_as(path)
    with pytest.raises(ContourError, match="frame of reference"):
        rasterise(path, "GTV [MR]", grid)


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


DAMAGED = """
import resource, sys
from pathlib import Path
from pgmif_core.images.dicom import read_series
from pgmif_core.images.dicom.planes import SeriesError
folder = Path(sys.argv[1])
file = folder / "0002.dcm"
whole = file.read_bytes()
for left in (100, 400, 2000):
    file.write_bytes(whole[:-left])
    try:
        read_series(folder)
    except SeriesError as error:
        assert "0002.dcm: expected pixels that can be decoded, found" in str(error), error
    else:
        raise AssertionError(f"{left} bytes less were not missed")
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def test_a_damaged_compression_takes_no_memory(root, tmp_path):
    folder = write_dicom_series(volume(depth=8, rows=58, columns=50), tmp_path / "s")
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        data.save_as(file)
    done = subprocess.run([sys.executable, "-c", DAMAGED, str(folder)], cwd=root, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1700  # MiB; one of these asked GDCM for four gigabytes
