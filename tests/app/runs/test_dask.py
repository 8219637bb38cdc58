"""Patients over a real Dask cluster on loopback: a scheduler and two workers, one of them killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from helpers.processes import free_port

from pgmif.runs.parallel import ClusterError, each_patient

pytestmark = pytest.mark.slow
DASK = (sys.executable, "-m", "dask")


@pytest.fixture
def cluster(tmp_path, root):
    """Address of a scheduler, and its two workers as processes."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = re.search(r"\d+$", address)[0]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}{os.pathsep}{root}/tests"}
    log = (tmp_path / "dask.log").open("w")
    worker = (*DASK, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
              "--local-directory", str(tmp_path), "--host", "127.0.0.1")
    scheduler = (*DASK, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    processes = []
    for command in (scheduler, worker, worker):
        processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        time.sleep(1)
    yield address, processes[1:]
    for process in processes:
        process.kill()
        process.wait()
    log.close()


def wait_and_note(folder, subject):
    """A patient's work: says where it runs, takes a while, writes one line."""
    from pathlib import Path

    Path(folder, f"{subject}.begun").write_text(str(os.getpid()))
    time.sleep(0.4)
    with Path(folder, "finished.txt").open("a") as file:
        file.write(f"{subject}\n")
    return subject, os.getpid()


def test_a_killed_worker_loses_no_patient(cluster, tmp_path):
    import threading
    from functools import partial

    address, workers = cluster
    subjects = [f"sub-{k:02d}" for k in range(16)]
    time.sleep(4)  # both workers have arrived

    def kill_one_at_work():
        until = time.monotonic() + 300
        while time.monotonic() < until:
            busy = {p.read_text() for p in tmp_path.glob("sub-*.begun")}
            if str(workers[0].pid) in busy and str(workers[1].pid) in busy:
                os.kill(workers[0].pid, signal.SIGKILL)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one_at_work)
    killer.start()
    results = each_patient(partial(wait_and_note, str(tmp_path)), subjects, 0, address)
    killer.join()
    assert workers[0].wait(5) == -signal.SIGKILL
    assert [subject for subject, _ in results] == subjects
    assert {pid for _, pid in results} <= {worker.pid for worker in workers}
    assert workers[1].pid in {pid for _, pid in results}


def test_a_phantom_cohort_is_preprocessed_on_a_cluster(cluster, tmp_path, root):
    """The pipeline's first steps with dask_scheduler set give the table of a local run."""
    import pandas as pd

    address, _ = cluster
    clone = tmp_path / "clone"
    shutil.copytree(root, clone, ignore=shutil.ignore_patterns(
        ".git", ".venv", "results", "figures", ".snakemake", "__pycache__", ".pytest_cache"
    ))
    tables = []
    for name, scheduler in (("local", ""), ("cluster", address)):
        command = [
            sys.executable, "-m", "pgmif", "reproduce", "--profile", "smoke",
            "--set", f"run={name}", "--set", f"dask_scheduler={scheduler!r}", "--set",
            "phantom_train=1", "--set", "phantom_test=1", "--",
            "--until", "preprocessing",
        ]
        answer = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        tables.append(pd.read_csv(clone / "results" / name / "01_preprocessing/preprocessing.csv"))
    timed = [c for c in tables[0] if "seconds" in c]
    pd.testing.assert_frame_equal(*(t.drop(columns=timed) for t in tables))


def test_no_scheduler_is_a_clear_error():
    with pytest.raises(ClusterError, match="expected a running Dask scheduler"):
        each_patient(str, ["a"], 0, f"tcp://127.0.0.1:{free_port()}")
