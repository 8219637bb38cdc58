"""Images and masks for tests: made, compared, counted."""

import numpy as np
import SimpleITK as sitk

from helpers.dicoms import oblique
from pgmif_core.images.volumes import Trust

STRICT = Trust()


def like(voxels, grid, kind=np.float32):
    """An image on a grid; `kind` None leaves its numbers as they are."""
    result = sitk.GetImageFromArray(np.asarray(voxels, kind))
    result.CopyInformation(grid)
    return result


def array(picture):
    return sitk.GetArrayFromImage(picture)


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def odd_image(kind=np.float32, seed=0):
    """An oblique image of three different sizes and spacings."""
    voxels = (np.random.default_rng(seed).random((5, 6, 7)) * 100).astype(kind)
    result = sitk.GetImageFromArray(voxels)
    result.SetSpacing((1.1, 2.2, 3.3))
    result.SetOrigin((4.0, -5.0, 6.5))
    result.SetDirection(oblique(30).ravel().tolist())
    return result


def count(mask):
    return int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))


def write(voxels, grid, path):
    sitk.WriteImage(like(voxels, grid, None), str(path))
    return path


def shifted(picture, offset):
    return sitk.Cast(picture + offset, sitk.sitkFloat32)
