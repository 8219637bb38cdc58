"""From tissue to spin-echo signal: the relaxation table (tissues.csv, each number with its source)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sequence:
    """A spin-echo sequence: repetition time TR and echo time TE in ms, with contrast agent or not."""

    name: str
    repetition_time_ms: float
    echo_time_ms: float
    contrast_agent: bool = False


# TR/TE of the paper's 3 T scanner (Methods, "Data")
SEQUENCES = {
    "T1w": Sequence("T1w", 620.0, 9.8),
    "T2w": Sequence("T2w", 2500.0, 74.0),
    "ceT1w": Sequence("ceT1w", 620.0, 9.8, contrast_agent=True),
}
RELAXIVITY = 4.97  # L/(mmol s): gadobutrol in plasma, 3 T (Szomolanyi et al. 2019 Invest Radiol 54:559)
PLASMA_MMOL_PER_L = 0.6  # assumed: minutes after 0.1 mmol/kg, which fill about 0.2 L/kg


@cache
def tissue_table() -> pd.DataFrame:
    """The tissues, one row each: T1, T2 (ms, 3 T), proton density (water = 1), fat, sources.

    `fat_fraction ± fat_variation` is intravoxel fat (mean, SD of its smooth variation), `texture`
    the relative SD of the tissue's own signal; the last two are assumed for every tissue.
    `agent_fraction` is the part of the tissue that contrast agent reaches (ve + plasma),
    `hounsfield` its CT number without contrast medium and without its fat. Where no measurement was
    found a source says "assumed", with what brackets it. The row number is the tissue's label.
    """
    numbers = dict.fromkeys(
        ("t1_ms", "t2_ms", "proton_density", "texture", "agent_fraction", "hounsfield"), float
    )
    return pd.read_csv(Path(__file__).with_name("tissues.csv"), dtype=numbers)


@cache
def tissue_labels() -> dict[str, int]:
    """Label of each tissue in the anatomy volume."""
    return {name: k for k, name in enumerate(tissue_table()["tissue"])}


def spin_echo_signal(
    proton_density: NDArray | float, t1_ms: NDArray | float, t2_ms: NDArray | float,
    sequence: Sequence,
) -> NDArray | np.float64:
    """Spin-echo signal PD · (1 − e^(−TR/T1)) · e^(−TE/T2), in units of fully relaxed water.

    >>> float(spin_echo_signal(1.0, 1e-9, 1e9, SEQUENCES["T1w"]).round(6))
    1.0
    """
    recovery = 1 - np.exp(-sequence.repetition_time_ms / np.asarray(t1_ms, float))
    decay = np.exp(-sequence.echo_time_ms / np.asarray(t2_ms, float))
    return np.asarray(proton_density) * recovery * decay


def enhanced_t1(t1_ms: NDArray | float, agent_fraction: NDArray | float) -> NDArray | float:
    """T1 (ms) with contrast agent: 1/T1 + r1 · concentration. T2 at a short TE hardly changes."""
    return 1 / (1 / t1_ms + RELAXIVITY * PLASMA_MMOL_PER_L * agent_fraction / 1000)


def tissue_signals(
    sequence: Sequence, tumour: Mapping[str, float] | None = None
) -> NDArray[np.float32]:
    """Signal of every tissue under a sequence, indexed by label; fat is mixed in later.

    `tumour` replaces columns of the tumour's row (`t1_ms`, `proton_density`): the two numbers that
    the calibration may move.
    """
    table = tissue_table().copy()
    for column, value in (tumour or {}).items():
        table.loc[tissue_labels()["tumour"], column] = value
    t1_ms = table["t1_ms"].to_numpy()
    if sequence.contrast_agent:
        t1_ms = enhanced_t1(t1_ms, table["agent_fraction"].to_numpy())
    signals = spin_echo_signal(
        table["proton_density"].to_numpy(), t1_ms, table["t2_ms"].to_numpy(), sequence
    )
    return signals.astype(np.float32)


def tissue_attenuations() -> NDArray[np.float32]:
    """X-ray attenuation of every tissue relative to water (1 + HU/1000), indexed by label."""
    return (1 + tissue_table()["hounsfield"].to_numpy() / 1000).astype(np.float32)
