"""Trained weights as files, written and read: safetensors with what describes the network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pgmif_core.files import replace_file
from pgmif_core.networks.generator import Generator


def load_generator(path: str | Path) -> Generator:
    """Generator from a .safetensors file written by training (no pickle is ever read).

    Raises ValueError where the file is foreign, truncated, or does not fit its own description.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: expected trained weights (.safetensors), found no file. `make reproduce` leaves "
            "them in results/<run>/02_training/<method>/weights.safetensors."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: expected safetensors weights, found: {error}") from error
    if "generator" not in metadata:
        raise ValueError(
            f"{path}: expected weights written by pgmif training (metadata 'generator'), found "
            f"metadata {sorted(metadata)}"
        )
    generator = _described(path, metadata)
    foreign = [n for n, t in tensors.items() if not t.is_floating_point() and "num_batches" not in n]
    if foreign:
        raise ValueError(f"{path}: expected weights of floating numbers, found {foreign[0]} of "
                         f"{tensors[foreign[0]].dtype}")
    try:
        generator.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: the tensors do not fit the generator: {error}") from error
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ValueError(f"{path}: expected finite weights, found NaN or infinite ones in {bad[0]} and "
                         f"{len(bad) - 1} others; the training diverged. Train again.")
    # the layout in which convolutions are fastest, on CPU and GPU
    generator = generator.to(memory_format=torch.channels_last).eval()
    with torch.inference_mode():
        grey = torch.full((1, generator.settings["modalities"], 16, 16), 0.5)
        if not torch.isfinite(generator(grey)).all():
            raise ValueError(f"{path}: expected weights that give an image, found that they give NaN or "
                             "infinite intensities; the training diverged. Train again.")
    return generator


def _described(path: Path, metadata: dict[str, str]) -> Generator:
    """The generator that a file describes, untrained. Raises ValueError where it describes none."""
    try:
        settings, training = (json.loads(metadata.get(name, "{}")) for name in ("generator", "training"))
        if not isinstance(settings, dict) or not isinstance(training, dict):
            raise TypeError("no description")
        method, sequences = training.get("method", ""), training.get("sequences", [])
        if not isinstance(method, str) or not isinstance(sequences, list) \
                or not all(isinstance(name, str) for name in sequences):
            raise TypeError("method and sequences are no names")
        generator = Generator(**settings)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected the description of a generator that this version knows, found "
            f"{metadata['generator'][:80]!r}: {error}"
        ) from error
    generator.method, generator.sequences = method, tuple(sequences)
    return generator


def write_weights(
    generator: Generator, training: Mapping[str, Any], path: Path, iteration: int
) -> Path:
    """Generator weights as safetensors, with what is needed to rebuild and to trace them.

    `training`: what they were trained with, among it `method` and `sequences`; `iteration`: where in the
    training they are from.
    """
    metadata = {
        "iteration": str(iteration),
        "generator": json.dumps(generator.settings),
        "training": json.dumps(training),
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    content = _in_order(save(tensors, metadata))
    replace_file(path, lambda temporary: temporary.write_bytes(content))
    return path


def _in_order(content: bytes) -> bytes:
    """A safetensors file with the keys of its header sorted: the same weights give the same bytes."""
    size = int.from_bytes(content[:8], "little")
    known = json.loads(content[8 : 8 + size])
    header = json.dumps(known, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]
