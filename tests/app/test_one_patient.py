"""One patient's images are fused and measured as the pipeline does."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.images import shifted

from pgmif.one_patient import fuse_images, measure
from pgmif_core.images.windows import hot_voxels, windowed


@pytest.mark.parametrize("method", ["moi", "average"])
def test_an_offset_of_the_background_changes_no_cnr(odd, method):
    t1w = sitk.Resample(odd.T1w, odd.T2w, sitk.Transform(), sitk.sitkLinear, 0.0)
    cnr = {}
    for offset in (0.0, 50.0):
        images = {"T1w": shifted(t1w, offset), "T2w": shifted(odd.T2w, offset)}
        fused = fuse_images(images, method).image
        table = measure(fused, odd.gtv, images).set_index("image")
        cnr[offset] = table["cnr"]
    np.testing.assert_allclose(cnr[50.0], cnr[0.0], atol=0.05)


@pytest.mark.parametrize("value", [32767.0, -9000.0])
@pytest.mark.parametrize("count", [1, 3])
def test_hot_voxels_are_cut_and_named(odd, value, count):
    hot = sitk.Image(odd.T2w)
    for k in range(count):
        hot[2 + 3 * k, 2, 5] = value
    assert hot_voxels(hot) == [5]
    assert hot_voxels(odd.T2w) == hot_voxels(odd.T1w) == []
    cnr = [float(measure(i, odd.gtv, {"T2w": i}).cnr[0]) for i in (odd.T2w, hot)]
    assert cnr[1] == pytest.approx(cnr[0], abs=0.05)
    kept = sitk.GetArrayFromImage(windowed(hot, "T2w")) - sitk.GetArrayFromImage(odd.T2w)
    assert np.count_nonzero(kept) <= count


def test_evaluate_measures_the_slices_that_the_pipeline_does(odd):
    t1w = sitk.Resample(odd.T1w, odd.T2w, sitk.Transform(), sitk.sitkLinear, 0.0)
    tumour = np.flatnonzero(sitk.GetArrayViewFromImage(odd.gtv).any(axis=(1, 2)))
    cut = sitk.GetArrayFromImage(t1w)
    cut[tumour[-1] :] = 0  # not imaged there
    short = sitk.GetImageFromArray(cut)
    short.CopyInformation(t1w)
    kept = sitk.GetArrayFromImage(odd.gtv)
    kept[tumour[-1] :] = 0
    inside = sitk.GetImageFromArray(kept)
    inside.CopyInformation(odd.gtv)
    tables = [measure(odd.T2w, gtv, {"T1w": short, "T2w": odd.T2w}) for gtv in (odd.gtv, inside)]
    pd.testing.assert_frame_equal(*tables)
