"""Cohorts as files: manifests, images that are changed, a study in every format."""

import nibabel
import numpy as np
import pandas as pd
import SimpleITK as sitk

from pgmif.cohort.manifest import read_manifest
from pgmif.runs.run import Run
from pgmif_core.images.volumes import write_image
from pgmif_core.phantom import PhantomSize, make_phantom


class Described(Run):
    """A run whose cohort is the repository's manifest: nothing on disk."""

    @property
    def cohort(self):
        return read_manifest(self.root / "data_manifest.csv")


def manifest(folder, change=None, **columns):
    """m.csv of the fixture `cohort_folder`, with its table changed."""
    table = pd.DataFrame({
        "subject": ["a", "b"], "split": ["train", "test"],
        **{c: [f"{s}_{c}.nii.gz" for s in "ab"] for c in ("T1w", "T2w", "gtv")},
        "source": "test", "license": "CC0-1.0", **columns,
    })
    if change:
        table = change(table)
    table.to_csv(folder / "m.csv", index=False)
    return folder / "m.csv"


def put(row, column, value):
    """A change of one entry of a manifest."""
    def change(table):
        table.loc[row, column] = value
        return table
    return change


def replace_image(folder, name, array_of=lambda a: a, origin=None):
    """Other voxels in the place of those there are."""
    image = sitk.ReadImage(str(folder / name))
    changed = sitk.GetImageFromArray(array_of(sitk.GetArrayFromImage(image)))
    changed.SetSpacing(image.GetSpacing())
    changed.SetDirection(image.GetDirection())
    changed.SetOrigin(image.GetOrigin())
    if origin:
        changed.SetOrigin(origin)
    write_image(changed, folder / name)


def paired(picture, path):
    """The image as a header and a file of voxels: .mhd + .raw, or .hdr + .img."""
    if path.suffix == ".mhd":
        return write_image(picture, path)
    volume = nibabel.load(write_image(picture, path.with_suffix(".nii")))
    nibabel.save(nibabel.Nifti1Pair(np.asarray(volume.dataobj), volume.affine), path.with_suffix(".img"))
    path.with_suffix(".nii").unlink()
    return path


def study(folder):
    """Four patients as files: NIfTI, MetaImage with voxels apart, a NIfTI pair, named segments."""
    folder.mkdir()
    rows = []
    for k, suffix in enumerate((".nii.gz", ".mhd", ".hdr", ".nii.gz")):
        phantom = make_phantom(20240001 + k, PhantomSize(8, 7.0, 2.4))
        for name in ("T1w", "T2w", "gtv"):
            path = folder / f"{name}{k}{suffix}"
            picture = getattr(phantom, name)
            paired(picture, path) if suffix in (".mhd", ".hdr") else write_image(picture, path)
        gtv = f"gtv{k}{suffix}"
        if k == 3:
            seg = sitk.Cast(phantom.gtv, sitk.sitkUInt8)
            for key, value in (("Name", "GTV"), ("LabelValue", 1), ("Layer", 0)):
                seg.SetMetaData(f"Segment0_{key}", str(value))
            gtv = "gtv3.seg.nrrd"
            sitk.WriteImage(seg, str(folder / gtv))
        rows.append(f"s{k},{'test' if k == 3 else 'train'},T1w{k}{suffix},T2w{k}{suffix},{gtv},x,y,"
                    f"{'GTV' if k == 3 else ''}")
    header = "subject,split,T1w,T2w,gtv,source,license,gtv_roi"
    (folder / "m.csv").write_text("\n".join([header, *rows]) + "\n")
