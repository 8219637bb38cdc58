"""Write requirements.lock from an environment: each version with the SHA-256 of every archive of it.

Run `.venv/bin/python scripts/lock.py` after a set-up, and after what was to change in it. Archives for
Linux and macOS are listed, those that the package index offers and those in pip's own folder of archives
(find-links), such as a build of torch for the CPU alone.
"""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import requests
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

LOCK = Path(__file__).parents[1] / "requirements.lock"
PYTHONS = ("cp311", "cp312", "cp313", "cp314", "py3", "py311", "py312", "py313")
ABI3 = ("cp32", "cp33", "cp34", "cp35", "cp36", "cp37", "cp38", "cp39", "cp310", "cp311")
MACHINES = ("any", "x86_64", "aarch64", "arm64", "universal2")
JSON = "application/vnd.pypi.simple.v1+json"


def pip(*arguments: str) -> str:
    """What pip prints; empty where it fails."""
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def version_of(name: str) -> Version | None:
    """Version of an archive that Linux or macOS can install here; None for others."""
    try:
        if not name.endswith(".whl"):
            return parse_sdist_filename(name)[1]
        _, version, _, tags = parse_wheel_filename(name)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return None
    fit = any(
        (t.interpreter in PYTHONS or (t.abi == "abi3" and t.interpreter in ABI3))
        and not t.abi.endswith("t") and t.platform.endswith(MACHINES)
        and not t.platform.startswith(("win", "musl"))
        for t in tags
    )
    return version if fit else None


def hashes(index: str, name: str, version: str, local: list[Path]) -> set[str]:
    """SHA-256 of every archive of a version."""
    answer = requests.get(urljoin(index, f"{canonicalize_name(name)}/"), timeout=60,
                          headers={"Accept": JSON})
    answer.raise_for_status()
    wanted = Version(Version(version).public)  # without a local part, like +cpu
    found = {f["hashes"]["sha256"] for f in answer.json()["files"]
             if version_of(f["filename"]) == wanted}
    for path in local:
        own = version_of(path.name)
        if own and canonicalize_name(path.name.split("-")[0]) == canonicalize_name(name) \
                and Version(own.public) == wanted:
            found.add(hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def main() -> None:
    """Write the lock; ends with a message where a version has no archive."""
    from pip._internal.models.index import PyPI

    index = pip("config", "get", "global.index-url").strip() or PyPI.simple_url
    places = pip("config", "get", "global.find-links").split()
    local = [p for place in places if Path(place).is_dir() for p in Path(place).iterdir()]
    frozen = pip("list", "--format=freeze", "--exclude-editable").splitlines()
    pins = [line.split("==") for line in frozen if not line.startswith("pip==")]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda pin: hashes(index.rstrip("/") + "/", *pin, local), pins))
    entries = []
    for (name, version), known in zip(pins, found, strict=True):
        if not known:
            raise SystemExit(f"{name}=={version}: expected an archive in the index, found none")
        listed = " \\\n".join(f"    --hash=sha256:{value}" for value in sorted(known))
        entries.append(f"{name}=={Version(version).public} \\\n{listed}")
    LOCK.write_text("\n".join(entries) + "\n")
    print(f"{LOCK.name}: {len(entries)} packages, {sum(map(len, found))} archives")


if __name__ == "__main__":
    main()
