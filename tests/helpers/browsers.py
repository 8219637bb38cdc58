"""A JupyterLab server and a headless Chromium for the browser tests."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.processes import free_port

# without these Chromium looks for updates and time servers that a closed network refuses
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]
TOKEN = "pgmif-test"
SETTINGS = {
    # cells outside the window stay in the page, where tests look for them
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def chromium_path() -> str:
    """$PGMIF_CHROMIUM, which must be there if it is set, or a Chromium of the PATH; otherwise skips."""
    named = os.environ.get("PGMIF_CHROMIUM", "")
    if named:
        assert Path(named).exists(), f"PGMIF_CHROMIUM={named} is not there"
        return named
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on the PATH: the browser tests cannot run (apt install chromium)")


@contextmanager
def opened_page(width: int = 1400, height: int = 1000, **options):
    """A page of a fresh browser; `page.errors` gathers what its console and scripts complain of."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_OPTIONS)
        try:
            yield listened(browser.new_page(viewport={"width": width, "height": height}, **options))
        finally:
            browser.close()


def listened(page):
    """The page, which from now on gathers what its console and scripts complain of in `errors`."""
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    return page


def broken_images(page) -> list[str]:
    """Addresses of the images that a page shows and could not load."""
    return page.evaluate(
        "[...document.images].filter((i) => !i.complete || !i.naturalWidth).map((i) => i.src)"
    )


def violations(page) -> list[tuple[str, str]]:
    """What axe finds that keeps people out: rule, and the first element that breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in found]


@contextmanager
def jupyterlab(folder: Path, home: Path):
    """JupyterLab on a folder, settings of its own in `home`; yields the address of its /lab."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    } | {"JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "OMP_NUM_THREADS": "1"}
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}",
    ]
    with (home / "jupyterlab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            _wait_for(f"{address}/api?token={TOKEN}", server, home / "jupyterlab.log")
            yield f"{address}/lab"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, f"JupyterLab ended: {log.read_text()[-2000:]}"
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab gave no answer in {seconds} s: {log.read_text()[-2000:]}")
