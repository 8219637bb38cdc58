"""A change of anything that a step reaches changes its hash, in every module; a comment does not."""

import ast

import pytest

from pgmif.runs import code_of as target
from pgmif.runs.code_of import code_of
from pgmif.steps.baseline_comparison import fuse_patient
from pgmif.steps.preprocessing import preprocess_patient
from pgmif.steps.training import train_method

STEPS = [preprocess_patient, train_method, fuse_patient]


@pytest.fixture(params=STEPS, ids=lambda step: step.__name__)
def closure(request, monkeypatch):
    """Modules of a step's closure by name, to be replaced; a function that hashes the step with them."""
    parsed, read = {}, target._module.__wrapped__

    def module(name):
        if name not in parsed:
            parsed[name] = read(name)
        return parsed[name]

    monkeypatch.setattr(target, "_module", module)
    start = [(request.param.__module__, request.param.__name__)]
    found = target._closure(start)
    return parsed, found, lambda: target._hash(target._closure(start))


def reached_functions(found, name):
    return [node for (own, _), nodes in found.items() if own == name for node in nodes
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.body]


def test_a_change_of_one_function_in_any_module_of_a_closure_is_seen(closure):
    parsed, found, hash_now = closure
    before, changed = hash_now(), 0
    for name in sorted({own for own, _ in found}):
        path, functions = parsed[name].path, reached_functions(found, name)
        if not functions:
            continue  # of constants alone
        lines = path.read_text().splitlines()
        first = functions[0].body[0]
        lines.insert(first.lineno - 1, " " * first.col_offset + "changed = 1")
        kept = parsed[name]
        parsed[name] = target._parsed("\n".join(lines), path, name)
        assert hash_now() != before, f"{name}.{functions[0].name}"
        parsed[name] = kept
        changed += 1
    assert hash_now() == before
    assert changed >= 15


def test_a_comment_and_a_blank_line_in_every_module_change_nothing(closure):
    parsed, _, hash_now = closure
    before = hash_now()
    for name, module in list(parsed.items()):
        if module is not None:
            text = "# so it is\n\n" + module.path.read_text() + "\n# the end\n"
            parsed[name] = target._parsed(text, module.path, name)
    assert hash_now() == before


def test_what_is_not_reached_changes_nothing(closure):
    parsed, found, hash_now = closure
    before, name = hash_now(), "pgmif_core.images.volumes"
    unused = "\n\ndef never_called(x):\n    return x\n"
    if name in {own for own, _ in found}:
        parsed[name] = target._parsed(parsed[name].path.read_text() + unused, parsed[name].path, name)
    assert hash_now() == before


def test_a_name_of_a_face_is_followed_to_where_it_is_defined(tmp_path, monkeypatch):
    package = tmp_path / "pgmif_core"
    (package / "room").mkdir(parents=True)
    (package / "room" / "__init__.py").write_text(
        'import lazy_loader\n\n__getattr__, __dir__, __all__ = lazy_loader.attach(\n'
        '    __name__, submod_attrs={"inner": ["used"]})\n')
    (package / "room" / "inner.py").write_text(
        "def used():\n    return 1\n\n\ndef other():\n    return 2\n")
    (package / "start.py").write_text(
        "from pgmif_core.room import used\n\n\ndef work():\n    return used()\n")
    monkeypatch.setattr(target, "ROOTS", {"pgmif_core": package})

    def hash_now():
        target._module.cache_clear()
        return target._hash(target._closure([("pgmif_core.start", "work")]))

    before = hash_now()
    inner = (package / "room" / "inner.py").read_text()
    (package / "room" / "inner.py").write_text(inner.replace("return 2", "return 3"))
    assert hash_now() == before
    (package / "room" / "inner.py").write_text(inner.replace("return 1", "return 4"))
    assert hash_now() != before
    target._module.cache_clear()


def test_steps_have_hashes_of_their_own():
    assert len({code_of(step) for step in STEPS}) == len(STEPS)
