"""Per-patient work over processes (joblib), on this machine or on a Dask cluster."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import SimpleITK as sitk
from joblib import Parallel, cpu_count, delayed, parallel_config

from pgmif.runs.run import Run

RETRIES = 10  # times that a patient is begun anew because its worker died


class ClusterError(RuntimeError):
    """A Dask cluster that cannot be used: says why and what to do."""


@contextmanager
def _placed(dask_scheduler: str) -> Iterator[None]:
    """joblib's backend: a Dask cluster where a scheduler is named, processes here otherwise."""
    if not dask_scheduler:
        # given to Parallel itself, the limit would yield to OMP_NUM_THREADS of the environment
        with parallel_config(backend="loky", inner_max_num_threads=1):
            yield
        return
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise ClusterError(
            "dask_scheduler is set, but Dask is not installed: pip install 'pgmif[cluster]'"
        ) from error
    with dask.config.set({"distributed.scheduler.allowed-failures": RETRIES}):
        try:
            client = Client(dask_scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"dask_scheduler {dask_scheduler}: expected a running Dask scheduler, found none "
                "within 10 s. Start one (dask scheduler, dask worker), or leave the parameter empty."
            ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise ClusterError(
                f"dask_scheduler {dask_scheduler}: the cluster has no worker; start some with "
                f"`dask worker {dask_scheduler} --nthreads 1`."
            )
        with parallel_config(backend="dask", client=client, retries=RETRIES):
            yield


def each_patient(
    work: Callable[[str], Any], subjects: Sequence[str], workers: int = 0, dask_scheduler: str = "",
    say: Callable[[str], None] = print, kind: str = "patients",
) -> list[Any]:
    """Run `work(subject)` for all subjects over processes, single-threaded inside each.

    `workers` 0 takes as many as there are cores. With `dask_scheduler` (tcp://host:port) the cluster's
    workers do it; they must see the same folders. A patient whose worker dies is begun anew
    elsewhere: `work` keeps what is finished. `kind` names in the lines of progress what is counted.
    Raises ClusterError where there is no such cluster.
    """
    start = time.perf_counter()
    results = []
    with _placed(dask_scheduler):
        if dask_scheduler:
            parallel = Parallel(n_jobs=-1, return_as="list")
        else:
            workers = min(workers or cpu_count(), max(1, len(subjects)))
            parallel = Parallel(n_jobs=workers, return_as="generator")
        done_work = parallel(delayed(_single_threaded)(work, s) for s in subjects)
        for subject, result in zip(subjects, done_work, strict=True):
            results.append(result)
            done = len(results)
            if done == len(subjects) or done % max(1, len(subjects) // 10) == 0:
                seconds = time.perf_counter() - start
                say(f"{done:3d} of {len(subjects)} {kind} ({subject}), {seconds:.0f} s")
    return results


def _single_threaded(work: Callable[[str], Any], subject: str) -> Any:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        return work(subject)
    except RuntimeError as error:  # ITK's own errors name no patient
        raise RuntimeError(f"{subject}: {error}") from error


def over_test_patients(run: Run, work: Callable[[str], list[dict]]) -> pd.DataFrame:
    """The rows that `work(subject)` gives of every test patient of a run, in one table."""
    p = run.parameters
    done = each_patient(work, run.cohort.subjects("test"), p.workers, p.dask_scheduler)
    return pd.DataFrame([row for rows in done for row in rows])
