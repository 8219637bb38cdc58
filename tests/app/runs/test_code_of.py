"""A change of anything that a step reaches changes its hash, in every module; a comment does not."""

import ast

import pytest

from pgmif.runs import code_of as target
from pgmif.runs import parsed_code
from pgmif.runs.code_of import code_of
from pgmif.runs.fused import LOOKED_UP, method_code
from pgmif.runs.parameters import VALUES
from pgmif.steps.baseline_comparison import fuse_patient
from pgmif.steps.cohort import make_patient
from pgmif.steps.delineation import _rows_of
from pgmif.steps.preprocessing import preprocess_patient
from pgmif.steps.training import LOOKED_UP as OF_TRAINING
from pgmif.steps.training import Watch, train, training_code
from pgmif_core.images.store import TrainingSlices, read_patient
from pgmif_core.methods.registry import METHODS

# as the steps themselves hash what they keep
KEPT = {
    "phantom": ([make_patient], VALUES), "patient": ([preprocess_patient], VALUES),
    "training": ([train, TrainingSlices, Watch, read_patient], OF_TRAINING),
    "fused": ([fuse_patient], LOOKED_UP), "unet": ([_rows_of], LOOKED_UP),
}


def closure_of(kept):
    objects, without = KEPT[kept]
    start = [(o.__module__, o.__qualname__) for o in objects]
    return target._Closure(map(target._definition, without)).follow(start)


@pytest.fixture
def modules(monkeypatch):
    """All modules by name, to be replaced."""
    known, read = {}, parsed_code.module.__wrapped__

    def module(name):
        if name not in known:
            known[name] = read(name)
        return known[name]

    monkeypatch.setattr(parsed_code, "module", module)
    return known


def replaced(modules, name, change):
    """A module with another source; its name, and what it was."""
    kept = modules.get(name) or parsed_code.module(name)
    modules[name] = parsed_code.parsed(change(kept.path.read_text()), kept.path, name)
    return kept


def bodies(closure, name):
    """Functions and methods of a module that were reached, with bodies."""
    reached = [node for (own, _), its in closure.found.items() if own == name for node in its.nodes]
    inner = [part for node in reached for part in
             (node.body if isinstance(node, ast.ClassDef) else [node])]
    return [node for node in inner if isinstance(node, ast.FunctionDef) and node.body]


@pytest.mark.parametrize("kept", KEPT)
def test_a_change_of_any_function_in_any_module_of_a_closure_is_seen(modules, kept):
    closure = closure_of(kept)
    before, changed = closure.digest(), 0
    for name in sorted({own for own, _ in closure.found}):
        for function in bodies(closure, name)[:1]:
            first = function.body[0]

            def insert(text, first=first):
                lines = text.splitlines()
                lines.insert(first.lineno - 1, " " * first.col_offset + "changed = 1")
                return "\n".join(lines)

            whole = replaced(modules, name, insert)
            assert closure_of(kept).digest() != before, f"{name}.{function.name}"
            modules[name] = whole
            changed += 1
    assert closure_of(kept).digest() == before
    assert changed >= 10


@pytest.mark.parametrize("kept", KEPT)
def test_comments_docstrings_and_new_names_in_every_module_change_nothing(modules, kept):
    closure = closure_of(kept)
    before = closure.digest()
    for name in {own for own, _ in closure.found}:
        whole = (name, "") in closure.found  # then a new name counts, too
        new = "" if whole else "\n\ndef never_called(x):\n    return x\n"
        replaced(modules, name, lambda text, new=new: f"# so it is\n\n{text}{new}\n# the end\n")
    assert closure_of(kept).digest() == before


# (what is kept, module, what is changed in it, whether it must be made again)
CHANGES = [
    ("patient", "pgmif.cohort.manifest", ("return read_image(", "return 2 * read_image("), True),
    ("patient", "pgmif.steps.cohort", ("_to-T2w_xfm", "_to-T2w_field"), True),
    ("patient", "pgmif.figures.colours", ('GREEN = "#009E73"', 'GREEN = "#009E74"'), False),
    ("patient", "pgmif.runs.parameters", ("; part of folder names", "; of folders"), False),
    ("fused", "pgmif.steps.baseline_comparison", ("np.nan_to_num(volume)", "0.5 * volume"), True),
    ("fused", "pgmif_core.images.store", ("def read_patient(", "def read_patient(x=1, *, "), True),
    ("fused", "pgmif_core.methods.classical", ("def wavelet(", "def wavelet(x=1, *, "), False),
    ("training", "pgmif.steps.training", ('row["score"] >= rows', 'row["score"] > rows'), True),
    ("training", "pgmif_core.images.store", ("def read_patient(", "def read_patient(x=1, *, "), True),
    ("training", "pgmif_core.methods.classical", ("def wavelet(", "def wavelet(x=1, *, "), False),
    ("training", "pgmif_core.methods.names", ('"Guided filter"', '"Filter"'), False),
    ("training", "pgmif_core.methods.pgmif_plus", ("edge: float = 1.5", "edge: float = 1.6"), False),
    ("training", "pgmif_core.losses", ("def maximum_gradient_loss(", "def maximum_gradient_loss(x, "),
     False),
    ("training", "pgmif_core.losses", ("def generator_adversarial_loss(",
                                       "def generator_adversarial_loss(x, "), True),
    ("unet", "pgmif_core.images.store", ("def read_patient(", "def read_patient(x=1, *, "), True),
    ("unet", "pgmif_core.methods.classical", ("def wavelet(", "def wavelet(x=1, *, "), False),
]


@pytest.mark.parametrize(("kept", "name", "change", "again"), CHANGES)
def test_what_is_kept_is_made_again_for_what_it_is_made_by_and_nothing_else(
    modules, kept, name, change, again
):
    before = closure_of(kept).digest()
    assert change[0] in parsed_code.module(name).path.read_text()
    replaced(modules, name, lambda text: text.replace(*change))
    assert (closure_of(kept).digest() != before) is again


def test_a_method_is_hashed_by_its_own_code():
    codes = {name: method_code(method) for name, method in METHODS.items()}
    assert len(set(codes.values())) == len(codes)
    assert len({training_code(m) for m in ("pgmif", "gmmci", "dlmwl")}) == 3
    assert training_code("pgmif") == training_code("pgmif_literal")  # its start is a setting


def test_what_is_not_there_cannot_be_left_out():
    for name in ("pgmif_core.losses:no_loss", "pgmif_core.nothing", "numpy"):
        with pytest.raises(LookupError, match="expected a definition of these packages"):
            code_of(train, without=(name,))
