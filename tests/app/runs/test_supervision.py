"""A run that is ended takes its processes with it; the next one can start, or is told what to end."""

import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pgmif.runs.supervision import MARK, alive, end_marked, marked, owner_of, supervised
from pgmif_core.files import FolderTaken, taken

SLEEPER = "import signal, time\n{}\ntime.sleep(120)"
STARTER = """
import os, subprocess, sys, time
from pgmif.runs.supervision import MARK, Ended, supervised
try:
    with supervised() as mark:
        print(mark, flush=True)
        code = "import subprocess; subprocess.run(['sleep', '120'])"
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | {MARK: mark},
                         start_new_session=True)
        time.sleep(120)
except Ended as error:
    sys.exit(128 + error.number)
"""


def gone(mark, seconds=20):
    """Whether no process of a run is left after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not marked(mark):
            return True
        time.sleep(0.1)
    return False


def wait_for(count, mark):
    end = time.monotonic() + 20
    while time.monotonic() < end and len(marked(mark)) < count:
        time.sleep(0.05)
    assert len(marked(mark)) >= count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_children_and_theirs_end_with_the_process_that_started_them(root, hangups_end, number):
    with subprocess.Popen([sys.executable, "-c", STARTER], cwd=root, stdout=subprocess.PIPE,
                          text=True) as run:
        mark = run.stdout.readline().strip()
        try:
            wait_for(2, mark)
            run.send_signal(number)
            assert run.wait(20) == (-number if number == signal.SIGKILL else 128 + number)
        finally:
            run.kill()
    assert gone(mark)


def test_a_process_that_does_not_listen_is_ended_all_the_same():
    deaf = SLEEPER.format("signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)")
    with subprocess.Popen([sys.executable, "-c", deaf], env=os.environ | {MARK: "deaf"},
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        end_marked("deaf")
        assert not psutil.pid_exists(process.pid)
    end_marked("nobody")


def test_the_owner_of_a_folder_is_named_with_the_way_to_end_it(tmp_path):
    with taken(tmp_path, mark="m"), pytest.raises(FolderTaken) as refused, taken(tmp_path):
        pass
    assert (refused.value.owner, refused.value.mark) == (os.getpid(), "m")
    assert f"end it (kill {os.getpid()})" in owner_of(refused.value)
    absent = next(n for n in range(30_000, 60_000) if not psutil.pid_exists(n))
    with subprocess.Popen([sys.executable, "-c", SLEEPER.format("")],
                          env=os.environ | {MARK: "left"}) as one:
        said = owner_of(FolderTaken(absent, "left"))
        assert f"what process {absent} left running" in said
        assert f"kill {one.pid}" in said
        one.kill()


def processes_of(folder):
    """Processes that run in a folder or name it."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if folder in line and "pytest" not in line and process.pid != os.getpid():
            found.append(line)
    return found


@pytest.fixture
def hangups_end():
    """SIGHUP and SIGINT end what is started here, also where the tests themselves run under nohup, or
    in the background of a script, whose commands ignore an interrupt."""
    ends = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, end) for number, end in ends.items()}
    yield
    for number, end in before.items():
        signal.signal(number, end)


@pytest.mark.slow
@pytest.mark.parametrize("target", [
    "term", "hangup", "kill", "snakemake", "notebook", "kernel", "stop",
])
def test_a_run_that_is_ended_leaves_nothing_running(root, hangups_end, target):
    name = f"ended-{target}"
    base = root / "results" / name
    command = [sys.executable, "-m", "pgmif", "reproduce", "--profile", "smoke",
               "--set", f"run={name}"]
    try:
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, start_new_session=True) as run:
            for line in run.stdout:
                if "00_cohort: running" in line:
                    break
            time.sleep(4)  # its kernel has started
            mark = (base / ".lock").read_text().split()[1]
            assert len(marked(mark)) >= 3
            named = {"snakemake": "snakemake", "notebook": "pgmif.runs.notebooks",
                     "kernel": "ipykernel_launcher"}
            if target in named:
                victim = next(p for p in marked(mark) if named[target] in " ".join(p.cmdline())
                              and p.cmdline()[0].endswith("python"))
                victim.kill()
            else:
                number = {"term": signal.SIGTERM, "hangup": signal.SIGHUP,
                          "kill": signal.SIGKILL, "stop": signal.SIGINT}[target]
                run.send_signal(number)
            said = run.stdout.read()
            assert run.wait(60) != 0, said
        assert gone(mark)
        assert not processes_of(f"results/{name}")
        assert "Traceback" not in said or target in named
        if target in ("term", "hangup", "stop"):
            assert said.count(": done in") <= 1  # what ran may come to its end, nothing else begins
            assert "the same command goes on from here" in said
        kept = (base / "parameters.yaml").read_bytes()
        again = subprocess.run([*command, "--set", "epsilon=0.5", "--", "--dry-run"], cwd=root,
                               capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stdout + again.stderr
        assert (base / "parameters.yaml").read_bytes() == kept  # a dry run writes nothing
    finally:
        for kind in ("results", "figures"):
            shutil.rmtree(root / kind / name, ignore_errors=True)


def test_a_process_that_has_ended_is_not_alive():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(child.pid)
    assert alive(os.getpid())


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with supervised():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
