"""Modules of these packages as syntax trees: what each defines, imports, and runs when it is imported.

Left out is what computes nothing: docstrings, annotations of arguments and results, the words of errors
and the descriptions of parameters.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOTS = {name: Path(__file__).parents[2] / name for name in ("pgmif_core", "pgmif")}
# they tell what has changed: a change of them would make everything again
TELLING = ("pgmif.runs.parsed_code", "pgmif.runs.code_of")
BY_NAME = ("getattr", "hasattr", "attrgetter", "methodcaller")
Definition = tuple[str, str]  # module ("pgmif_core.losses"), name in it ("Run.patient"); "" is all of it
# decorators under which a method is run by who calls it; any other may call it itself
PLAIN = {"property", "cached_property", "staticmethod", "classmethod", "contextmanager", "cache",
         "lru_cache"}


class Module(NamedTuple):
    """`defined`: statements by the names that they bind; `methods`: those of a class that count only
    where their name is used; `imported`: names of these packages, `foreign` of others, with what they
    stand for; `always`: what runs on import and defines nothing."""

    path: Path
    defined: dict[str, list[ast.AST]]
    methods: dict[str, dict[str, ast.AST]]
    imported: dict[str, list[Definition]]
    foreign: dict[str, list[str]]
    always: list[ast.AST]


def module_path(name: str) -> Path | None:
    """The file of a module of these packages; None of any other, and of those that tell."""
    package, *parts = name.split(".")
    if package not in ROOTS or name in TELLING:
        return None
    place = ROOTS[package].joinpath(*parts)
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def module(name: str) -> Module | None:
    """A module of these packages, parsed."""
    path = module_path(name)
    return parsed(path.read_text(encoding="utf-8"), path, name) if path else None


class _Bare(ast.NodeTransformer):
    """Takes away what computes nothing; classes that annotate arguments stay known as `takes`."""

    def visit_Expr(self, node: ast.Expr) -> Any:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs,
                 *filter(None, (node.args.vararg, node.args.kwarg))]
        node.takes = [a.annotation for a in every if a.annotation]  # type: ignore[attr-defined]
        for argument in every:
            argument.annotation = None
        node.returns = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        node.cause = None
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        if called(node) == "Field":
            node.keywords = [k for k in node.keywords if k.arg != "description"]
        return self.generic_visit(node)


def called(node: ast.Call) -> str:
    """The last part of the name of what is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def imports(node: ast.AST) -> Iterator[tuple[str, Definition]]:
    """Names that an import statement binds to parts of these packages."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOTS:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            whole = module_path(inner) is not None or inner in TELLING
            yield alias.asname or alias.name, (inner, "") if whole else (node.module or "", alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            if first in ROOTS:
                yield alias.asname or first, (alias.name, "")


def _foreign(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that an import statement binds to parts of other packages."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in ROOTS:
        yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)
    elif isinstance(node, ast.Import):
        yield from ((a.asname or a.name.partition(".")[0], a.name) for a in node.names
                    if a.name.partition(".")[0] not in ROOTS)


def _lazily_imported(node: ast.AST, name: str) -> Iterator[tuple[str, Definition]]:
    """Names that a package's face offers: lazy_loader.attach(…, submod_attrs={submodule: [name, …]})."""
    for call in (c for c in ast.walk(node) if isinstance(c, ast.Call) and called(c) == "attach"):
        for keyword in (k for k in call.keywords if k.arg == "submod_attrs"):
            for submodule, names in ast.literal_eval(keyword.value).items():
                yield from ((inner, (f"{name}.{submodule}", inner)) for inner in names)


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    return []


def _statements(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Top-level statements, also those below `if`, `try` and `with`, and what decides about them."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from [node.test] if isinstance(node, ast.If) else []
            yield from [item.context_expr for item in getattr(node, "items", [])]
            handlers = [h.body for h in getattr(node, "handlers", [])]
            parts = [getattr(node, part, []) for part in ("body", "orelse", "finalbody")]
            for part in (*parts, *handlers):
                yield from _statements(part)
        else:
            yield node


def _on_demand(node: ast.ClassDef) -> dict[str, ast.AST]:
    """Methods that run only where somebody uses their name: a class with a base may have others called
    by it, a decorator may keep them, and Python calls those with two underscores."""
    if any(getattr(base, "id", "") != "NamedTuple" for base in node.bases):
        return {}
    found = {}
    for method in (n for n in node.body if isinstance(n, ast.FunctionDef)):
        names = {getattr(d, "attr", getattr(d, "id", "")) for d in method.decorator_list}
        if names <= PLAIN and not method.name.startswith("__"):
            found[method.name] = method
    return found


class Words(NamedTuple):
    """What stands in a statement: `names`; `attributes`, also those that a string names; the parts of
    these packages that it imports; names of the classes that arguments are said to be of (`taken`);
    strings (`texts`); and all of it as a `dump`."""

    names: frozenset[str]
    attributes: frozenset[str]
    imports: tuple[Definition, ...]
    taken: frozenset[str]
    texts: frozenset[str]
    dump: str


@cache
def words(statement: ast.AST) -> Words:
    """What stands in a statement; many notebooks reach it, and it is read once."""
    names, attributes, taken, texts = (set[str]() for _ in range(4))
    imported: list[Definition] = []
    for part in ast.walk(statement):
        if isinstance(part, ast.Name):
            names.add(part.id)
        elif isinstance(part, ast.Attribute):
            attributes.add(part.attr)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            texts.add(part.value)
        elif isinstance(part, ast.Call) and called(part) in BY_NAME:
            attributes |= {str(a.value) for a in part.args if isinstance(a, ast.Constant)}
        imported += [target for _, target in imports(part)]
        taken |= {n.id for a in getattr(part, "takes", ()) for n in ast.walk(a)
                  if isinstance(n, ast.Name)}
    return Words(frozenset(names), frozenset(attributes), tuple(imported), frozenset(taken),
                 frozenset(texts), ast.dump(statement))


def bare(source: str) -> ast.Module:
    """A syntax tree without what computes nothing."""
    tree: ast.Module = _Bare().visit(ast.parse(source))
    return tree


def parsed(source: str, path: Path, name: str = "") -> Module:
    """A module from its source."""
    tree = bare(source)
    module = Module(path, {}, {}, {}, {}, [])
    for node in _statements(tree.body):
        bound, offered = list(imports(node)), list(_lazily_imported(node, name))
        for binding, target in (*bound, *offered):
            module.imported.setdefault(binding, []).append(target)
        for binding, origin in _foreign(node):
            module.foreign.setdefault(binding, []).append(origin)
        names = [] if offered else _targets(node)
        for target in names:
            module.defined.setdefault(target, []).append(node)
        if isinstance(node, ast.ClassDef):
            methods: dict[str, ast.AST] = _on_demand(node)
            module.methods.setdefault(node.name, {}).update(methods)
            node.body = [part for part in node.body if part not in methods.values()]
        if not names and not offered and not isinstance(node, ast.Import | ast.ImportFrom):
            module.always.append(node)
    return module
