"""NIfTI: two frames, and sizes that no file holds."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
from helpers.dicoms import oblique
from helpers.images import STRICT

from pgmif_core.images.volumes import ImageError, read_image


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
