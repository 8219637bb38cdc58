"""A few phantoms in seconds, for looking and teaching: aligned by what is known, not registered."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from pgmif.cohort.manifest import read_manifest
from pgmif.runs.code_of import code_of
from pgmif.runs.parallel import each_patient
from pgmif.runs.parameters import Parameters
from pgmif.steps.cohort import phantom_size
from pgmif_core.images.patient import PatientSlices, patient_of, place_sources, with_reference
from pgmif_core.images.slices import SLICE_SIZE, slice_grid
from pgmif_core.images.store import known_patient, write_patient
from pgmif_core.images.volumes import mask_on
from pgmif_core.phantom import Phantom, PhantomSize, make_phantom

RUN = "explore-phantoms"
LABEL = "synthetic phantom cohort, aligned by its known displacement"
INVERSION = 50  # iterations; leaves hundredths of a millimetre


def aligned_slices(phantom: Phantom, subject: str, size: int = SLICE_SIZE) -> PatientSlices:
    """A phantom's T1w and T2w on the slices of T2w, as 01_preprocessing would store them.

    Instead of being registered, T1w is moved back by the inverse of its true displacement.
    """
    grid = slice_grid(phantom.T2w, size)
    back = sitk.DisplacementFieldTransform(sitk.InvertDisplacementField(phantom.displacement, INVERSION))
    placed = place_sources({"T1w": phantom.T1w, "T2w": phantom.T2w}, grid, {"T1w": back})
    return with_reference(patient_of(subject, placed, grid, mask_on(phantom.gtv, grid)))


def phantom_slices(seed: int, size: PhantomSize | None = None, subject: str = "") -> PatientSlices:
    """The aligned slices of the phantom with this seed; `size` None is that of the quick profile."""
    size = size or phantom_size(Parameters())
    return aligned_slices(make_phantom(seed, size), subject or f"phantom-{seed}")


def _settings(seed: int) -> dict[str, Any]:
    code = code_of(phantom_slices)
    return {"seed": seed, "code": code}


def _store_patient(store: Path, seeds: dict[str, int], subject: str) -> str:
    patient = phantom_slices(seeds[subject], subject=subject)
    write_patient(store, patient, {"settings": _settings(seeds[subject]), "row": {}})
    return subject


def demonstration_store(root: Path, count: int = 3, say: Callable[[str], None] = print) -> Path:
    """results/explore-phantoms/, with the first test phantoms of data_manifest.csv; made where absent.

    About three seconds a patient and core. Patients already there are kept.
    """
    cohort = read_manifest(root / "data_manifest.csv")
    seeds = {s: int(cohort.value(s, "phantom_seed")) for s in cohort.subjects("test")[:count]}
    store = root / "results" / RUN / "01_preprocessing" / "slices"
    missing = [
        s for s, seed in seeds.items()
        if known_patient(store, s, _settings(seed)) is None
    ]
    if missing:
        say(f"making {len(missing)} phantoms, once")
        each_patient(partial(_store_patient, store, seeds), missing, say=say)
    return store
