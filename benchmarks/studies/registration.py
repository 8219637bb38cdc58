"""Registration of phantoms against their true displacement: none, rigid, ours, elastix's B-spline.

python benchmarks/studies/registration.py [--profile quick] [--patients 5] [--output FILE]

All on the same phantoms in one run, one thread each. Needs itk-elastix (pip install itk-elastix).
Writes figures/phantom/table_registration_benchmark.csv.
"""

import argparse
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import itk
import numpy as np
import pandas as pd
import SimpleITK as sitk

from pgmif.cohort.manifest import read_manifest
from pgmif.runs.parameter_files import read_parameters
from pgmif.runs.root import find_root
from pgmif.steps.cohort import phantom_size
from pgmif_core.files import write_table
from pgmif_core.images.displacements import displacement_error, head_points, smallest_jacobian
from pgmif_core.images.registration import register, rigid_registration
from pgmif_core.phantom import make_phantom


def as_itk(image: sitk.Image):
    """The same image for itk."""
    result = itk.image_from_array(sitk.GetArrayFromImage(image))
    result.SetSpacing(image.GetSpacing())
    result.SetOrigin(image.GetOrigin())
    result.SetDirection(itk.matrix_from_array(np.array(image.GetDirection()).reshape(3, 3)))
    return result


def elastix(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """elastix's default rigid and B-spline parameter maps, untouched; as a displacement field."""
    maps = itk.ParameterObject.New()
    for stage in ("rigid", "bspline"):
        maps.AddParameterMap(maps.GetDefaultParameterMap(stage))
    _, result = itk.elastix_registration_method(
        as_itk(fixed), as_itk(moving), parameter_object=maps, log_to_console=False
    )
    with TemporaryDirectory() as folder, chdir(folder):  # transformix leaves its field there
        field = itk.transformix_deformation_field(as_itk(moving), result)
        values = itk.array_from_image(field).astype(np.float64)
    vectors = sitk.GetImageFromArray(values, isVector=True)
    vectors.CopyInformation(fixed)
    return sitk.DisplacementFieldTransform(vectors)


METHODS = {
    "no registration": lambda fixed, moving: sitk.Transform(3, sitk.sitkIdentity),
    "rigid only (SimpleITK)": lambda fixed, moving: rigid_registration(fixed, moving, 1),
    "pgmif": lambda fixed, moving: register(fixed, moving, 0).transform,
    "elastix, default rigid + B-spline": elastix,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--patients", type=int, default=5)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    root = find_root()
    cohort = read_manifest(root / "data_manifest.csv")
    size = phantom_size(read_parameters(root / "params" / f"{options.profile}.yaml"))
    rows = []
    for subject in cohort.subjects("test")[: options.patients]:
        phantom = make_phantom(int(cohort.value(subject, "phantom_seed")), size)
        points = head_points(phantom.T2w)
        for name, method in METHODS.items():
            start = time.perf_counter()
            transform = method(phantom.T2w, phantom.T1w)
            seconds = time.perf_counter() - start
            error = displacement_error(transform, phantom.displacement, points)
            rows.append({
                "method": name, "subject": subject, "tre_median_mm": np.median(error),
                "tre_p95_mm": np.percentile(error, 95),
                "smallest_jacobian": smallest_jacobian(transform, phantom.T2w), "seconds": seconds,
            })
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    summary = table.drop(columns="subject").groupby("method", sort=False).median()
    summary["folded_patients"] = table["smallest_jacobian"].le(0).groupby(table["method"]).sum()
    summary = summary.round(3).reset_index()
    print(summary.to_string(index=False))
    write_table(summary, options.output or root / "figures/phantom/table_registration_benchmark.csv")


if __name__ == "__main__":
    main()
