"""Fuse patients with every method and measure what came out."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

from pgmif_core.images.modalities import T1W, T2W
from pgmif_core.images.patient import PatientSlices, measured_slices, partly_imaged
from pgmif_core.losses import relative_alignment
from pgmif_core.methods.learned import fuse_learned
from pgmif_core.methods.pgmif_plus import standardised
from pgmif_core.methods.registry import METHODS, Method, Weights
from pgmif_core.metrics.paper import (
    Reading,
    contrast_correlation,
    contrast_to_noise_ratio,
    generalized_sobel,
)
from pgmif_core.networks.generator import Generator


def fuse_volume(
    method: str | Method, patient: PatientSlices, weights: Weights | None = None
) -> NDArray[np.float32]:
    """Fuse all slices of a patient with a method (or its name in METHODS); (slices, h, w) in [0, 1]."""
    method = METHODS[method] if isinstance(method, str) else method
    return _finite(method(_slices(patient), weights), method.label)


def _slices(patient: PatientSlices) -> Tensor:
    return torch.from_numpy(np.array(patient.sources))


def _finite(fused: Tensor, label: str) -> NDArray[np.float32]:
    volume: NDArray[np.float32] = fused[:, 0].numpy()
    if not np.isfinite(volume).all():
        raise ValueError(f"{label}: expected finite intensities, found NaN or infinite ones; its "
                         "weights or settings are damaged.")
    return volume


def t2w_where_alone(
    volume: NDArray, method: str | Method, patient: PatientSlices
) -> NDArray[np.float32]:
    """A fused volume with T2w, as the method sees it, where T2w shows head that another source does not.

    With nothing in place of a source, a rule would halve the brightness there.
    """
    method = METHODS[method] if isinstance(method, str) else method
    partly = partly_imaged(patient)
    if method.kind == "source" or not partly.any():
        return volume
    t2w = torch.from_numpy(np.array(patient.sources[partly, T2W : T2W + 1]))
    seen = standardised(t2w) if method.kind == "fitted" else t2w
    filled = volume.copy()
    filled[partly] = np.where(patient.imaged[partly], volume[partly], seen[:, 0].numpy())
    return filled


def cnr(volume: NDArray, patient: PatientSlices, pooled: bool = True) -> float:
    """CNR (Eq. 8) of a fused volume over the patient's tumour and reference regions, σ of the reference
    pooled over slices or within them."""
    masks = np.asarray(patient.gtv), np.asarray(patient.reference)
    return contrast_to_noise_ratio(volume, *masks, pooled)


def sobel_against(
    volume: NDArray, patient: PatientSlices, modality: int, reading: Reading = "crop"
) -> float:
    """Generalized Sobel (Eq. 12) of a fused volume against one source, in the tumour."""
    planes = np.flatnonzero(patient.gtv.any(axis=(1, 2)))
    source = patient.sources[planes, modality]
    return generalized_sobel(volume[planes], source, np.asarray(patient.gtv[planes]), reading)


def fidelity(
    volume: NDArray, patient: PatientSlices, epsilon: float, head: NDArray | None = None
) -> dict[str, float]:
    """Is the image sane? Alignment with T2w relative to T2w itself, SSIM to T2w, contrast sign.

    `alignment_t2w` is Eq. 2 ÷ Eq. 2 of T2w with itself; `ssim_t2w` the mean over slices with
    signal; `correlation` that with the mean of the sources inside the head (negative: inverted).
    `head` spares finding the head again for every method.
    """
    t2w = np.asarray(patient.sources[:, T2W])
    planes = np.flatnonzero(t2w.any(axis=(1, 2)))
    as_tensor = [torch.from_numpy(np.ascontiguousarray(x[planes, None])) for x in (volume, t2w)]
    similarity = [structural_similarity(volume[k], t2w[k], data_range=1.0) for k in planes]
    return {
        "alignment_t2w": relative_alignment(*as_tensor, epsilon),
        "ssim_t2w": float(np.mean(similarity)),
        "correlation": contrast_correlation(
            volume, patient.volumes, patient.head if head is None else head
        ),
    }


def patient_rows(
    generator: Generator, patients: Iterable[PatientSlices], epsilon: float
) -> list[dict[str, float]]:
    """CNR, Q and fidelity of a generator's image, one row per patient (their measured slices)."""
    rows = []
    for patient in map(measured_slices, patients):
        volume = _finite(fuse_learned(_slices(patient), generator), "the generator")
        rows.append({**_paper_measures(volume, patient), **fidelity(volume, patient, epsilon)})
    return rows


def validation_row(
    generator: Generator, patients: Iterable[PatientSlices], epsilon: float
) -> dict[str, float]:
    """Medians over validation patients of CNR, Q and fidelity, and the score: what 02 watches.

    The score is CNR ÷ |CNR of the better untouched source| + Q ÷ Q of untouched T2w (Q summed over T1w
    and T2w), of medians over patients: the paper's two measures in equal parts. (Of medians, because a
    patient whose tumour is as bright as its reference would be divided by nearly 0.)
    """
    patients = list(patients)
    row = pd.DataFrame(patient_rows(generator, patients, epsilon)).median().to_dict()
    before = baseline_row(patients)
    sharpness, unchanged = (values["q_t1w"] + values["q_t2w"] for values in (row, before))
    score = row["cnr"] / abs(before["cnr_better_source"]) + sharpness / unchanged
    return {**row, "score": score}


def baseline_row(patients: Iterable[PatientSlices]) -> dict[str, float]:
    """Medians of CNR and Q of untouched T2w: what validation patients are compared with; and of each
    patient's better untouched source the CNR, `cnr_better_source`."""
    rows = []
    for part in map(measured_slices, patients):
        t2w = _paper_measures(np.asarray(part.sources[:, T2W]), part)
        rows.append({**t2w, "cnr_better_source": max(t2w["cnr"], cnr(part.sources[:, T1W], part))})
    return pd.DataFrame(rows).median().to_dict()


def _paper_measures(volume: NDArray, patient: PatientSlices) -> dict[str, float]:
    return {
        "cnr": cnr(volume, patient),
        "cnr_within": cnr(volume, patient, pooled=False),
        "q_t1w": sobel_against(volume, patient, T1W),
        "q_t2w": sobel_against(volume, patient, T2W),
    }
