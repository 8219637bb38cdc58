"""A small training in a process of its own, to be killed, distributed or starved of disk by tests.

python tests/helpers/trainings.py STORE FOLDER [name=value …]   values of TrainingSettings
"""

import os
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import yaml

from pgmif_core.images.patient import PatientSlices
from pgmif_core.images.store import TrainingSlices, write_patient
from pgmif_core.training.loop import train
from pgmif_core.training.settings import TrainingSettings


def make_store(folder: Path) -> Path:
    """A slice store with one patient of four slices of 48×48."""
    sources = np.cumsum(np.random.default_rng(0).random((4, 2, 48, 48), np.float32), axis=-1)
    mask = np.zeros((4, 48, 48), bool)
    patient = PatientSlices("two", sources / sources.max(), mask, mask, sitk.Image([48, 48, 4], 8))
    write_patient(folder, patient, {})
    return folder


def small_training(store: Path, folder: Path, stop_at: int = 0, **values) -> Path:
    """Train long enough to be killed now and then, with a checkpoint every other iteration."""
    defaults = {"channels": 4, "iterations": 40, "batch_size": 4, "crop": 32, "checkpoint_every": 2}
    settings = TrainingSettings(**{**defaults, **values})

    def stop(iteration: int, _) -> None:
        if iteration == stop_at:
            raise KeyboardInterrupt

    slices = TrainingSlices(store, ["two"], settings.crop, settings.seed)
    return train(settings, slices, folder, stop if stop_at else None)


SETTINGS = TrainingSettings(channels=4, iterations=6, batch_size=2, crop=32, checkpoint_every=2)


if __name__ == "__main__":
    values = dict(pair.split("=") for pair in sys.argv[3:])
    small_training(
        Path(sys.argv[1]), Path(sys.argv[2]), **{k: yaml.safe_load(v) for k, v in values.items()}
    )
    if os.environ.get("RANK", "0") == "0":
        print("trained", flush=True)
