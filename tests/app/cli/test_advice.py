"""Every command and option that a text of the packages advises is there, provoked by a test or not."""

import ast
import re

import typer
from helpers.commands import options_of

from pgmif.cli import app
from pgmif.runs.notebooks import main

OF_OTHERS = {  # git, torchrun and Slurm, Dask, GDCM, Snakemake
    "--abbrev", "--always", "--porcelain", "--untracked-files", "--gpus-per-node", "--nodes",
    "--nproc-per-node", "--standalone", "--nthreads", "--raw", "--until",
}


def literals(path):
    tree = ast.parse(path.read_text())
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_every_command_that_is_advised_is_there(root):
    """`make x`, `pgmif x` and `--option`, in any text of the package."""
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    commands = typer.main.get_command(app).commands
    known = {option for name in commands for option in options_of(name)}
    notebooks = typer.Typer()
    notebooks.command()(main)
    known |= {name for option in typer.main.get_command(notebooks).params for name in option.opts}
    known |= {"--version"} | set(re.findall(r'"(--[a-z-]+)"', "".join(
        (root / "pgmif" / f"{name}.py").read_text() for name in ("cli/reproduce", "runs/notebooks"))))
    seen, unknown = 0, set()
    for path in [*(root / "pgmif_core").rglob("*.py"), *(root / "pgmif").rglob("*.py")]:
        for text in literals(path):
            for target in re.findall(r"(?:`|with )make ([a-z]+)|make ([a-z]+)(?= [A-Z]+=)", text):
                target = "".join(target)
                assert target in targets, f"{path.name}: make {target}"
                seen += 1
            for name in re.findall(r"`pgmif ([a-z]+)", text):
                assert name in commands, f"{path.name}: pgmif {name}"
                seen += 1
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text):
                unknown.add(option) if option not in known | OF_OTHERS else None
                seen += 1
    assert sorted(unknown) == []
    assert seen > 60
