"""Patients over processes: order, threads, and the name of a patient that fails."""

import os

import pytest

from pgmif.runs.parallel import each_patient


def threads(subject):
    import torch

    return subject, os.environ["OMP_NUM_THREADS"], torch.get_num_threads(), os.getpid()


def test_two_processes_take_one_thread_each_whatever_the_environment_says(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")  # as Snakemake does for a rule of two threads
    said = []
    results = each_patient(threads, ["b", "a", "c"], 2, say=said.append)
    assert [r[0] for r in results] == ["b", "a", "c"]
    assert {r[1:3] for r in results} == {("1", 1)}
    assert os.getpid() not in {r[3] for r in results}
    assert said[-1].startswith("  3 of 3 patients (c)")


def fail(subject):
    raise RuntimeError("itk::ERROR: no samples") if subject == "b" else KeyError(subject)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_names_its_patient(workers):
    with pytest.raises(RuntimeError, match=r"b: itk::ERROR"):
        each_patient(fail, ["b"], workers)
