"""Every public function of what is taught has an example that runs, and every example is run."""

import ast
import tomllib

TAUGHT = ("losses.py", "gradients.py", "metrics/*.py", "methods/*.py", "images/regions.py")


def public(path):
    """Functions and classes of a module that others may call."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_every_public_function_that_is_taught_has_an_example(root):
    paths = [path for pattern in TAUGHT for path in sorted((root / "pgmif_core").glob(pattern))]
    assert len(paths) > len(TAUGHT)
    without = [f"{path.name}: {node.name}" for path in paths for node in public(path)
               if ">>> " not in (ast.get_docstring(node) or "")]
    assert not without


def test_examples_run_with_the_tests(root):
    options = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "pgmif_core" in options["testpaths"]
    assert "--doctest-modules" in options["addopts"]
