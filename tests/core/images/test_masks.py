"""Masks of a file: integers or probabilities, one structure of several."""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.images import array, count, like, write

from pgmif_core.images.masks import ImageError, read_mask
from pgmif_core.images.volumes import write_image


def test_an_image_scaled_to_one_is_no_probability(phantom, tmp_path):
    voxels = array(phantom.T2w)
    path = write_image(like(voxels / voxels.max(), phantom.T2w), tmp_path / "gtv.nii.gz")
    with pytest.raises(ImageError, match="probabilities that are 0 almost everywhere"):
        read_mask(path, lambda: phantom.T2w)


def test_every_label_of_a_reference_region_counts(phantom, tmp_path):
    labels = np.zeros(array(phantom.gtv).shape, np.uint8)
    labels[3, 10:14, 10:14], labels[4, 10:14, 10:14] = 1, 4
    path = tmp_path / "ref.nii.gz"
    sitk.WriteImage(like(labels, phantom.gtv, np.uint8), str(path))
    assert array(read_mask(path, lambda: phantom.T2w, "*")).sum() == 32


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("value", [1, 7, 255])
def test_one_label_is_the_tumour_whatever_its_number(tmp_path, phantom, tumour, dtype, value):
    path = write((tumour * value).astype(dtype), phantom.gtv, tmp_path / "m.nii.gz")
    assert count(read_mask(path, lambda: None)) == tumour.sum()
