"""Would the tests notice? One small fault at a time in the modules that decide numbers.

python benchmarks/studies/mutants.py [--modules paper claims …] [--most 40] [--processes 2]

Every comparison, sum, product, constant, `and`/`or`, `not`, sign and choice of least or largest in a
module is turned once (`benchmarks/studies/mutations.py`), and the module's own tests run on that copy
until one fails: then the mutant is caught. `--most` takes as many of each module, spread evenly; without
it, all. Not counted: the `strict` of a zip, a guard for who writes, and those in equivalent_mutants.csv,
each with the reason: they change nothing that can be measured, or a number that is free (draws, how many
beginnings a search has). Writes figures/phantom/table_mutants.csv, a row per module; survivors are
printed. Exit code 1 where less than 95 % are caught. A study that was stopped goes on: verdicts lie in
results/mutants, and hold while the code and that module's tests stay as they were.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from joblib import Memory, Parallel, delayed

from pgmif.runs.root import find_root
from pgmif_core.files import digest, write_table

sys.path.append(str(Path(__file__).parents[1]))  # the folder of speed and studies
from studies.mutations import Mutant, mutants_of

# module: the tests that ought to notice
MODULES = {
    "pgmif_core/gradients.py": ["core/test_gradients.py", "core/test_wrong_inputs.py"],
    "pgmif_core/losses.py": ["core/test_losses.py", "core/test_wrong_inputs.py"],
    "pgmif_core/metrics/paper.py": ["core/metrics/test_paper.py", "core/test_wrong_inputs.py"],
    "pgmif_core/metrics/contrast.py": ["core/metrics/test_contrast.py"],
    "pgmif_core/metrics/separation.py": ["core/metrics/test_separation.py"],
    **{f"pgmif_core/metrics/{name}.py": [f"core/metrics/test_{name}.py", "core/metrics/test_standard.py"]
       for name in ("edges", "information", "intensity", "perception", "standard")},
    "pgmif_core/images/regions.py": ["core/images/test_regions.py"],
    "pgmif_core/images/slices.py": ["core/images/test_slices.py"],
    "pgmif_core/images/registration.py": ["core/images/test_registration_searches.py",
                                          "core/images/test_registration_decisions.py",
                                          "core/images/test_registration.py"],
    "pgmif_core/images/displacements.py": ["core/images/test_displacements.py",
                                           "core/images/test_registration_decisions.py"],
    "pgmif_core/images/windows.py": ["core/images/test_windows.py"],
    "pgmif_core/images/dicom/structures.py": ["core/images/dicom", "app/cohort/test_contours.py"],
    "pgmif_core/images/dicom/filling.py": ["core/images/dicom/test_planes.py",
                                          "core/images/dicom/test_filling.py",
                                          "core/images/dicom/test_structures.py"],
    "pgmif_core/evaluation/statistics.py": ["core/evaluation/test_statistics.py"],
    "pgmif_core/evaluation/summary.py": ["core/evaluation/test_summary.py", "app/steps/test_claims.py"],
    "pgmif_core/evaluation/paired.py": ["core/evaluation/test_paired.py"],
    "pgmif_core/evaluation/printed.py": ["core/evaluation/test_printed.py"],
    "pgmif_core/evaluation/frontier.py": ["core/evaluation/test_frontier.py"],
    "pgmif_core/evaluation/gain.py": ["core/evaluation/test_gain.py"],
    "pgmif/steps/claims.py": ["app/steps/test_claims.py"],
}
COPIED = ("pgmif_core", "pgmif", "tests", "params", "published", "notebooks", "benchmarks", "weights")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.csv")
TARGET, PATIENCE_S = 95.0, 300
# tests begin in a copy of a process that has read the large libraries, which takes most of a small test
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload([
    "torch", "SimpleITK", "pandas", "scipy.stats", "scipy.ndimage", "skimage.metrics",
    "matplotlib.pyplot", "lightning_fabric", "pydicom", "nibabel", "pytest", "hypothesis"])


def copy_of(root: Path, folder: Path) -> None:
    """What the tests need of the repository; no results, no figures."""
    for name in COPIED:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*root.glob("*.csv"), *root.glob("*.toml"), *root.glob("*.cff"), root / "Snakefile"):
        if path.is_file():
            shutil.copy(path, folder / path.name)


def run_tests(folder: str, tests: list[str]) -> None:
    """Leave with pytest's exit code for `tests` on the copy in `folder`; for a process of its own."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("pgmif", "pgmif_core", "tests")]:
        del sys.modules[name]  # those of the root, which this module needs itself
    os.chdir(folder)
    os.environ["PYTHONPATH"] = sys.path[0] = folder
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not browser",
               "-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is there already
    os._exit(int(pytest.main([*options, *(f"tests/{t}" for t in tests)])))


class NoVerdict(RuntimeError):
    """The tests were not run, or ended by anything but themselves."""


def verdict(root: Path, module: str, mutant: Mutant, tests: list[str], made_from: str = "") -> str:
    """caught or survived; also caught where the tests cannot begin, or do not end; raises NoVerdict.

    `made_from` tells verdicts apart that are remembered: of other code or tests, the same mutant is new.
    """
    with TemporaryDirectory() as name:
        copy_of(root, Path(name))
        (Path(name) / module).write_text(mutant.text)
        run = FORKED.Process(target=run_tests, args=(name, tests))
        run.start()
        run.join(PATIENCE_S)
        if run.is_alive():
            run.kill()
            run.join()
            return "caught"
    said = {pytest.ExitCode.OK: "survived", pytest.ExitCode.TESTS_FAILED: "caught",
            pytest.ExitCode.INTERRUPTED: "caught"}  # by an error while they were collected
    if run.exitcode not in said:
        raise NoVerdict(f"no verdict ({run.exitcode})")
    return said[run.exitcode]


def state(root: Path, tests: list[str]) -> str:
    """Hash of what verdicts by these tests depend on: the code, the tests, and what tests share."""
    named = [root / "tests" / t for t in tests]
    shared = [root / "tests" / name for name in ("helpers", "references")]
    shared += sorted((root / "tests").rglob("conftest.py"))
    code = [root / name for name in ("pgmif_core", "pgmif", "params", "published")]
    files = [p for place in (*code, *shared, *named)
             for p in (sorted(place.rglob("*.*")) if place.is_dir() else [place])]
    kinds = (".py", ".csv", ".yaml")
    return digest("".join(p.read_text() for p in files if p.suffix in kinds))


def chosen(root: Path, module: str, most: int) -> list[Mutant]:
    """Mutants of a module, without the equivalent ones; `most` of them, spread evenly."""
    known = pd.read_csv(EQUIVALENT, keep_default_na=False)
    known = set(zip(known["module"], known["line"], known["change"], strict=True))
    found = [m for m in mutants_of((root / module).read_text())
             if (module, m.line, m.change) not in known]
    step = max(1, -(-len(found) // most)) if most else 1
    return found[::step]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--modules", nargs="+", help="file names without .py; all if not given")
    arguments.add_argument("--most", type=int, default=0)
    arguments.add_argument("--processes", type=int, default=os.cpu_count())
    arguments.add_argument("--profile", help="ignored: no run is looked at")
    options = arguments.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the tests: processes do the rest
    root = find_root(Path(__file__).parent)
    wanted = {m: t for m, t in MODULES.items() if not options.modules or Path(m).stem in options.modules}
    jobs = [(module, mutant, tests) for module, tests in wanted.items()
            for mutant in chosen(root, module, options.most)]
    remembered = Memory(root / "results" / "mutants", verbose=0).cache(verdict, ignore=["root"])
    states = {module: state(root, tests) for module, tests in wanted.items()}

    def judge(module: str, mutant: Mutant, tests: list[str]) -> str:
        try:
            return remembered(root, module, mutant, tests, states[module])
        except NoVerdict as error:
            return str(error)

    for module, tests in wanted.items():
        untouched = Mutant((root / module).read_text(), 0, "", "")
        if judge(module, untouched, tests) != "survived":
            sys.exit(f"{module}: its tests fail, or take over {PATIENCE_S} s, unchanged: mend them")
    works = Parallel(options.processes, prefer="threads", return_as="generator")
    found = works(delayed(judge)(*job) for job in jobs)
    rows = []
    for (module, mutant, _), said in zip(jobs, found, strict=True):
        rows.append({"module": module, "verdict": said})
        if said != "caught":
            print(f"{said}: {module}:{mutant.number}: {mutant.change}: {mutant.line}", flush=True)
    table = pd.DataFrame(rows)
    summary = table.groupby("module", sort=False)["verdict"].agg(
        mutants="size", caught=lambda v: int((v == "caught").sum())).reset_index()
    share = 100 * summary["caught"].sum() / summary["mutants"].sum()
    print(summary.to_string(index=False), f"\n{share:.1f} % caught")
    if not options.modules:
        write_table(summary, root / "figures" / "phantom" / "table_mutants.csv")
    return int(share < TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
