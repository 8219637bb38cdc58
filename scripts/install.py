"""Make an environment with the tested versions and say how far it is: python scripts/install.py .venv

Called by the Makefile before anything is installed: the standard library only. An environment that
another Python version made is made anew. --no-hashes: versions alone are compared, for archives from
elsewhere (another build of torch). Exit code: pip's.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
COLLECTED = re.compile(r"\s*(?:Collecting |Processing \S*/)([A-Za-z0-9._]+?(?=-\d|==))")


def make_environment(folder: Path) -> None:
    """`python -m venv`, over what is there if the same Python version made it."""
    note = folder / "pyvenv.cfg"
    made_by = re.search(r"^version = (\d+\.\d+)", note.read_text(), re.M) if note.exists() else None
    other = made_by is not None and made_by[1] != "{}.{}".format(*sys.version_info)
    subprocess.run([sys.executable, "-m", "venv", *(["--clear"] if other else []), folder], check=True)


def install(folder: Path, hashes: bool) -> int:
    """pip's exit code: the lock, every archive compared with its hash; then what other machines need.

    What a package asks for on this machine alone (CUDA for torch, say) is in no lock that was written on
    another: it comes last, at the versions that the packages name.
    """
    with tempfile.TemporaryDirectory() as temporary:
        plain = Path(temporary) / "pins.txt"
        plain.write_text("\n".join(pins()) + "\n")
        code = 0
        if hashes:
            code = install_torch(folder, Path(temporary) / "torch") or run_pip(
                folder, ["--no-deps", "--require-hashes", "--requirement", LOCK])
        return code or run_pip(folder, ["--requirement", plain])


def install_torch(folder: Path, downloads: Path) -> int:
    """pip's exit code: the build of torch that this machine's pip prefers, if the lock knows its hash.

    By itself, because among archives with known hashes pip prefers those of the package index, with
    gigabytes of CUDA, to a build for the CPU in a folder.
    """
    entry = re.search(r"^torch==\S+ \\\n(?:    --hash=.*\n?)+", LOCK.read_text(), re.MULTILINE)[0]
    python = folder / "bin" / "python"
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [python, "-m", "pip", "download", *quiet, "--dest", downloads, entry.split()[0]]
    if code := subprocess.run(command, check=False).returncode:
        return code
    archive = next(downloads.iterdir())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest not in entry:
        print(f"{archive.name}: expected a hash that requirements.lock lists for torch, found {digest}. "
              "Is it another build? If you trust where it comes from: make setup HASHES=no",
              file=sys.stderr)
        return 1
    return subprocess.run([python, "-m", "pip", "install", *quiet, archive], check=False).returncode


def pins() -> list[str]:
    """name==version of every package in the lock."""
    return re.findall(r"^([^\s#]+==[^\s]+)", LOCK.read_text(), re.MULTILINE)


def run_pip(folder: Path, arguments: list) -> int:
    """pip's exit code; says how many packages it has, in a log at every quarter."""
    names = [pin.partition("==")[0] for pin in pins()]
    terminal, said = sys.stdout.isatty(), 0
    command = [folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check",
               "--progress-bar", "off", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pip:
        for line in pip.stdout:
            found = COLLECTED.match(line)
            installing = line.startswith("Installing")
            if not installing and not (found and found[1] in names):
                continue
            number = names.index(found[1]) + 1 if found else len(names)
            text = "installing all packages" if installing else f"package {number} of {len(names)}"
            if terminal:
                print(f"\r\033[K{text}", end="", flush=True)
            elif installing or number - said >= len(names) / 4:
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
        raise SystemExit(install(Path(sys.argv[1]), "--no-hashes" not in sys.argv[2:]))
    except KeyboardInterrupt:
        raise SystemExit("\nstopped by Ctrl-C; the same command goes on.") from None
