"""What a notebook's code reaches, and nothing else, decides whether it has changed."""

import pytest

from pgmif.runs.code_of import code_of_notebook, reached
from pgmif.runs.order import STEPS


def test_a_notebook_depends_on_all_that_it_imports(in_root):
    names = {path.stem for path in reached(in_root / "notebooks/06_sobel_analysis.ipynb")}
    assert {"paper", "gradients", "style"} <= names
    names = {path.stem for path in reached(in_root / "notebooks/00_cohort.ipynb")}
    assert "tissues" in names
    assert "training" not in names


def package(folder, **modules):
    """A package of our own beside the real one, for `code_of` to look into."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


PARTS = {
    "a": """\"\"\"Doc.\"\"\"
from pgmif_core.b import used, unused

LIMIT = 3


def work(x: int) -> int:
    \"\"\"Doc.\"\"\"
    return used(x) + LIMIT  # comment


def other():
    return unused()
""",
    "b": """from pgmif_core import c


def used(x):
    return c.deep(x)


def unused():
    return 1
""",
    "c": """TABLE = {"k": lambda: far()}


def deep(x):
    return x


def far():
    return 2
""",
}


@pytest.mark.parametrize(("module", "old", "new", "changes"), [
    ("a", "# comment", "# another", False), ("a", '    """Doc."""\n', '    """Other."""\n', False),
    ("a", '    """Doc."""\n', "", False), ("a", "x: int", "x: float", True),
    ("a", "LIMIT = 3", "LIMIT = 4", True),
    ("a", "return unused()", "return 7", False), ("b", "return c.deep(x)", "return c.deep(x) + 0", True),
    ("b", "return 1", "return 5", False), ("c", "return x\n", "return x + 0\n", True),
    ("c", "return 2", "return 3", True), ("c", "def far():", "\n\ndef far():", False),
])
def test_code_of_follows_what_a_function_reaches(tmp_path, monkeypatch, module, old, new, changes):
    import pgmif.runs.code_of as target

    monkeypatch.setattr(target, "ROOTS", {"pgmif_core": tmp_path})
    package(tmp_path, **PARTS)

    def hash_now():
        target._module.cache_clear()
        return target._hash(target._closure([("pgmif_core.a", "work")]))

    before = hash_now()
    assert PARTS[module].count(old) == 1
    package(tmp_path, **{module: PARTS[module].replace(old, new)})
    assert (hash_now() != before) is changes
    target._module.cache_clear()


def test_every_notebook_has_a_hash_of_its_own(root):
    found = [code_of_notebook(root / "notebooks" / f"{step}.ipynb") for step in STEPS]
    assert len(set(found)) == len(STEPS)
