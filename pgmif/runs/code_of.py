"""`code_of(function)`: a hash of everything in these packages that a function reaches.

A change of any function, class, constant, import or data file that is reached changes it; a comment, a
docstring, an annotation or the words of an error do not (`parsed_code`).
"""

import ast
import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pgmif.runs import parsed_code
from pgmif.runs.parsed_code import Definition, Module, words

ON_IMPORT = "<import>"  # of a package: what runs when a module below it is imported


class NotebookError(ValueError):
    """A notebook whose cells of code are no Python; names it and the line."""


class _Reached(NamedTuple):
    """What counts of one definition: its statements, and what the names in them stand for."""

    nodes: list[ast.AST]
    names: set[tuple[str, str]]


def _is_class(own: str, name: str) -> bool:
    """Whether a name in a module stands for a class of these packages."""
    module = parsed_code.module(own)
    if module is None:
        return False
    defined = any(isinstance(node, ast.ClassDef) for node in module.defined.get(name, []))
    return defined or any(_is_class(*target) for target in module.imported.get(name, []))


class _Closure:
    """What is reached from definitions, without following those in `without`.

    A method counts where its name is used on anything at all.
    """

    def __init__(self, without: Iterable[Definition] = ()):
        self.found: dict[Definition, _Reached] = {}
        self.without, self.queue = set(without), list[Definition]()
        self.used: set[str] = set()  # names of attributes
        self.waiting: dict[str, list[Definition]] = {}  # methods that nobody has named yet

    def follow(self, start: Iterable[Definition]) -> "_Closure":
        self.queue += start
        while self.queue:
            place = self.queue.pop()
            module = parsed_code.module(place[0])
            if module is not None and place not in self.found and place not in self.without:
                self._add(place, module)
        return self

    def _add(self, place: Definition, module: Module) -> None:
        own, name = place
        owner, _, method = name.partition(".")
        nodes = [module.methods[owner][method]] if method else module.defined.get(name, [])
        if not name or not (nodes or name in module.imported or name == ON_IMPORT):
            self.queue += [(own, other) for other in module.defined]
            self.queue += [target for targets in module.imported.values() for target in targets]
        self.queue += module.imported.get(name, [])
        packages = own.split(".")
        self.queue += [(".".join(packages[:k]), ON_IMPORT) for k in range(1, len(packages))]
        for inner in module.methods.get(name, {}):
            if inner in self.used:
                self.queue.append((own, f"{name}.{inner}"))
            else:
                self.waiting.setdefault(inner, []).append((own, f"{name}.{inner}"))
        self.found[place] = _Reached(nodes + module.always, set())
        for node in self.found[place].nodes:
            self.found[place].names.update(self.read(node, own, module))

    def read(self, node: ast.AST, own: str, module: Module) -> set[tuple[str, str]]:
        """Queue what a statement reaches; returns the names in it that were imported, and from where."""
        said, names = words(node), set()
        for name in said.names:
            if name in module.defined:
                self.queue.append((own, name))
            targets = module.imported.get(name, [])
            self.queue += targets
            origins = [".".join(target) for target in targets] + module.foreign.get(name, [])
            names.update((name, origin) for origin in origins)
        for attribute in said.attributes:
            self._use(attribute)
        self.queue += said.imports
        self._receive(said.taken, own, module)
        return names

    def _receive(self, named: Iterable[str], own: str, module: Module) -> None:
        """Queue the classes of these packages that arguments are of: their methods are called here."""
        for name in named:
            targets = module.imported.get(name, []) + [(own, name)] * (name in module.defined)
            self.queue += [target for target in targets if _is_class(*target)]

    def _use(self, attribute: str) -> None:
        self.used.add(attribute)
        self.queue += self.waiting.pop(attribute, [])

    def digest(self) -> str:
        """Hash of all that was found."""
        total = hashlib.sha256()
        for place, reached in sorted(self.found.items()):
            total.update(repr((place, sorted(reached.names))).encode())
            for node in reached.nodes:
                total.update(words(node).dump.encode())
        for path in sorted(self._data_files()):
            total.update(path.name.encode() + path.read_bytes())
        return total.hexdigest()[:16]

    def modules(self) -> dict[str, Module]:
        """Modules that were reached, in whole or in part."""
        every = {own: parsed_code.module(own) for own, _ in self.found}
        return {own: module for own, module in every.items() if module is not None}

    def _data_files(self) -> set[Path]:
        """Files that are no code, beside reached modules, which what is reached calls by their names."""
        folders = {module.path.parent for module in self.modules().values()}
        texts = set().union(*(words(node).texts for reached in self.found.values()
                              for node in reached.nodes))
        return {path for folder in folders for path in folder.iterdir()
                if path.name in texts and path.is_file() and path.suffix != ".py"}


def _definition(name: str) -> Definition:
    """What "module:name" names, or "module" as a whole. Raises LookupError where there is no such."""
    own, _, inner = name.partition(":")
    module = parsed_code.module(own)
    if module is None or (inner and inner not in module.defined):
        raise LookupError(f"{name}: expected a definition of these packages, found none")
    return own, inner


@cache
def code_of(*objects: Callable, without: tuple[str, ...] = ()) -> str:
    """Hash of functions or classes of these packages and of all that they reach in them.

    A name that is used counts wherever it is defined; a module that is used by name counts whole.
    `without`: tables and modules ("module:NAME", "module") in which something is looked up at run time;
    they are not followed, and what is found there is to be among `objects`. Raises LookupError where
    one of them is not there.
    """
    start = [(o.__module__, o.__qualname__.split(".")[0]) for o in objects]
    methods = [(own, f"{name}.{inner}") for own, name in start if (its := parsed_code.module(own))
               for inner in its.methods.get(name, {})]
    return _Closure(map(_definition, without)).follow([*start, *methods]).digest()


def _code_cells(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    if any(line.lstrip().startswith(("%", "!")) for text in sources for line in text.splitlines()):
        from IPython.core.inputtransformer2 import TransformerManager

        sources = [TransformerManager().transform_cell(text) for text in sources]
    return "\n".join(sources)


def _reached_by(path: Path) -> tuple[_Closure, str]:
    """What a notebook's code reaches, and a dump of that code."""
    source = _code_cells(path)
    try:
        module = parsed_code.parsed(source, path)
    except SyntaxError as error:
        raise NotebookError(
            f"{path.name}: expected Python in its cells of code, found {(error.text or '').strip()!r} "
            f"({error.msg})"
        ) from error
    closure = _Closure()
    nodes = [*(node for group in module.defined.values() for node in group), *module.always,
             *(method for group in module.methods.values() for method in group.values())]
    names = set().union(*(closure.read(node, "", module) for node in nodes))
    closure.follow(target for targets in module.imported.values() for target in targets)
    own = ast.dump(parsed_code.bare(source)) + repr(sorted(names))
    return closure, own


@cache
def code_of_notebook(path: Path) -> str:
    """Hash of a notebook's code cells, in their order, and of all that they reach in these packages.

    Raises NotebookError where a cell of code is no Python.
    """
    closure, own = _reached_by(path)
    return closure.digest() + hashlib.sha256(own.encode()).hexdigest()[:16]


def reached(path: Path) -> list[Path]:
    """Modules of these packages that a notebook's code reaches, in whole or in part."""
    return sorted({module.path for module in _reached_by(path)[0].modules().values()})
