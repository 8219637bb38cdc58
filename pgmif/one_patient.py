"""One patient without a cohort: register, fuse, and measure images named one by one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import SimpleITK as sitk

from pgmif_core.evaluation.measures import cnr, fuse_volume, sobel_against, t2w_where_alone
from pgmif_core.images.patient import (
    partly_imaged,
    patient_of,
    place_sources,
    with_reference,
)
from pgmif_core.images.registration import Registration, register
from pgmif_core.images.slices import normalised_slices, place_on_slices, slice_grid
from pgmif_core.images.volumes import ImageError, mask_on, overlap_fraction, resample
from pgmif_core.images.windows import windowed
from pgmif_core.methods.pgmif_plus import PlusSettings
from pgmif_core.metrics.paper import between_slices_share
from pgmif_core.networks.generator import Generator

SMALLEST_OVERLAP = 0.1


class Fused(NamedTuple):
    """`image` in [0, 1] on the T2w grid, how each other sequence was registered to T2w, and the slices
    (upright) of which another sequence shows only a part: there the image is T2w alone."""

    image: sitk.Image
    registrations: dict[str, Registration]
    partly_imaged: list[int]


def fuse_images(
    images: Mapping[str, sitk.Image], method: str,
    weights: str | Path | Generator | PlusSettings | None = None,
    slice_size: int = 192, seed: int = 0, say: Callable[[str], None] = lambda _: None,
) -> Fused:
    """Fuse the sequences of one patient: keys T1w, T2w, and further ones.

    As in the pipeline: every sequence is registered to T2w, slices are min-max normalised and
    resized to `slice_size`, fused, and the result is resampled to the T2w grid. Raises ImageError
    where sequences do not overlap in space, ValueError where weights and sequences do not fit.
    """
    t2w = images["T2w"]
    names = ["T1w", "T2w", *(n for n in images if n not in ("T1w", "T2w"))]
    for name in names:
        if overlap_fraction(images[name], t2w) < SMALLEST_OVERLAP:
            raise ImageError(
                f"expected {name} and T2w of one place, found that they do not overlap in space; are "
                "they of the same patient and session?"
            )
    if isinstance(weights, (Generator, PlusSettings)):
        names = _in_the_order_of(weights, names)
    grid, fixed, registrations = slice_grid(t2w, slice_size), windowed(t2w, "T2w"), {}
    for name in (n for n in names if n != "T2w"):
        say(f"registering {name} to T2w")
        registrations[name] = register(fixed, windowed(images[name], name), seed)
    transforms = {name: result.moves for name, result in registrations.items()}
    placed = place_sources({name: images[name] for name in names}, grid, transforms)
    say(f"fusing {grid.GetSize()[2]} slices")
    patient = patient_of("", placed, grid)
    volume = t2w_where_alone(fuse_volume(method, patient, weights), method, patient)
    fused = sitk.GetImageFromArray(np.asarray(volume, np.float32))
    fused.CopyInformation(grid)
    on_t2w = resample(fused, t2w)
    for key in t2w.GetMetaDataKeys():
        on_t2w.SetMetaData(key, t2w.GetMetaData(key))
    return Fused(on_t2w, registrations, np.flatnonzero(partly_imaged(patient)).tolist())


def _in_the_order_of(weights: Generator | PlusSettings, names: list[str]) -> list[str]:
    fitted = isinstance(weights, PlusSettings)
    known = weights.sequences
    count = len(weights.shares) if fitted else weights.settings["modalities"]
    if len(names) != count or (known and set(known) != set(names)):
        what = f"{count} sequences" + (f" ({', '.join(known)})" if known else "")
        raise ValueError(
            f"the weights were {'fitted' if fitted else 'trained'} on {what}, found {len(names)}: "
            f"{', '.join(names)}. Give the same sequences, or other weights."
        )
    return list(known) or names


def measure(
    fused: sitk.Image, gtv: sitk.Image, sources: Mapping[str, sitk.Image],
    reference: sitk.Image | None = None, slice_size: int = 192,
) -> pd.DataFrame:
    """CNR (Eq. 8; σ pooled, and within slices), the percentage of the reference's variance that lies
    between slices, and Q (Eq. 12) against each source, of the fused image and of the sources.

    All images must lie in one space (sources registered); each is resampled to the slices of the
    fused one. Values outside [0, 1] are min-max normalised per slice, sources always are. Without
    `reference` a homogeneous region near the tumour is found in all sources, as in the pipeline.
    """
    grid = slice_grid(fused, slice_size)
    placed = place_sources(sources, grid)
    drawn = mask_on(gtv, grid)
    if not drawn.any():
        raise ImageError("expected the GTV inside the fused image, found no voxel of it there; do they "
                         "share one space?")
    # as in the pipeline: a slice that a source does not show is not measured
    patient = patient_of("", placed, grid, drawn)
    if not patient.gtv.any():
        raise ImageError(f"expected sources that show the tumour, found none of its slices on all of "
                         f"{', '.join(sources)}")
    if reference is None:
        patient = with_reference(patient)
    else:
        region = mask_on(reference, grid) & placed.covered & placed.imaged
        patient = patient._replace(reference=region)
    volume = sitk.GetArrayFromImage(place_on_slices(fused, grid))
    if volume.min() < -1e-3 or volume.max() > 1 + 1e-3:
        volume = normalised_slices(windowed(fused, ""), grid).planes
    rows = []
    for name, own in {"fused": volume, **dict(zip(sources, patient.volumes, strict=True))}.items():
        row = {"image": name, "cnr": cnr(own, patient), "cnr_within": cnr(own, patient, pooled=False),
               "between_percent": 100 * between_slices_share(own, np.asarray(patient.reference))}
        row |= {f"q_{s}": sobel_against(own, patient, m) for m, s in enumerate(sources)}
        rows.append(row)
    return pd.DataFrame(rows)
