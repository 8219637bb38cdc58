"""Per-patient work over processes (joblib)."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import SimpleITK as sitk
from joblib import Parallel, cpu_count, delayed


def each_patient(
    work: Callable[[str], Any], subjects: Sequence[str], workers: int = 0,
    say: Callable[[str], None] = print,
) -> list[Any]:
    """Run `work(subject)` for all subjects over processes, single-threaded inside each.

    joblib decides where: local processes, or a cluster inside
    `joblib.parallel_config(backend="dask")`. `workers` 0 takes as many as there are cores.
    """
    workers = min(workers or cpu_count(), max(1, len(subjects)))
    start = time.perf_counter()
    parallel = Parallel(n_jobs=workers, return_as="generator", inner_max_num_threads=1) \
        if workers > 1 else Parallel(n_jobs=1, return_as="generator")
    results = []
    for subject, result in zip(
        subjects, parallel(delayed(_single_threaded)(work, s) for s in subjects), strict=True
    ):
        results.append(result)
        done = len(results)
        if done == len(subjects) or done % max(1, len(subjects) // 10) == 0:
            seconds = time.perf_counter() - start
            say(f"{done:3d} of {len(subjects)} patients ({subject}), {seconds:.0f} s")
    return results


def _single_threaded(work: Callable[[str], Any], subject: str) -> Any:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        return work(subject)
    except RuntimeError as error:  # ITK's own errors name no patient
        raise RuntimeError(f"{subject}: {error}") from error
