"""The phantoms of the demonstration are aligned by what is known of them."""

import numpy as np
import SimpleITK as sitk

from pgmif.demonstration import aligned_slices
from pgmif_core.images.displacements import displacement_error, head_points


def test_known_displacement_aligns_the_phantom(phantom):
    patient = aligned_slices(phantom, "p")
    assert patient.sources.shape[1:] == (2, 192, 192)
    assert patient.gtv.any()
    assert patient.reference.any()
    back = sitk.DisplacementFieldTransform(sitk.InvertDisplacementField(phantom.displacement, 50))
    assert np.median(displacement_error(back, phantom.displacement, head_points(phantom.T2w))) < 0.05
