"""Checkpoints of a training: the last two, each named after the checksum of its bytes.

A checkpoint is written whole and forced to disk before the one before the last is removed, so a
process killed at any moment, a full disk or a damaged file costs at most one interval.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pgmif_core.files import replacing

KEPT = 2
NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{16})\.pt")


def _parts(path: Path) -> tuple[int, str]:
    match = NAME.fullmatch(path.name)
    return (int(match[1]), match[2]) if match else (-1, "")


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files of a folder, the newest (most iterations) first."""
    named = [path for path in folder.glob("checkpoint-*.pt") if NAME.fullmatch(path.name)]
    return sorted(named, key=_parts, reverse=True)


def save_checkpoint(state: dict[str, Any], folder: Path) -> Path:
    """Write a state (its "iteration" names the file); keeps the one before it, removes older ones.

    Raises DiskFullError where there is no room; the checkpoints before it stay as they were.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getbuffer()
    checksum = hashlib.sha256(data).hexdigest()[:16]
    path = folder / f"checkpoint-{state['iteration']:07d}-{checksum}.pt"
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    # of one iteration only this file counts: another is from a training that was started over
    others = [other for other in checkpoints(folder) if other != path]
    older = [o for o in others if _parts(o)[0] < state["iteration"]]
    for other in set(others) - set(older[: KEPT - 1]):
        other.unlink(missing_ok=True)
    return path


def load_checkpoint(
    folder: Path, fits: Callable[[dict[str, Any]], str], say: Callable[[str], None]
) -> dict[str, Any] | None:
    """The newest state that is undamaged and fits, or None; says why any other is passed over.

    What a killed process was just writing is removed: nobody else may be writing in the folder.

    `fits(state)` returns why a state cannot be used, or nothing. Only tensors, numbers and texts
    are read: no code in a file is ever run.
    """
    for unfinished in folder.glob(".*-checkpoint-*.pt"):
        unfinished.unlink(missing_ok=True)
    found = checkpoints(folder)
    for path in found:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest()[:16] != _parts(path)[1]:
            say(f"{path.name} is damaged (its checksum differs): removed, trying the one before it")
            path.unlink()
            continue
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        reason = fits(state)
        if not reason:
            return state
        say(f"{path.name} {reason}")
    if found:
        say("starting over")
    return None
