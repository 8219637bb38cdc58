"""Fused images as DICOM series: in their place, complete, without identifiers."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicoms import PLANTED, assert_same, image, volume, write_dicom_series

from pgmif_core.images.dicom import SeriesError, read_series, write_series


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
