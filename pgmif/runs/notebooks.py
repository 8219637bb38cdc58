"""One notebook of the pipeline: what it depends on, and its execution by papermill.

python -m pgmif.runs.notebooks 05_cnr_boxplots results/x.ipynb [--values DICT] [-p NAME=VALUE …]

Imports little: a rule of the Snakefile starts it once per notebook. Exit codes: 0 done, 1 a cell
failed, 130 stopped by Ctrl-C.
"""

import ast
import json
import logging
import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from pgmif.runs.order import STEPS
from pgmif.runs.records import recorded
from pgmif.runs.root import find_root

# of glibc: by default it gives every large map back to the system, which clears each page before handing
# it out again, 6 to 9 % of a training iteration; up to 512 MiB are kept, arrays over 64 MiB given back
KEEP_FREED_MEMORY = f"MALLOC_TRIM_THRESHOLD_={512 << 20} MALLOC_MMAP_THRESHOLD_={64 << 20}"
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it
PROGRESS = re.compile(r"^\s*(\d+ of \d+ \w+ .*|epoch +\d+.*)$", re.MULTILINE)


def rule_command(notebook: str, extra: str = "") -> str:
    """Shell command of a Snakemake rule: execute one notebook with the rule's params."""
    python = shlex.quote(sys.executable).replace("{", "{{").replace("}", "}}")
    return (
        f"{KEEP_FREED_MEMORY} OMP_NUM_THREADS={{threads}} {python} -m pgmif.runs.notebooks {notebook} "
        f"{{log:q}} {{output:q}} --values {{params.values:q}} --key {{params.key}} {extra}"
    )


def declared_parameters(notebook: str, config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that a notebook's parameters cell declares."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{notebook}: expected one cell tagged 'parameters', found {len(tagged)}")
    tree = ast.parse("".join(tagged[0]["source"]))
    names = [n.targets[0].id for n in tree.body if isinstance(n, ast.Assign)]
    names += [n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)]
    wildcards = {step.wildcard for step in STEPS.values()}  # each rule's own, not values of the run
    return {name: config[name] for name in names if name in config and name not in wildcards}


def cells_not_executed(notebook: dict[str, Any]) -> list[int]:
    """Code cells without an execution count: papermill takes a cell that the kernel aborted for done."""
    return [
        k for k, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip()
        and cell["execution_count"] is None
    ]


@contextmanager
def _told_progress(stem: str) -> Iterator[None]:
    """While a notebook runs, the lines of its output that say how far it is appear on the terminal."""
    def last_line(record: logging.LogRecord) -> bool:
        found = PROGRESS.findall(record.getMessage())
        if found:
            record.msg, record.args = f"{stem}: {' '.join(found[-1].split())}", ()
        return bool(found)

    log, handler = logging.getLogger("papermill"), logging.StreamHandler(sys.stdout)
    handler.addFilter(last_line)
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def execute_notebook(name: str, output: Path, values: dict[str, Any]) -> int:
    """Execute notebooks/<name>.ipynb with papermill; the executed notebook is always kept."""
    # jsonschema's check of URIs, which no notebook has, builds a grammar for a second
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import papermill
    from papermill.exceptions import PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    root = find_root()
    start = time.perf_counter()
    print(f"{output.stem}: running", flush=True)
    try:
        with _told_progress(output.stem):
            done = papermill.execute_notebook(
                str(root / "notebooks" / f"{name}.ipynb"), str(output), values,
                kernel_name="python3", progress_bar=False, cwd=str(root), log_output=True,
                start_timeout=300, iopub_timeout=300,  # seconds, for a machine whose cores are busy
                # no warnings that loopback is not encrypted, no complaint about being shut down
                extra_arguments=["--IPKernelApp.log_level=50"],
            )
    except KeyboardInterrupt:
        # the cell that was interrupted ends in an error of its own, which nobody waits for any more
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        print(f"{output.stem}: stopped", file=sys.stderr, flush=True)
        return INTERRUPTED
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
    skipped = cells_not_executed(done)
    if skipped:
        print(f"\n{name}: expected every cell to be executed, found none of {skipped} executed (the "
              f"kernel gave no answer); start it again\n  executed so far: {output}\n",
              file=sys.stderr, flush=True)
        return 1
    print(f"{output.stem}: done in {time.perf_counter() - start:.0f} s", flush=True)
    return 0


def main(
    name: str, output: Path,
    products: Annotated[list[str] | None, typer.Argument(help="What the rule makes.")] = None,
    values: Annotated[str, typer.Option(help="Parameters as a Python dict.")] = "{}",
    given: Annotated[list[str] | None, typer.Option("-p", help="NAME=VALUE, over --values.")] = None,
    key: Annotated[str, typer.Option(help="What it is made from, for its record.")] = "",
) -> None:
    """Execute notebooks/NAME.ipynb and keep it as OUTPUT."""
    pairs = (pair.partition("=") for pair in given or [])
    chosen = {**ast.literal_eval(values), **{name: yaml.safe_load(value) for name, _, value in pairs}}
    if not key:
        raise typer.Exit(execute_notebook(name, output, chosen))
    with recorded(name, key, output, products or []) as record:
        status = execute_notebook(name, output, chosen)
        record.done = status == 0
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
