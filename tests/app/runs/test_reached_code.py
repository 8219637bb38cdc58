"""What a notebook's code reaches, and nothing else, decides whether it has changed."""

import nbformat
import pytest

from pgmif.runs import parsed_code
from pgmif.runs.code_of import NotebookError, _Closure, code_of_notebook, reached
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


PARTS |= {
    "d": """import numpy as np
from pgmif_core.e import Kept, Worker, first as one, second as two
from pgmif_core.e import one as rebound

rebound = [rebound]
FLAG = True
if FLAG:
    CHOSEN = 1
else:
    CHOSEN = 2


def start(worker: Worker, kept: "Kept") -> float:
    if worker.run() > np.pi:
        raise ValueError("too many words")
    return one() + two() + CHOSEN + rebound[0]()
""",
    "e": """from pgmif_core.f import Base


class Worker:
    \"\"\"Doc.\"\"\"

    size: int = 3
    \"\"\"What it is.\"\"\"

    def run(self):
        return self._inner()

    def _inner(self):
        return 5

    def unused(self):
        return 6


class Kept(Base):
    def called_by_base(self):
        return 7


def first():
    return 8


def second():
    return 9


def one():
    return Kept
""",
    "f": """class Base:
    def __init__(self):
        self.called_by_base()
""",
}
ROUND = [
    ("a", "# comment", "# another", False), ("a", '    """Doc."""\n', '    """Other."""\n', False),
    ("a", '    """Doc."""\n', "", False), ("a", "x: int", "x: float", False),
    ("a", "x: int", "x: int = 3", True), ("a", "LIMIT = 3", "LIMIT = 4", True),
    ("a", "return unused()", "return 7", False), ("b", "return c.deep(x)", "return c.deep(x) + 0", True),
    ("b", "return 1", "return 5", False), ("c", "return x\n", "return x + 0\n", True),
    ("c", "return 2", "return 3", True), ("c", "def far():", "\n\ndef far():", False),
]
MORE = [
    ("d", "import numpy as np", "import cupy as np", True),  # another library under the same name
    ("d", "first as one, second as two", "second as one, first as two", True),
    ("d", "if FLAG", "if not FLAG", True), ("d", "CHOSEN = 2", "CHOSEN = 3", True),
    ("d", '"too many words"', '"other words"', False), ("d", "-> float", "-> int", False),
    ("d", "> np.pi", ">= np.pi", True), ("d", "worker: Worker", "worker: Kept", True),
    ("d", "rebound = [rebound]", "rebound = [rebound, 1]", True),
    ("e", "return 5", "return 55", True),  # a method that a method of an argument calls
    ("e", "return 6", "return 66", False),  # one that nobody names
    ("e", "return 7", "return 77", True),  # one that the class below may call
    ("e", "return Kept", "return Kept()", True),  # behind a name that was bound again
    ("e", "return 8", "return 88", True), ("e", '    """What it is."""\n', "", False),
    ("e", "size: int = 3", "size: int = 4", True), ("f", "self.called_by_base()", "pass", True),
]


@pytest.fixture
def hash_of(tmp_path, monkeypatch):
    """A function that hashes what a function of PARTS reaches, as its modules are now."""
    monkeypatch.setattr(parsed_code, "ROOTS", {"pgmif_core": tmp_path})
    package(tmp_path, **PARTS)

    def hash_now(place):
        parsed_code.module.cache_clear()
        return _Closure().follow([place]).digest()

    yield hash_now
    parsed_code.module.cache_clear()


@pytest.mark.parametrize(("start", "module", "old", "new", "changes"), [
    *[(("pgmif_core.a", "work"), *case) for case in ROUND],
    *[(("pgmif_core.d", "start"), *case) for case in MORE],
])
def test_code_of_follows_what_a_function_reaches(tmp_path, hash_of, start, module, old, new, changes):
    before = hash_of(start)
    assert PARTS[module].count(old) == 1
    package(tmp_path, **{module: PARTS[module].replace(old, new)})
    assert (hash_of(start) != before) is changes


def test_what_runs_when_a_package_is_imported_counts(tmp_path, hash_of):
    (tmp_path / "__init__.py").write_text("__version__ = 1\n")
    before = hash_of(("pgmif_core.a", "work"))
    (tmp_path / "__init__.py").write_text("import torch\n__version__ = 2\n")
    assert hash_of(("pgmif_core.a", "work")) == before
    (tmp_path / "__init__.py").write_text("import torch\n\ntorch.set_default_dtype(torch.float64)\n")
    assert hash_of(("pgmif_core.a", "work")) != before


def test_a_name_of_a_face_is_followed_to_where_it_is_defined(tmp_path, hash_of):
    room = tmp_path / "room"
    room.mkdir()
    (room / "__init__.py").write_text(
        'import lazy_loader\n\n__getattr__, __dir__, __all__ = lazy_loader.attach(\n'
        '    __name__, submod_attrs={"inner": ["used"]})\n')
    (room / "inner.py").write_text("def used():\n    return 1\n\n\ndef other():\n    return 2\n")
    for name, line in (("named", "from pgmif_core.room import used"),
                       ("whole", "from pgmif_core import room")):
        use = "used()" if name == "named" else "room.used()"
        (tmp_path / f"{name}.py").write_text(f"{line}\n\n\ndef work():\n    return {use}\n")
        start = (f"pgmif_core.{name}", "work")
        (room / "inner.py").write_text("def used():\n    return 1\n\n\ndef other():\n    return 2\n")
        before = hash_of(start)
        (room / "inner.py").write_text((room / "inner.py").read_text().replace("return 2", "return 3"))
        assert hash_of(start) == before
        (room / "inner.py").write_text((room / "inner.py").read_text().replace("return 1", "return 4"))
        assert hash_of(start) != before


CELLS = ["import math\nx = 1", "y = math.sqrt(x)", "x = 2"]


def notebook(path, cells):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells]), path)
    return path


@pytest.mark.parametrize(("cells", "changes"), [
    (["import math\nx = 1  # one", "y = math.sqrt(x)", "x = 2"], False),
    ([CELLS[0], CELLS[2], CELLS[1]], True),  # the same cells in another order
    (["import cmath as math\nx = 1", *CELLS[1:]], True),
    ([*CELLS, "%env OMP_NUM_THREADS=1"], True), ([*CELLS, "!touch a"], True),
    ([*CELLS, "if x:\n    %env A=1"], True),
])
def test_a_notebook_is_its_code_in_its_order(tmp_path, cells, changes):
    before = code_of_notebook(notebook(tmp_path / "a.ipynb", CELLS))
    assert (code_of_notebook(notebook(tmp_path / "b.ipynb", cells)) != before) is changes


def test_a_cell_that_is_no_python_is_named(tmp_path):
    with pytest.raises(NotebookError, match=r"bad\.ipynb: expected Python in its cells of code"):
        code_of_notebook(notebook(tmp_path / "bad.ipynb", ["x = ="]))


def test_every_notebook_has_a_hash_of_its_own(root):
    found = [code_of_notebook(root / "notebooks" / f"{step}.ipynb") for step in STEPS]
    assert len(set(found)) == len(STEPS)
