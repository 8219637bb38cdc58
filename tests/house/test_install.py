"""The set-up takes no archive that the lock does not know."""

import hashlib
import importlib.util

import pytest


@pytest.fixture
def install(root):
    spec = importlib.util.spec_from_file_location("install", root / "scripts" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(folder, content):
    """A stand-in for an environment whose pip downloads one archive and notes what it installs."""
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(f"""#!/bin/sh
while [ $# -gt 0 ]; do
    case "$1" in
        --dest) mkdir -p "$2"; printf '{content}' > "$2/torch.whl" ;;
        install) install=1 ;;
        *.whl) [ -n "$install" ] && cp "$1" {folder}/installed ;;
    esac
    shift
done
""")
    python.chmod(0o755)
    return folder


def test_an_unknown_build_of_torch_is_refused(install, tmp_path, monkeypatch, capfd):
    lock = tmp_path / "requirements.lock"
    known = hashlib.sha256(b"good").hexdigest()
    entries = {"a==1": "0" * 64, "torch==2.13.0": known}
    lock.write_text("".join(f"{pin} \\\n    --hash=sha256:{h}\n" for pin, h in entries.items()))
    monkeypatch.setattr(install, "LOCK", lock)
    for content, code in (("bad", 1), ("good", 0)):
        folder = tmp_path / content
        folder.mkdir()
        assert install.install_torch(environment(folder, content), tmp_path / f"d-{content}") == code
        assert (folder / "installed").exists() is (code == 0)
    said = capfd.readouterr().err
    assert "expected a hash that requirements.lock lists" in said
    assert "make setup HASHES=no" in said


def test_every_package_of_the_lock_is_counted(install, root):
    text = (root / "requirements.lock").read_text()
    assert len(install.pins()) == sum(not line.startswith(" ") for line in text.splitlines())


@pytest.mark.parametrize(("line", "name"), [
    ("Collecting aiohttp==3.14.5 (from -r requirements.lock (line 7))", "aiohttp"),
    ("Processing /x/jupyter_core-5.9.1-py3-none-any.whl (from -r x (line 401))", "jupyter_core"),
    ("  Downloading aiohttp-3.14.5-cp311-cp311-manylinux2014_x86_64.whl (1.9 MB)", ""),
])
def test_progress_is_read_from_what_pip_says(install, line, name):
    found = install.COLLECTED.match(line)
    assert (found[1] if found else "") == name
