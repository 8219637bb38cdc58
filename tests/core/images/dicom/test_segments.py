"""DICOM SEG: one segment of several, and frames that are not stored."""

import numpy as np
import pytest
from helpers.dicoms import dicom_seg, image, write_rtstruct
from helpers.images import count

from pgmif_core.images.masks import read_mask
from pgmif_core.images.volumes import ImageError


def test_a_segment_of_a_dicom_seg_alone_is_read(tmp_path, blob):
    other = np.roll(blob, -15, 1)
    path = dicom_seg(tmp_path / "a.dcm", [(1, 0, blob), (2, 0, other), (1, 3, blob), (2, 6, other)])
    assert count(read_mask(path, lambda: None, "GTV")) == 200
    assert count(read_mask(path, lambda: None)) == 200
    assert count(read_mask(path, lambda: None, "par*")) == 200
    with pytest.raises(ImageError, match="no such structure: 'GTV', 'Parotid'"):
        read_mask(path, lambda: None, "lymph")
    with pytest.raises(ImageError, match="gtv_roi"):
        read_mask(path, lambda: None, "", "1")


@pytest.mark.parametrize("heights", [(0, 3, 12, 15), (12, 0, 3), (0.0, 2.99, 6.01, 15.0), (5,)])
def test_empty_slices_of_a_dicom_seg_are_not_stored_and_are_empty(tmp_path, blob, heights):
    path = dicom_seg(tmp_path / "b.dcm", [(1, z, blob) for z in heights])
    mask = read_mask(path, lambda: None, "GTV")
    assert count(mask) == 100 * len(heights)
    for z in heights:
        assert mask[mask.TransformPhysicalPointToIndex((25.0, 25.0, float(z)))]
    if 12 in heights:
        assert not mask[mask.TransformPhysicalPointToIndex((25.0, 25.0, 9.0))]


def test_fractions_of_a_dicom_seg_are_cut_at_one_half(tmp_path, blob):
    weak = blob * 99
    weak[20:25] = blob[20:25] * 101
    mask = read_mask(dicom_seg(tmp_path / "c.dcm", [(1, 0, weak), (1, 3, weak)], True), lambda: None,
        "GTV")
    assert count(mask) == 100


def test_a_folder_with_one_structure_set_is_read(tmp_path, blob):
    (tmp_path / "RS").mkdir()
    dicom_seg(tmp_path / "RS" / "1-1.dcm", [(1, 0, blob), (1, 3, blob)])
    assert count(read_mask(tmp_path / "RS", lambda: None, "GTV")) == 200
    grid = image(np.zeros((6, 16, 16)))
    grid.SetMetaData("frame-of-reference", "1.2.3")
    write_rtstruct(tmp_path / "RS" / "2.dcm", {"GTV": [np.array([[2, 2, 6], [9, 2, 6], [9, 9, 6.0]])]},
                   "1.2.3")
    with pytest.raises(ImageError, match="one structure set, found 2"):
        read_mask(tmp_path / "RS", lambda: grid)


@pytest.mark.parametrize(("heights", "apart", "step"), [
    ((0, 12), None, 3), ((0, 6, 12), 6, 6), ((0, 12, 24), 6, 6), ((0, 12), 4, 4),
    ((0, 4.5, 9), None, 4.5), ((0, 4.5, 9), 3, 4.5), ((5,), 6, 6),
])
def test_slices_are_as_thick_as_the_file_says(tmp_path, blob, heights, apart, step):
    """Where frames lie on such slices; else as far apart as two of them are at least."""
    path = dicom_seg(tmp_path / "d.dcm", [(1, z, blob) for z in heights], apart=apart)
    mask = read_mask(path, lambda: None)
    assert mask.GetSpacing()[2] == step
    assert count(mask) == 100 * len(heights)


def test_a_seg_in_another_frame_of_reference_is_refused(tmp_path, blob):
    grid = image(np.zeros((6, 33, 41)))
    grid.SetMetaData("frame-of-reference", "1.2.3")
    frames = [(1, 0, blob), (1, 3, blob)]
    for frame in ("", "1.2.3"):
        read_mask(dicom_seg(tmp_path / "e.dcm", frames, frame=frame), lambda: grid)
    with pytest.raises(ImageError, match="in another: it was drawn on another series"):
        read_mask(dicom_seg(tmp_path / "e.dcm", frames, frame="1.2.9"), lambda: grid)
