"""Parameters as files and options hold them: YAML of plain values, nothing else."""

import re
from pathlib import Path
from typing import Any

import yaml

from pgmif.runs.parameters import ParameterError, Parameters, check_parameters

LARGEST_BYTES = 10**6  # of a file of parameters


class _PlainLoader(yaml.SafeLoader):
    """YAML without references: a few lines of them can stand for more than fits into memory. Numbers
    like 1e-3 are numbers."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("expected plain values, found a reference (*name)")
        return super().compose_node(parent, index)


_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789"))


def plain_yaml(text: str) -> Any:
    """A YAML value or mapping; ParameterError where it is none, or refers to its own parts."""
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ParameterError(f"expected YAML, found what is none: {reason}") from error


def read_parameters(path: str | Path, **overrides: Any) -> Parameters:
    """Parameters from a YAML file; `overrides` win. Raises ParameterError naming the file."""
    path = Path(path)
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ParameterError(f"{path}: no such profile; known profiles: {', '.join(known)}")
    if path.stat().st_size > LARGEST_BYTES:
        raise ParameterError(f"{path}: expected parameters, found {path.stat().st_size:,} bytes")
    try:
        values = plain_yaml(path.read_text(encoding="utf-8")) or {}
    except (UnicodeDecodeError, ParameterError) as error:
        raise ParameterError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: expected 'name: value' lines, found {type(values).__name__}")
    try:
        return check_parameters({"profile": path.stem, **values, **overrides})
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
