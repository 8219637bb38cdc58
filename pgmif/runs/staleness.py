"""What must be made again: every step's key, and the record that its last execution left.

A key is a hash of the step's code, its parameters, the contents of the files that it reads from outside
the run, and the keys of the steps before it. A step is stale where the key in its record differs
(`records`), or a product is absent, emptied or changed.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgmif.cohort.manifest import read_manifest
from pgmif.runs.code_of import code_of_notebook
from pgmif.runs.notebooks import declared_parameters
from pgmif.runs.order import STEPS
from pgmif.runs.outside import SUFFIXES
from pgmif.runs.records import RECORDS, read_record
from pgmif.runs.run import input_files
from pgmif_core.files import broken, digest, file_hash
from pgmif_core.images.volumes import volume_files

DECIDE_NOTHING = ("workers", "dask_scheduler")  # where work is done does not change what is made


def _outside_files(config: Mapping[str, Any], root: Path) -> list[Path]:
    """What other programs made of test patients, with the files that hold voxels of a header."""
    folders = [root / folder for folder in config["outside_methods"].values()]
    cohort = read_manifest(root / config["manifest"], config["allow_outside"])
    named = [folder / f"{subject}{suffix}" for folder in folders for subject in cohort.subjects("test")
             for suffix in SUFFIXES]
    trust = cohort.trust._replace(within=None)
    return [file for path in named if path.is_file() for file in volume_files(path, trust)]


def _sources(step: str, config: Mapping[str, Any], root: Path) -> list[Path]:
    """Files from outside the run that a step reads."""
    if step == "00_cohort":
        return list(input_files(read_manifest(root / config["manifest"], config["allow_outside"])))
    if step in ("02_training", "03_pgmif_plus") and config["released"]:
        return sorted(path for path in (root / "weights").iterdir() if path.is_file())
    if step == "04_baseline_comparison":
        return _outside_files(config, root)
    if step in ("05_cnr_boxplots", "06_sobel_analysis", "10_claims"):
        return [root / "published" / "results.csv"]
    return []


def step_keys(config: Mapping[str, Any], root: Path) -> dict[str, str]:
    """The key of every step under a run's configuration, whose paths are relative to `root`."""
    keys: dict[str, str] = {}
    for step, its in STEPS.items():
        notebook = root / "notebooks" / f"{step}.ipynb"
        values = declared_parameters(str(notebook), config)
        keys[step] = digest({
            "code": code_of_notebook(notebook),
            "values": {n: v for n, v in values.items() if n not in DECIDE_NOTHING},
            "sources": [[path.name, file_hash(path)] for path in _sources(step, config, root)],
            "before": [keys[name] for name in its.after],
        })
    return keys


def stale_steps(base: Path, keys: Mapping[str, str], evidence: bool) -> dict[str, str]:
    """First output of every executed step that must be made again, or its rule, and why.

    `base` is <root>/results/<run>; steps beyond the paper's figures only where `evidence` is wanted.
    """
    found: dict[str, str] = {}
    executed = {p.stem for folder in (RECORDS, "notebooks") for p in (base / folder).glob("*.*")
                if p.suffix in (".json", ".ipynb")}
    for step, its in STEPS.items():
        if its.evidence and not evidence:
            continue
        # of a part that there is no longer (another version's) nothing can be made again
        own = sorted(executed & {step, *(f"{step}_{part}" for part in its.parts)})
        if not own and (base / step).is_dir() and any((base / step).iterdir()):
            found[STEPS[step].rule] = "has no record"
        for stem in own:
            record = read_record(base / RECORDS / f"{stem}.json")
            if record is None:
                found[STEPS[step].rule] = "its record is absent or damaged"
            elif record["outputs"] and (reason := _reason(record, keys, base.parents[1])):
                found[record["outputs"][0]] = reason
    return found


def _reason(record: Mapping[str, Any], keys: Mapping[str, str], root: Path) -> str:
    if not record["key"]:
        return "not finished"
    if record["key"] != keys.get(record["step"]):
        return "made from something else"
    changed = broken(root, record["products"])
    return f"{os.path.basename(changed[0])} is absent or changed" if changed else ""
