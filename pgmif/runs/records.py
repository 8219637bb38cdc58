"""The record that a step's execution leaves: the key that it was made from, and seals of all products.

Imports little, as `notebooks`, which writes it.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgmif_core.files import JOURNAL, seal, write_json

RECORDS = "made"  # folder of a run
MADE_FROM = "PGMIF_MADE_FROM"  # environment: the key of the step that runs
UNSEALED = "checkpoint-"  # of a training that is finished: nobody needs them


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


def read_record(path: Path) -> dict[str, Any] | None:
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
    records = [r for path in (base / RECORDS).glob("*.json") if (r := read_record(path))]
    own = (f"results/{base.name}/", f"figures/{base.name}/")
    return bool(records) and all(o.startswith(own) for r in records for o in r["outputs"])
