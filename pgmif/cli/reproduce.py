"""`pgmif reproduce`, behind `make reproduce`: check everything, then let Snakemake run the notebooks.

Exit codes: 0 done, 1 a step failed, 2 refused before anything was started, 130 stopped by Ctrl-C.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any, TextIO

import typer
import yaml
from joblib import cpu_count

from pgmif.cli.terminal import AllowDifferent, AllowUnlikely, AssumeRas
from pgmif.cohort.manifest import Cohort, ManifestError, check_images, read_manifest
from pgmif.runs.code_of import NotebookError
from pgmif.runs.notebooks import INTERRUPTED
from pgmif.runs.order import LAST
from pgmif.runs.parameter_files import plain_yaml, read_parameters
from pgmif.runs.parameters import ParameterError, Parameters, modality_weights
from pgmif.runs.records import recorded_here
from pgmif.runs.root import NoRepositoryError, find_root
from pgmif.runs.run import run_name
from pgmif.runs.staleness import stale_steps, step_keys
from pgmif.runs.supervision import MARK, Ended, end_marked, own_folder, owner_of, supervised
from pgmif_core.files import FolderTaken, remembering, replacing, taken
from pgmif_core.images.volumes import ImageError

CONFIG = "parameters.yaml"  # of a run, in its results folder
LAST_WORDS_SECONDS = 5  # for what Snakemake said before it ended


@dataclass(frozen=True)
class Asked:
    """The options of one call; `values` are those of --set, `snakemake` what is passed on to it."""

    profile: str
    values: dict[str, Any]
    evidence: bool
    cores: int
    snakemake: list[str]


def set_values(pairs: list[str]) -> dict[str, Any]:
    """Values of NAME=VALUE options, read as YAML; ParameterError where one is no such pair."""
    values = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise ParameterError(f"--set expects name=value, found {pair!r}")
        values[name] = plain_yaml(text)
    return values


def checked_parameters(asked: Asked, root: Path) -> tuple[Parameters, Cohort]:
    """Parameters and cohort, after every check that needs no image to be opened."""
    parameters = read_parameters(root / "params" / f"{asked.profile}.yaml", **asked.values)
    cohort = read_manifest(root / parameters.manifest, parameters.allow_outside, parameters.assume_ras,
                           parameters.allow_different_patients, parameters.allow_unlikely)
    modality_weights(parameters.gradient_weights, cohort.modalities)
    if parameters.outside_methods:
        from pgmif.runs.outside import check_outside  # it imports torch, which takes seconds

        check_outside(parameters.outside_methods, root, _test_subjects(cohort, parameters))
    return parameters, cohort


def _test_subjects(cohort: Cohort, parameters: Parameters) -> list[str]:
    """The test patients that a run takes: of phantoms as many as the parameters say."""
    subjects = cohort.subjects("test")
    return subjects[: parameters.phantom_test] if cohort.is_phantom else subjects


def _noted(base: Path) -> dict[str, Any]:
    """The parameters that a results folder was made with; empty where there is none."""
    try:
        known = yaml.safe_load((base / CONFIG).read_text())
    except (OSError, ValueError, yaml.YAMLError):  # absent, or damaged: then it says nothing
        return {}
    return known if isinstance(known, dict) else {}


def _snakemake_command(
    asked: Asked, config_file: Path, known: list[str], forced: list[str]
) -> list[str]:
    cores = asked.cores or cpu_count()  # joblib's knows of containers and LOKY_MAX_CPU_COUNT
    return [
        sys.executable, "-m", "snakemake", *(["evidence"] if asked.evidence else []),
        "--cores", str(cores), "--configfile", str(config_file), "--config", *known,
        "--quiet", "rules", "progress", "host", "--rerun-triggers", "input", *forced,
        "--rerun-incomplete", "--nolock",  # after options that take a list: a target may follow
        *asked.snakemake,
    ]


def _keys(config: dict[str, Any], root: Path, cohort: Cohort) -> dict[str, str]:
    try:
        return step_keys(config, root)
    except ImageError:  # of a header whose voxels cannot be found
        check_images(cohort)
        raise


def _forced(asked: Asked, base: Path, keys: dict[str, str]) -> list[str]:
    """Options that make Snakemake do again what is stale, by contents: dates say nothing."""
    if base.is_dir() and any(base.glob("[0-9]*")) and not recorded_here(base):
        return ["--forceall"]  # of a version that kept no records, or a copy of another run
    stale = stale_steps(base, keys, asked.evidence)
    return ["--forcerun", *stale] if stale else []


def _up_to_date(command: list[str], root: Path, base: Path) -> bool:
    if not (base / LAST).exists():
        return False
    plan = subprocess.run(
        [*command, "--dry-run"], cwd=root, capture_output=True, text=True, check=False
    )
    return plan.returncode == 0 and "Nothing to be done" in plan.stdout + plan.stderr


def _relay(messages: TextIO, muted: Event) -> None:
    for line in messages:
        if not muted.is_set():
            print(line, end="", file=sys.stderr, flush=True)


def _run(command: list[str], root: Path, descriptor: int, mark: str) -> int:
    """Snakemake's exit code; after Ctrl-C, which is passed on to it, its notebooks may come to an end.

    It has a process group of its own, so that a terminal's Ctrl-C and a signal to this process alone do
    the same. What it then has to say, of each job that was interrupted, is left out.
    """
    interrupted = Event()
    process = subprocess.Popen(command, cwd=root, pass_fds=[descriptor], stderr=subprocess.PIPE,
                               text=True, errors="replace", env=os.environ | {MARK: mark},
                               process_group=0)

    def stop(*_: Any) -> None:
        if not interrupted.is_set():
            interrupted.set()
            print("\npgmif: stopping", file=sys.stderr, flush=True)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

    before = signal.signal(signal.SIGINT, stop)
    relay = Thread(target=_relay, args=(process.stderr, interrupted), daemon=True)
    relay.start()
    try:
        status = process.wait()
    except Ended:
        interrupted.set()
        raise
    finally:
        end_marked(mark)  # what was left of notebooks would hold the pipe for ever
        relay.join(LAST_WORDS_SECONDS)
        signal.signal(signal.SIGINT, before)
    process.stderr.close()
    return INTERRUPTED if interrupted.is_set() else status


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


def _reproduce(asked: Asked, root: Path) -> int:
    """Check, then run or skip every notebook; says so when there was nothing to do."""
    start = time.perf_counter()
    dry = bool({"-n", "--dry-run", "--dryrun"} & set(asked.snakemake))
    (root / "results").mkdir(exist_ok=True)
    try:
        parameters, cohort = checked_parameters(asked, root)
        name = run_name(cohort, parameters)
        base = root / "results" / name
        config = {**parameters.model_dump(), "run": name}
        keys = _keys(config, root, cohort)
        forced = _forced(asked, base, keys)
        # what the Snakefile need not find out again
        known = [f"keys={json.dumps(keys)}", f"phantoms={cohort.is_phantom}"]
        command = _snakemake_command(asked, base / CONFIG, known, forced)
        same = _noted(base) == config
        if same and not (dry or forced) and _up_to_date(command, root, base):
            return _say_up_to_date(name, start)
        if forced or not (same and dry):  # takes minutes; of what is up to date it was done
            check_images(cohort)
    except (ManifestError, ParameterError, ImageError, NotebookError) as error:
        print(f"pgmif: {error}", file=sys.stderr)
        return 2
    other = _other_manifest(base, root / parameters.manifest)
    if other:
        print(f"pgmif: results/{name} was made from {other}, not from {parameters.manifest}; nothing "
              "was started. Give this run a name of its own: --set run=NAME", file=sys.stderr)
        return 2
    try:
        if dry:
            return _plan(asked, base, config, known, forced)
        with supervised() as mark, own_folder(base, mark) as descriptor:
            with replacing(base / CONFIG) as temporary:
                temporary.write_text(yaml.safe_dump(config, sort_keys=False))
            if not (same or forced) and _up_to_date(command, root, base):
                return _say_up_to_date(name, start)
            status = _run(command, root, descriptor, mark)
    except FolderTaken as error:
        print(f"pgmif: results/{name} is being made by {owner_of(error)}, or give this run a name of "
              "its own: --set run=NAME", file=sys.stderr)
        return 2
    except Ended as error:
        print(f"pgmif: ended by signal {error.number}, with all that it had started; the same command "
              "goes on from here.", file=sys.stderr)
        return 128 + error.number
    return _said(status, name, start)


def _plan(
    asked: Asked, base: Path, config: dict[str, Any], known: list[str], forced: list[str]
) -> int:
    """A dry run: what would be made; nothing of the run is written, its parameters neither."""
    free = taken(base) if base.is_dir() else nullcontext()
    with tempfile.TemporaryDirectory() as folder, free:
        path = Path(folder) / CONFIG
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        command = _snakemake_command(asked, path, known, forced)
        return subprocess.run(command, cwd=base.parents[1], check=False).returncode


def _said(status: int, name: str, start: float) -> int:
    """Say how Snakemake ended; its exit code as that of the command."""
    if status == INTERRUPTED:
        print("pgmif: stopped by Ctrl-C; the same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    if status:
        print(f"pgmif: stopped. Executed notebooks are kept in results/{name}/notebooks/; the same "
              "command goes on from here.", file=sys.stderr)
        return 1
    minutes = (time.perf_counter() - start) / 60
    print(f"\nDone in {minutes:.1f} min. Figures: figures/{name}/   tables: results/{name}/")
    return 0


def reproduce(
    profile: Annotated[str, typer.Option(help="A file of params/, without .yaml.")] = "quick",
    manifest: Annotated[str, typer.Option(help="Cohort manifest; the profile's if not given.")] = "",
    evidence: Annotated[bool, typer.Option(
        "--evidence", help="What goes beyond the paper: delineation, ablations, seeds.")] = False,
    values: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="A parameter of params/; as often as needed.")] = None,
    cores: Annotated[int, typer.Option(min=0, help="Cores to use; 0: all.")] = 0,
    allow_outside: Annotated[bool, typer.Option(
        "--allow-outside", help="Allow paths, and voxels of headers, out of the manifest's folder.")
    ] = False,
    assume_ras: AssumeRas = False, allow_different_patients: AllowDifferent = False,
    allow_unlikely: AllowUnlikely = False,
    snakemake: Annotated[list[str] | None, typer.Argument(
        help="Options of snakemake, after --: -- --dry-run.", show_default=False)] = None,
) -> None:
    """Check parameters and cohort, then run all notebooks that are out of date, in their order.

    Examples:

    * `pgmif reproduce --profile smoke`

    * `pgmif reproduce --manifest data/data_manifest.csv --set iterations=400`
    """
    try:
        given = set_values(values or []) | ({"manifest": manifest} if manifest else {})
        accepted = {"allow_outside": allow_outside, "assume_ras": assume_ras,
                    "allow_different_patients": allow_different_patients,
                    "allow_unlikely": allow_unlikely}
        given |= {name: True for name, wanted in accepted.items() if wanted}
        root = find_root()
        with remembering(root / "results" / ".hashes"):
            status = _reproduce(Asked(profile, given, evidence, cores, snakemake or []), root)
    except (ParameterError, NoRepositoryError) as error:
        print(f"pgmif: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("\npgmif: stopped by Ctrl-C before any notebook was started.", file=sys.stderr)
        status = INTERRUPTED
    if status:
        raise typer.Exit(status)
