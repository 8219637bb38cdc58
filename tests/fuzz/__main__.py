"""`make test SUITE=fuzz`: damaged files through `check`, `fuse`, `evaluate`; none ends but as it should.

A command has to succeed or to refuse the file in words: no signal, no hang, no more than 2 GiB, no other
exception. The same seed makes the same mutants; what fails is kept in results/fuzz.
"""

import argparse
import json
import os
import queue
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from good import good_jobs, write_good  # noqa: E402

COUNTS = {"nifti": 600, "dicom": 500, "rtstruct": 200, "text-headed": 300}
ROLES = {"nifti": ("T1w", "T2w", "gtv"), "text-headed": ("T1w", "T2w", "gtv"), "dicom": ("T1w", "T2w"),
         "rtstruct": ("rtstruct",), "good": tuple(role for _, role in good_jobs())}
SECONDS, START_SECONDS, MEGABYTES = 20.0, 120.0, 2048.0
KEPT = Path("results/fuzz")


class Job(NamedTuple):
    kind: str
    number: int
    role: str


class Worker:
    """A child that runs jobs; replaced where one of them ended or blocked it."""

    def __init__(self, base: Path) -> None:
        self.base, self.buffer = base, b""
        self.process = self._start()

    def _start(self) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), str(self.base)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=None if os.environ.get("DEBUG") else subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)},
        )
        self.buffer = b""
        self.process = process
        ready = self._line(START_SECONDS)
        assert ready, "the worker did not start; run tests/fuzz/worker.py by hand to see why"
        return process

    def _line(self, seconds: float) -> dict | None:
        """The next report; None where there is none in time. EOFError where the child has ended."""
        end = time.monotonic() + seconds
        stream = self.process.stdout
        with selectors.DefaultSelector() as ready:
            ready.register(stream, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not ready.select(max(0.0, end - time.monotonic())):
                    return None
                part = os.read(stream.fileno(), 2**16)
                if not part:
                    raise EOFError
                self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def run(self, job: Job, seed: int) -> tuple[list[dict], list[str]]:
        """Reports of a job's commands, and its faults."""
        self.process.stdin.write(json.dumps({**job._asdict(), "seed": seed}).encode() + b"\n")
        self.process.stdin.flush()
        reports: list[dict] = []
        faults: list[str] = []
        try:
            while (report := self._line(SECONDS)) is not None:
                if "end" in report:
                    return reports, faults
                reports.append(report)
                if report["fault"]:
                    faults.append(report["fault"])
                if report["megabytes"] > MEGABYTES:
                    faults.append(f"{report['command'][0]} took {report['megabytes']:.0f} MiB")
                    raise TimeoutError
            faults.append(f"command {len(reports) + 1} took more than {SECONDS:g} s")
        except EOFError:
            faults.append(f"command {len(reports) + 1} ended the process: {self.process.wait()}")
        except TimeoutError:
            pass
        self.close()
        self.process = self._start()
        return reports, faults

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def jobs(counts: dict[str, int]) -> list[Job]:
    """All jobs, kinds mixed evenly, so that a part of them is a part of each kind."""
    order = sorted(((k + 0.5) / n, kind, k) for kind, n in counts.items() for k in range(n))
    return [Job(kind, k, ROLES[kind][k % len(ROLES[kind])]) for _, kind, k in order]


class Tally:
    """What came of all jobs."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []
        self.seconds = self.megabytes = 0.0
        self.commands: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, base: Path, job: Job, reports: list[dict], faults: list[str]) -> None:
        refused = [r for r in reports if r["code"] == 2]
        if job.kind == "good" and refused:
            faults = [*faults, f"a good file was refused: {refused[0]['text'][-600:]}"]
        outcome = "fault" if faults else "refused" if refused else "accepted"
        with self._lock:
            self.outcomes[job.kind, outcome] += 1
            self.commands.update(r["command"][0] for r in reports)
            self.seconds = max([self.seconds, *(r["seconds"] for r in reports)])
            self.megabytes = max([self.megabytes, *(r["megabytes"] for r in reports)])
            folder = base / f"{job.kind}-{job.number}"
            if faults:
                self.faults.append(f"{job.kind}:{job.number} as {job.role}: " + "; ".join(faults))
                KEPT.mkdir(parents=True, exist_ok=True)
                shutil.copytree(folder, KEPT / folder.name, dirs_exist_ok=True, symlinks=True)
            shutil.rmtree(folder, ignore_errors=True)

    def table(self) -> str:
        lines = [f"{'files':<12} {'tried':>6} {'accepted':>9} {'refused':>8} {'faults':>7}"]
        for kind in (*COUNTS, "good"):
            own = [self.outcomes[kind, outcome] for outcome in ("accepted", "refused", "fault")]
            lines.append(f"{kind:<12} {sum(own):>6} {own[0]:>9} {own[1]:>8} {own[2]:>7}")
        ran = ", ".join(f"{name} {count}" for name, count in sorted(self.commands.items()))
        return "\n".join([*lines, f"commands: {ran}; longest {self.seconds:.1f} s, most memory "
                                  f"{self.megabytes:.0f} MiB"])


def main() -> None:
    """Read the options, run the jobs on as many processes as there are cores, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make test SUITE=fuzz")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one kind, or one job KIND:NUMBER with its texts")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    shutil.rmtree(KEPT, ignore_errors=True)
    tally, waiting = Tally(), queue.SimpleQueue()
    wanted = jobs(COUNTS | {"good": len(good_jobs())})
    if options.only:
        wanted = [j for j in wanted if options.only in (j.kind, f"{j.kind}:{j.number}")]
    with tempfile.TemporaryDirectory(prefix="pgmif-fuzz-") as folder:
        base = write_good(Path(folder) / "files")
        shutil.copytree(base, Path(folder) / "other")
        shutil.move(Path(folder) / "other", base / "other")
        for job in wanted:
            waiting.put(job)
        end = time.monotonic() + options.seconds

        def work() -> None:
            worker = Worker(base)
            while time.monotonic() < end and not waiting.empty():
                job = waiting.get()
                reports, faults = worker.run(job, options.seed)
                if len(wanted) == 1:
                    print(*(f"{r['command']}\n{r['text']}" for r in reports), sep="\n")
                tally.add(base, job, reports, faults)
            worker.close()

        threads = [threading.Thread(target=work) for _ in range(min(options.processes, len(wanted)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(tally.table())
    for fault in tally.faults:
        print(f"  - {fault}")
    if tally.faults:
        sys.exit(f"{len(tally.faults)} faults; their files are in {KEPT}")


if __name__ == "__main__":
    main()
