"""What must be made again: every step's key, and the record that its last execution left.

A key is a hash of the step's code, its parameters, the contents of the files that it reads from outside
the run, and the keys of the steps before it. A record notes the key and seals all products. A step is
stale where its key differs or a product is absent, emptied or changed.
"""

import ast
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgmif.cohort.manifest import read_manifest
from pgmif.runs.code_of import code_of_notebook
from pgmif.runs.order import STEPS
from pgmif.runs.outside import SUFFIXES
from pgmif.runs.provenance import MADE_FROM
from pgmif.runs.run import input_files
from pgmif_core.files import JOURNAL, broken, digest, file_hash, seal, write_json
from pgmif_core.images.volumes import volume_files

RECORDS = "made"  # folder of a run
DECIDE_NOTHING = ("workers", "dask_scheduler")  # where work is done does not change what is made
UNSEALED = "checkpoint-"  # of a training that is finished: nobody needs them


def declared_parameters(notebook: str, config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that a notebook's parameters cell declares."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{notebook}: expected one cell tagged 'parameters', found {len(tagged)}")
    tree = ast.parse("".join(tagged[0]["source"]))
    names = [n.targets[0].id for n in tree.body if isinstance(n, ast.Assign)]
    names += [n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)]
    wildcards = {step.wildcard for step in STEPS.values()}  # each rule's own, not values of the run
    return {name: config[name] for name in names if name in config and name not in wildcards}


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


def record_file(executed: Path) -> Path:
    """Where the record of an executed notebook (results/<run>/notebooks/<name>.ipynb) lies."""
    return executed.parents[1] / RECORDS / f"{executed.stem}.json"


@dataclass
class Record:
    """Of an execution under way; `done` says that it ended well."""

    done: bool = False


@contextmanager
def recorded(step: str, key: str, executed: Path, outputs: Sequence[str]) -> Iterator[Record]:
    """Execute a step in this block: it counts as stale until it is done and its products are sealed."""
    journal = record_file(executed).with_suffix(".journal")
    write_json({"step": step, "key": "", "outputs": list(outputs)}, record_file(executed))
    journal.unlink(missing_ok=True)
    os.environ |= {JOURNAL: os.path.abspath(journal), MADE_FROM: key}
    record = Record()
    try:
        yield record
    finally:
        del os.environ[JOURNAL], os.environ[MADE_FROM]
    if record.done:
        products = _products(step, executed, journal)
        write_json({"step": step, "key": key, "outputs": list(outputs), "products": products},
                   record_file(executed))
    journal.unlink(missing_ok=True)


def _products(step: str, executed: Path, journal: Path) -> dict[str, str]:
    """Seals of a step's folder, of the figures in its journal and of the executed notebook."""
    root, part = Path.cwd(), executed.stem.removeprefix(step).lstrip("_")
    folder = executed.parents[1] / step
    own = [path for path in folder.rglob("*") if path.is_file() and _belongs(path, folder, part)]
    noted = journal.read_text().splitlines() if journal.exists() else []
    drawn = {Path(line) for line in noted if Path(line).parts[0] == "figures"}
    noted_run = [executed.parents[1] / "provenance.json"] if step == "10_claims" else []
    paths = {root / path for path in [*own, *drawn, *noted_run, executed] if (root / path).is_file()}
    return seal(root, paths)


def _belongs(path: Path, folder: Path, part: str) -> bool:
    inner = path.relative_to(folder)
    hidden = any(name.startswith(".") for name in inner.parts) or path.name.startswith(UNSEALED)
    return not hidden and (not part or inner.parts[0].split(".")[0] == part)


def _record(path: Path) -> dict[str, Any] | None:
    """A record; None where it is absent or damaged: then nothing is known of its step."""
    try:
        record = json.loads(path.read_text())
        whole = {"step": str, "key": str, "outputs": list}
        whole |= {"products": dict} if record["key"] else {}
        return record if all(isinstance(record[n], kind) for n, kind in whole.items()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def recorded_here(base: Path) -> bool:
    """Whether a run has records, and all of them are its own: a copied folder brings others."""
    records = [r for path in (base / RECORDS).glob("*.json") if (r := _record(path))]
    own = (f"results/{base.name}/", f"figures/{base.name}/")
    return bool(records) and all(o.startswith(own) for r in records for o in r["outputs"])


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
            record = _record(base / RECORDS / f"{stem}.json")
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
