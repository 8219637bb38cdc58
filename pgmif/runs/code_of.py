"""`code_of(function)`: a hash of everything in these packages that a function reaches.

Syntax trees without docstrings count, so that a comment, a docstring or a blank line changes nothing,
and a change of any function, class, constant or data file that is reached changes the hash.
"""

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOTS = {name: Path(__file__).parents[2] / name for name in ("pgmif_core", "pgmif")}
Definition = tuple[str, str]  # module ("pgmif_core.losses"), name in it; "" is all of it


class _Module(NamedTuple):
    path: Path
    defined: dict[str, list[ast.AST]]  # a name may be assigned more than once
    imported: dict[str, Definition]
    always: list[ast.AST]  # statements that run on import and define nothing


def _module_path(name: str) -> Path | None:
    package, *parts = name.split(".")
    if package not in ROOTS:
        return None
    place = ROOTS[package].joinpath(*parts)
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(node: ast.AST) -> Iterator[tuple[str, Definition]]:
    """Names that an import statement binds to parts of these packages."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOTS:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            whole = _module_path(inner) is not None
            yield alias.asname or alias.name, (inner, "") if whole else (node.module, alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            if first in ROOTS:
                yield alias.asname or first, (alias.name, "")


def _lazily_imported(node: ast.AST, module: str) -> Iterator[tuple[str, Definition]]:
    """Names that a package's face offers: lazy_loader.attach(…, submod_attrs={submodule: [name, …]})."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "attach":
            for keyword in (k for k in call.keywords if k.arg == "submod_attrs"):
                for submodule, names in ast.literal_eval(keyword.value).items():
                    yield from ((name, (f"{module}.{submodule}", name)) for name in names)


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    return []


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, also those below `if`, `try` and `with`."""
    for node in body:
        parts = [getattr(node, part, []) for part in ("body", "orelse", "finalbody")]
        if isinstance(node, ast.If | ast.Try | ast.With):
            handlers = [h.body for h in getattr(node, "handlers", [])]
            for part in (*parts, *handlers):
                yield from _statements(part)
        else:
            yield node


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) \
                and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
            del body[0]
    return tree


def _parsed(source: str, path: Path, name: str = "") -> _Module:
    tree = _without_docstrings(ast.parse(source))
    module = _Module(path, {}, {}, [])
    for node in _statements(tree.body):
        bound, offered = dict(_imports(node)), dict(_lazily_imported(node, name))
        module.imported.update(bound | offered)
        names = [] if offered else _targets(node)
        for target in names:
            module.defined.setdefault(target, []).append(node)
        if not names and not bound and not offered and not isinstance(node, ast.Import | ast.ImportFrom):
            module.always.append(node)
    return module


@cache
def _module(name: str) -> _Module | None:
    path = _module_path(name)
    return _parsed(path.read_text(encoding="utf-8"), path, name) if path else None


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All parts of a syntax tree but the annotations of parameters and results: they compute nothing."""
    yield node
    for name, value in ast.iter_fields(node):
        if name == "returns" or (name == "annotation" and isinstance(node, ast.arg)):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield from _executed(part)


def _reached_from(node: ast.AST, own: str, module: _Module) -> Iterator[Definition]:
    for part in _executed(node):
        if isinstance(part, ast.Name):
            if part.id in module.defined:
                yield own, part.id
            elif part.id in module.imported:
                yield module.imported[part.id]
        yield from (target for _, target in _imports(part))


def _closure(start: list[Definition]) -> dict[Definition, list[ast.AST]]:
    found: dict[Definition, list[ast.AST]] = {}
    queue = list(start)
    while queue:
        place = queue.pop()
        module = _module(place[0])
        if place in found or module is None:
            continue
        own, name = place
        nodes = module.defined.get(name, [])
        if not name or (not nodes and name not in module.imported):
            queue += [(own, other) for other in module.defined]
        if not nodes and name in module.imported:
            queue.append(module.imported[name])
        found[place] = nodes + module.always
        queue += [t for node in found[place] for t in _reached_from(node, own, module)]
    return found


def _data_files(found: dict[Definition, list[ast.AST]]) -> set[Path]:
    """Files that are no code, beside reached modules, which what is reached calls by their names."""
    folders = {_module(own).path.parent for own, _ in found}
    texts = {part.value for nodes in found.values() for node in nodes for part in ast.walk(node)
             if isinstance(part, ast.Constant) and isinstance(part.value, str)}
    return {path for folder in folders for path in folder.iterdir()
            if path.name in texts and path.is_file() and path.suffix != ".py"}


def _hash(found: dict[Definition, list[ast.AST]]) -> str:
    total = hashlib.sha256()
    for place in sorted(found):
        total.update(repr(place).encode())
        for node in found[place]:
            total.update(ast.dump(node).encode())
    for path in sorted(_data_files(found)):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()[:16]


@cache
def code_of(*objects: Callable) -> str:
    """Hash of functions or classes of these packages and of all that they reach in them.

    A name that is used counts wherever it is defined; a module that is used by name counts whole.
    """
    start = [(o.__module__, o.__qualname__.split(".")[0]) for o in objects]
    return _hash(_closure(start))


@cache
def code_of_notebook(path: Path) -> str:
    """Hash of a notebook's code cells and of all that they reach in these packages."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    module = _parsed(re.sub(r"(?m)^[%!].*$", "", source), path)
    nodes = [node for group in module.defined.values() for node in group] + module.always
    reached = [target for node in nodes for target in _reached_from(node, "", module)]
    own = [target for target in reached if target[0] or target[1] not in module.defined]
    found = _closure([*module.imported.values(), *own])
    own_code = "".join(map(ast.dump, nodes)).encode()
    return _hash(found) + hashlib.sha256(own_code).hexdigest()[:16]


def reached(path: Path) -> list[Path]:
    """Modules of these packages that a notebook's code reaches, in whole or in part."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    module = _parsed(source, path)
    return sorted({_module(own).path for own, _ in _closure(list(module.imported.values()))})
