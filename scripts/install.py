"""Make an environment with the tested versions and say how far it is: python scripts/install.py .venv

Called by the Makefile before anything is installed: the standard library only. An environment that
another Python version made is made anew. Exit code: pip's.
"""

import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
COLLECTED = re.compile(r"\s*(?:Collecting|Requirement already satisfied).*\(line (\d+)\)")


def make_environment(folder: Path) -> None:
    """`python -m venv`, over what is there if the same Python version made it."""
    note = folder / "pyvenv.cfg"
    made_by = re.search(r"^version = (\d+\.\d+)", note.read_text(), re.M) if note.exists() else None
    other = made_by is not None and made_by[1] != "{}.{}".format(*sys.version_info)
    subprocess.run([sys.executable, "-m", "venv", *(["--clear"] if other else []), folder], check=True)


def install(folder: Path) -> int:
    """pip's exit code; says how many packages it has, in a log at every quarter."""
    count, terminal, said = len(LOCK.read_text().splitlines()), sys.stdout.isatty(), 0
    command = [folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check",
               "--progress-bar", "off", "--requirement", LOCK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pip:
        for line in pip.stdout:
            found = COLLECTED.match(line)
            installing = line.startswith("Installing")
            if not found and not installing:
                continue
            number = int(found[1]) if found else count
            text = "installing all packages" if installing else f"package {number} of {count}"
            if terminal:
                print(f"\r\033[K{text}", end="", flush=True)
            elif installing or number - said >= count / 4:
                said = number
                print(text, flush=True)
    if terminal:
        print("\r\033[K", end="", flush=True)
    return pip.returncode


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - whatever Python a machine has begins here
        raise SystemExit(f"pgmif: expected Python 3.11 or newer, found {sys.version.split()[0]}; name "
                         "one: make PYTHON=/path/to/python3.11 …")
    print(f"Setting up {sys.argv[1]}, once: some minutes.", flush=True)
    try:
        make_environment(Path(sys.argv[1]))
        raise SystemExit(install(Path(sys.argv[1])))
    except KeyboardInterrupt:
        raise SystemExit("\nstopped by Ctrl-C; the same command goes on.") from None
