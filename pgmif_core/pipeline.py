"""The command behind `make reproduce`: check everything, then let Snakemake run the notebooks.

python -m pgmif_core.pipeline reproduce --profile quick [--manifest FILE] [--set name=value …]
python -m pgmif_core.pipeline notebook 04_cnr_boxplots results/x.ipynb [-p NAME VALUE …]

Exit codes: 0 done, 1 a step failed, 2 refused before anything was started.
"""

import argparse
import ast
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from pgmif_core.cohort import Cohort, ManifestError, check_images, read_manifest
from pgmif_core.files import replacing
from pgmif_core.parameters import (
    ParameterError,
    Parameters,
    find_root,
    modality_weights,
    read_parameters,
)
from pgmif_core.steps import input_files, run_name

CONFIG = "parameters.yaml"  # of a run, in its results folder


def declared_parameters(notebook: str, config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that a notebook's parameters cell declares."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{notebook}: expected one cell tagged 'parameters', found {len(tagged)}")
    tree = ast.parse("".join(tagged[0]["source"]))
    names = [n.targets[0].id for n in tree.body if isinstance(n, ast.Assign)]
    # `method` is a wildcard of the rule, not a value of the run
    return {name: config[name] for name in names if name in config and name != "method"}


def _imported(source: str) -> set[Path]:
    """Files of the core that Python source imports."""
    core = Path(__file__).parent
    names = {n.module for n in ast.walk(ast.parse(source))
             if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("pgmif_core.")}
    found = set()
    for name in names:
        path = core.joinpath(*name.split(".")[1:])
        found |= set(path.glob("*.*")) if path.is_dir() else {path.with_suffix(".py")}
    return found


def code_files(notebook: str) -> list[str]:
    """Files of the core that a notebook imports, directly or through others."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    found: set[Path] = set()
    queue = _imported(source)
    while queue:
        path = queue.pop()
        found.add(path)
        if path.suffix == ".py":
            queue |= _imported(path.read_text()) - found
    return sorted(os.path.relpath(path, find_root()) for path in found)


def rule_command(notebook: str, extra: str = "") -> str:
    """Shell command of a Snakemake rule: execute one notebook with the rule's params."""
    return (
        f"OMP_NUM_THREADS={{threads}} {shlex.quote(sys.executable)} -m pgmif_core.pipeline "
        f"notebook {notebook} {{log:q}} --values {{params:q}} {extra}"
    )


def execute_notebook(name: str, output: Path, values: dict[str, Any]) -> int:
    """Execute notebooks/<name>.ipynb with papermill; the executed notebook is always kept."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    root = find_root()
    start = time.perf_counter()
    print(f"{name}: running", flush=True)
    try:
        papermill.execute_notebook(
            str(root / "notebooks" / f"{name}.ipynb"), str(output), values,
            kernel_name="python3", progress_bar=False, cwd=str(root), log_output=False,
            # the kernel's warning that loopback is not encrypted, once per notebook
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
    except PapermillExecutionError as error:
        given = yaml.safe_dump(values, default_flow_style=True, width=10**6).strip()
        again = shlex.join([sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb",
                            str(output), "-y", given])
        print(
            f"\n{name} failed in cell {error.cell_index} (In [{error.exec_count}]): "
            f"{error.ename}: {error.evalue}\n"
            f"  executed so far: {output}\n"
            f"  run it again:    {again}\n",
            file=sys.stderr, flush=True,
        )
        return 1
    print(f"{name}: done in {time.perf_counter() - start:.0f} s", flush=True)
    return 0


def _set_values(pairs: list[str]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise ParameterError(f"--set expects name=value, found {pair!r}")
        values[name] = yaml.safe_load(text)
    return values


def checked_parameters(options: argparse.Namespace, root: Path) -> tuple[Parameters, Cohort]:
    """Parameters and cohort, after every check that needs no image to be opened."""
    values = _set_values(options.set)
    if options.manifest:
        values["manifest"] = options.manifest
    if options.allow_outside:
        values["allow_outside"] = True
    parameters = read_parameters(root / "params" / f"{options.profile}.yaml", **values)
    cohort = read_manifest(root / parameters.manifest, parameters.allow_outside)
    modality_weights(parameters.gradient_weights, cohort.modalities)
    return parameters, cohort


def patient_files(config: dict[str, Any]) -> list[str]:
    """The image files of real patients, so that a replaced file reruns the preprocessing."""
    cohort = read_manifest(config["manifest"], config["allow_outside"])
    return [str(path) for path in input_files(cohort)[1:]]


def _noted(base: Path) -> dict[str, Any]:
    """The parameters that a results folder was made with; empty where there is none."""
    path = base / CONFIG
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def _snakemake_command(options: argparse.Namespace, config_file: Path) -> list[str]:
    cores = options.cores or os.cpu_count() or 1
    return [
        sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", str(config_file),
        "--rerun-incomplete", "--quiet", "rules", "progress", "--nolock",
        "--rerun-triggers", "mtime", "params", "input",
        *options.snakemake,
    ]


def _up_to_date(command: list[str], root: Path) -> bool:
    plan = subprocess.run(
        [*command, "--dry-run"], cwd=root, capture_output=True, text=True, check=False
    )
    return plan.returncode == 0 and "Nothing to be done" in plan.stdout + plan.stderr


def _say_up_to_date(name: str, start: float) -> int:
    print(f"Nothing to be done: results/{name} and figures/{name} are up to date "
          f"({time.perf_counter() - start:.0f} s).")
    return 0


def _other_manifest(base: Path, manifest: Path) -> str:
    """The manifest that a results folder was made from, if it is not this one."""
    earlier = _noted(base).get("manifest")
    if earlier is None:
        return ""
    same = (find_root() / earlier).resolve() == manifest.resolve()
    return "" if same else str(earlier)


def reproduce(options: argparse.Namespace) -> int:
    """Check, then run or skip every notebook; says so when there was nothing to do."""
    root = find_root()
    start = time.perf_counter()
    try:
        parameters, cohort = checked_parameters(options, root)
        name = run_name(cohort, parameters)
        base = root / "results" / name
        config = {**parameters.model_dump(), "run": name}
        command = _snakemake_command(options, base / CONFIG)
        # opening hundreds of DICOM series takes minutes; a run that is up to date did so before
        same = _noted(base) == config
        if same and _up_to_date(command, root):
            return _say_up_to_date(name, start)
        check_images(cohort)
    except (ManifestError, ParameterError) as error:
        print(f"pgmif: {error}", file=sys.stderr)
        return 2
    other = _other_manifest(base, root / parameters.manifest)
    if other:
        print(f"pgmif: results/{name} was made from {other}, not from {parameters.manifest}; nothing "
              "was started. Give this run a name of its own: --set run=NAME", file=sys.stderr)
        return 2
    with replacing(base / CONFIG) as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False))
    if not same and _up_to_date(command, root):
        return _say_up_to_date(name, start)
    status = subprocess.run(command, cwd=root, check=False).returncode
    if status:
        print(f"pgmif: stopped. Executed notebooks are kept in results/{name}/notebooks/; the same "
              "command goes on from here.", file=sys.stderr)
        return 1
    if {"-n", "--dry-run"} & set(options.snakemake):
        return 0
    minutes = (time.perf_counter() - start) / 60
    print(f"\nDone in {minutes:.1f} min. Figures: figures/{name}/   tables: results/{name}/")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="pgmif_core.pipeline", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("reproduce", help="check, then run all notebooks that are out of date")
    run.add_argument("--profile", default="quick", help="a file of params/, without .yaml")
    run.add_argument("--manifest", default="", help="cohort manifest; default: of the profile")
    run.add_argument("--allow-outside", action="store_true", help="allow paths out of its folder")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--cores", type=int, default=0)
    run.add_argument("snakemake", nargs="*", help="passed on to snakemake, after --")
    notebook = commands.add_parser("notebook", help="execute one notebook")
    notebook.add_argument("name")
    notebook.add_argument("output", type=Path)
    notebook.add_argument("--values", default="{}", help="parameters as a Python dict")
    notebook.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    options = parser.parse_args(arguments)
    if options.command == "reproduce":
        return reproduce(options)
    values = {**ast.literal_eval(options.values), **{k: yaml.safe_load(v) for k, v in options.p}}
    return execute_notebook(options.name, options.output, values)


if __name__ == "__main__":
    raise SystemExit(main())
