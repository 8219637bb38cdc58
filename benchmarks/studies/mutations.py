"""Small faults in a module's text, one at a time: what `make study NAME=mutants` puts to the tests."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

SWAPPED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.And: "or", ast.Or: "and",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is", ast.BitAnd: "|",
    ast.BitOr: "&", ast.FloorDiv: "/", ast.Mod: "*", ast.Pow: "*",
}
WORDS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
         ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.And: "and", ast.Or: "or",
         ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not", ast.BitAnd: "&",
         ast.BitOr: "|", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**"}
NAMES = {"min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin", "any": "all", "all": "any",
         "minimum": "maximum", "maximum": "minimum", "amin": "amax", "amax": "amin",
         "idxmin": "idxmax", "idxmax": "idxmin", "median": "mean"}


class Mutant(NamedTuple):
    """A module's whole `text` with one `change` in its `line` (stripped), the `number`-th."""

    text: str
    number: int
    line: str
    change: str


def mutants_of(text: str) -> Iterator[Mutant]:
    """Every mutant of a module; docstrings, annotations and what errors say stay as they are."""
    tree, source = ast.parse(text), Source(text)
    for node in _working(tree):
        for start, end, new, change in _changes(node, source):
            number = source.line_of(start)
            yield Mutant(text[:start] + new + text[end:], number,
                         text.splitlines()[number - 1].strip(), change)


class Source:
    """A module's text, addressed as `ast` does: by line and by bytes within it."""

    def __init__(self, text: str):
        self.text, self.lines = text, text.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def place(self, line: int, column: int) -> int:
        """Index in the text of a column, in bytes, of a line that counts from 1."""
        before = self.lines[line - 1].encode()[:column].decode()
        return self.starts[line - 1] + len(before)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Begin and end of a node in the text."""
        return (self.place(node.lineno, node.col_offset),
                self.place(node.end_lineno, node.end_col_offset))

    def line_of(self, index: int) -> int:
        """The line, from 1, that holds an index of the text."""
        return sum(start <= index for start in self.starts)

    def between(self, left: ast.AST, right: ast.AST, word: str) -> tuple[int, int]:
        """Where an operator stands between its operands."""
        begin, end = self.span(left)[1], self.span(right)[0]
        found = begin + self.text[begin:end].index(word)
        return found, found + len(word)


def _working(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that decide something: not docstrings, annotations, imports, errors, a zip's `strict`."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: a guard for who writes
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords" if
                    isinstance(node, ast.ClassDef) else ""):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from _working(child)


def _changes(node: ast.AST, source: Source) -> Iterator[tuple[int, int, str, str]]:
    """Begin, end, replacement and name of every change of one node."""
    if isinstance(node, ast.Compare):
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators,
                                         strict=False):
            yield from _operator(source, left, operator, right)
    elif isinstance(node, ast.BinOp):
        yield from _operator(source, node.left, node.op, node.right)
    elif isinstance(node, ast.BoolOp):
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from _operator(source, left, node.op, right)
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        start, end = source.span(node)
        inner = source.text[slice(*source.span(node.operand))]
        yield start, end, inner, f"{source.text[start:end]} → {inner}"
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        start, end = source.span(node)
        new = repr(not node.value) if isinstance(node.value, bool) else repr(
            node.value + 1 if isinstance(node.value, int) else node.value * 1.5 or 1.0)
        yield start, end, new, f"{source.text[start:end]} → {new}"
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        end = source.span(node)[1]
        yield end - len(node.attr), end, NAMES[node.attr], f"{node.attr} → {NAMES[node.attr]}"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
        start, end = source.span(node.func)
        yield start, end, NAMES[node.func.id], f"{node.func.id} → {NAMES[node.func.id]}"


def _operator(
    source: Source, left: ast.AST, operator: ast.AST, right: ast.AST
) -> Iterator[tuple[int, int, str, str]]:
    if type(operator) not in SWAPPED:
        return
    word, new = WORDS[type(operator)], SWAPPED[type(operator)]
    try:
        start, end = source.between(left, right, word)
    except ValueError:
        return  # "is  not" and the like
    yield start, end, new, f"{word} → {new}"
