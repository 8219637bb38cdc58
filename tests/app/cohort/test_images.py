"""Images that a manifest names and that cannot be used."""

import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import manifest, replace_image

from pgmif.cohort.manifest import ManifestError, check_images, patient_problems, read_manifest
from pgmif_core.images.volumes import write_image
from pgmif_core.phantom import PhantomSize, make_phantom


@pytest.mark.parametrize(("name", "change", "origin", "message"), [
    ("b_gtv.nii.gz", np.zeros_like, None, "empty mask"),
    ("b_gtv.nii.gz", lambda a: a, (900.0, 0.0, 0.0), "outside the T2w volume"),
    ("b_T1w.nii.gz", lambda a: a, (900.0, 0.0, 0.0), "do not overlap in space"),
    ("b_T1w.nii.gz", np.zeros_like, None, "found the constant 0"),
    ("b_T1w.nii.gz", lambda a: a[:3], None, "at least 4 voxels along every axis"),
])
def test_bad_contents_are_refused(cohort_folder, name, change, origin, message):
    replace_image(cohort_folder, name, change, origin)
    with pytest.raises(ManifestError) as caught:
        check_images(read_manifest(manifest(cohort_folder)))
    assert message in str(caught.value)
    assert "row 3 (b)" in str(caught.value)


def test_a_ct_must_be_in_hounsfield_units(tmp_path):
    phantom = make_phantom(20240071, PhantomSize(8, 7.0, 2.4), further=("CT",))
    images = {"T1w": phantom.T1w, "T2w": phantom.T2w, "CT": phantom.CT, "gtv": phantom.gtv}
    rows = []
    for subject, split, offset in (("a", "train", 0), ("b", "test", 1024)):
        for column, image in images.items():
            shifted = image + offset if column == "CT" else image
            write_image(shifted, tmp_path / f"{subject}_{column}.nii.gz")
        rows.append({"subject": subject, "split": split, "source": "test", "license": "CC0-1.0",
                     **{c: f"{subject}_{c}.nii.gz" for c in images}})
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    cohort = read_manifest(tmp_path / "m.csv")
    assert cohort.modalities == ("T1w", "T2w", "CT")
    assert patient_problems(cohort, "a") == []
    (problem,) = patient_problems(cohort, "b")
    for part in ("row 3", "column CT", "Hounsfield", "nothing below 0", "rescale"):
        assert part in problem
