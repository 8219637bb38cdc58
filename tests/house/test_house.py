"""The rules of the house: file lengths, rooms of the tests, notebooks, the two lists of dependencies."""

import ast
import json
import re
import subprocess
import sys
import tomllib

import pytest

PACKAGES = ("pgmif_core", "pgmif")


def modules(root):
    return [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]


def test_files_stay_short(root):
    for path in [*modules(root), *(root / "benchmarks").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 300, path


def test_files_of_tests_stay_short(root):
    for path in (root / "tests").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path


@pytest.mark.parametrize(("folder", "package"), [("core", "pgmif_core"), ("app", "pgmif")])
def test_tests_lie_in_rooms_of_the_packages(root, folder, package):
    """Every folder of tests is named like a package, and holds tests; none lie beside the rooms."""
    place = root / "tests" / folder
    rooms = {path.relative_to(root / package).parent for path in (root / package).rglob("__init__.py")}
    found = {path.relative_to(place).parent for path in place.rglob("*.py")}
    assert found <= rooms
    assert all(list((place / room).rglob("test_*.py")) for room in found)
    assert sorted(p.name for p in (root / "tests").glob("*.py")) == ["conftest.py"]


def test_tests_of_the_core_need_no_application(root):
    for path in (root / "tests" / "core").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) pgmif[. ]", path.read_text(), re.MULTILINE), path


def test_functions_stay_short(root):
    for path in modules(root):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0]
                has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
                start = first.end_lineno if has_docstring else node.lineno
                assert node.end_lineno - start <= 45, f"{path.name}: {node.name}"


def notebooks(root):
    return sorted((root / "notebooks").glob("*.ipynb"))


def test_notebooks_are_stripped_thin_and_complete(root):
    found = notebooks(root)
    assert len(found) >= 7
    for path in found:
        notebook = json.loads(path.read_text())
        assert notebook["metadata"]["kernelspec"]["name"] == "python3", path
        code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        assert not any(c["outputs"] or c["execution_count"] for c in code), f"{path} has outputs"
        assert sum("parameters" in c["metadata"].get("tags", []) for c in code) == 1
        assert "notebook_parameters(globals())" in "".join(code[1]["source"])
        text = "".join(c2 for c in notebook["cells"] for c2 in c["source"])
        assert all(word in text for word in ("**Purpose.**", "**Expected.**", "**What to notice.**"))
        for cell in code:
            tree = ast.parse("".join(cell["source"]))
            assert not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in ast.walk(tree))
            declares = "parameters" in cell["metadata"].get("tags", [])  # a table, a line per parameter
            assert declares or len(cell["source"]) <= 40


def test_parameter_cells_say_what_parameters_are(root):
    from pgmif.runs.parameters import parameter_line

    for path in notebooks(root):
        if path.stem == "explore":
            continue
        cells = json.loads(path.read_text())["cells"]
        cell = next(c for c in cells if "parameters" in c["metadata"].get("tags", []))
        for line in "".join(cell["source"]).splitlines():
            assert line == parameter_line(line.partition(":")[0]), path.name


def normal(name):
    return re.split(r"[<>=!~\[ ;]", name.strip())[0].lower().replace("_", "-")


def test_lock_and_conda_twin_cover_the_dependencies(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = ("test", "lab", "report", "docs", "browser")
    listed = [*project["dependencies"], *(d for name in named for d in extras[name])]
    wanted = {normal(d) for d in listed}
    entries = re.split(r"\n(?=\S)", (root / "requirements.lock").read_text().strip())
    shape = r"([A-Za-z0-9._-]+)==(\S+)(?: \\\n    --hash=sha256:[0-9a-f]{64})+"
    pins = dict(re.fullmatch(shape, entry).groups() for entry in entries)
    pins = {normal(k): v for k, v in pins.items()}
    assert wanted <= pins.keys()
    assert pins["torch"] == "2.13.0"
    import yaml

    twin = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    conda = {normal(d): d.split("=")[-1] for d in twin if isinstance(d, str)}
    conda |= {normal(d): d.split("==")[-1] for g in twin if isinstance(g, dict) for d in g["pip"]}
    alias = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
    conda = {alias.get(k, k): v for k, v in conda.items()}
    for name in wanted:
        assert conda.get(name) == pins[name], f"environment.yml and requirements.lock differ: {name}"


def test_binder_has_what_lessons_and_explorer_need(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = {d for d in project["dependencies"] if normal(d) != "snakemake"}  # which orders notebooks
    wanted |= set(project["optional-dependencies"]["lab"])
    import yaml

    listed = yaml.safe_load((root / "binder" / "environment.yml").read_text())["dependencies"]
    names = [d for d in listed if isinstance(d, str)]
    names += next(d["pip"] for d in listed if isinstance(d, dict))
    alias = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
    bounds = {alias.get(normal(d), normal(d)): d.partition(">=")[2] for d in names}
    assert {n: b for n, b in bounds.items() if b} == {normal(d): d.partition(">=")[2] for d in wanted}
    assert bounds.keys() - {normal(d) for d in wanted} == {"python", "pip"}


@pytest.mark.parametrize("folder_name", ["root", "home", "work", "tmp"])
def test_no_absolute_paths(root, folder_name):
    for folder, pattern in (("pgmif_core", "*.py"), ("pgmif", "*.py"), ("notebooks", "*.ipynb"),
                            ("params", "*.yaml"), ("benchmarks", "*.py")):
        for path in (root / folder).rglob(pattern):
            assert f"/{folder_name}/" not in path.read_text(), path


def test_docstrings_of_public_functions(root):
    for path in modules(root):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if node.name == "main":
                    continue
                assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def test_paths_with_spaces_reach_the_pipeline(root):
    done = subprocess.run(["make", "-n", "reproduce", "MANIFEST=my study/data_manifest.csv"], cwd=root,
                          capture_output=True, text=True, check=True)
    assert '--manifest "my study/data_manifest.csv"' in done.stdout


def test_readme_numbers_are_those_of_the_committed_tables(root):
    changed = subprocess.run(
        ["git", "status", "--porcelain", "figures", "README.md"],
        cwd=root, capture_output=True, text=True, check=False,
    )
    if changed.returncode or changed.stdout:
        pytest.skip("figures were made anew here; README shows the committed ones")
    done = subprocess.run(
        [sys.executable, "scripts/readme.py", "--check"], cwd=root, check=False
    )
    assert done.returncode == 0, "README is stale: run python scripts/readme.py"


def test_every_ablation_has_its_rule_and_its_parameter(root):
    from pgmif.runs.order import STEPS
    from pgmif.steps.ablations import ABLATIONS

    assert STEPS["09_ablations"].parts == tuple(ABLATIONS)
