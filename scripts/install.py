"""Install the tested versions into an environment, saying how far it is: scripts/install.py PYTHON

PYTHON is the environment's own interpreter. Called by the Makefile, before anything is installed: the
standard library only. Exit code: pip's.
"""

import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
COLLECTED = re.compile(r"(?:Collecting|Requirement already satisfied).*\(line (\d+)\)")


def main(python: str) -> int:
    lines, terminal, said = len(LOCK.read_text().splitlines()), sys.stdout.isatty(), 0

    def say(text: str, number: int) -> None:
        nonlocal said
        if terminal:
            print(f"\r\033[K{text}", end="", flush=True)
        elif number - said >= lines / 4 or number == lines:  # a log needs no more than a few
            said = number
            print(text, flush=True)

    print("Setting up .venv, once: some minutes.", flush=True)
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off",
               "--requirement", str(LOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pip:
        for line in pip.stdout:
            if found := COLLECTED.match(line.strip()):
                say(f"packages: {found[1]} of {lines} fetched", int(found[1]))
            elif line.startswith("Installing"):
                say("packages: installing all", lines)
    if terminal:
        print("\r\033[K", end="")
    return pip.returncode


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - whatever Python a machine has begins here
        raise SystemExit(f"pgmif: expected Python 3.11 or newer, found {sys.version.split()[0]}; name "
                         "one: make PYTHON=/path/to/python3.11 …")
    try:
        raise SystemExit(main(sys.argv[1]))
    except KeyboardInterrupt:
        raise SystemExit("\nstopped by Ctrl-C; the same command begins again.") from None
