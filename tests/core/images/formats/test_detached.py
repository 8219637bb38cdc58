"""Files that hold a volume's voxels apart from its header."""

import nibabel
import numpy as np
import pytest
from helpers.images import odd_image

from pgmif_core.images.formats import data_files
from pgmif_core.images.volumes import ImageError, volume_files, write_image


def test_voxels_of_pairs_are_inputs(tmp_path):
    volume = nibabel.load(write_image(odd_image(), tmp_path / "x.nii"))
    nibabel.save(nibabel.Nifti1Pair(np.asarray(volume.dataobj), volume.affine), tmp_path / "a.img")
    assert [p.name for p in volume_files(tmp_path / "a.hdr")] == ["a.hdr", "a.img"]
    assert [p.name for p in volume_files(tmp_path / "a.img")] == ["a.img", "a.hdr"]
    (tmp_path / "a.img").unlink()
    with pytest.raises(ImageError, match="beside it"):
        data_files(tmp_path / "a.hdr")
