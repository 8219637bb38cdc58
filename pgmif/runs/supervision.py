"""Nothing that a run starts outlives it: every process carries a mark, and a guardian ends what is left.

python -m pgmif.runs.supervision MARK: waits until its input ends, which it does when the process that
started it ends in whatever way, then ends every process that carries the mark.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

from pgmif_core.files import FolderTaken, taken

MARK = "PGMIF_MARK"  # environment: which run a process belongs to
PATIENCE_SECONDS = 5  # between a request to end and the end
LEFT_SECONDS = 15  # for what a run that is gone had started
ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """This process was told to end; `number` is the signal."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def marked(mark: str) -> list[psutil.Process]:
    """Processes that carry a mark, but for this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def alive(number: int) -> bool:
    """Whether a process runs: one that has ended and was not waited for does not."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end_marked(mark: str) -> None:
    """End every process that carries a mark: asked first, forced after some seconds."""
    for attempt in (psutil.Process.terminate, psutil.Process.kill):
        left = marked(mark)
        for process in left:
            with suppress(psutil.Error):
                attempt(process)
        psutil.wait_procs(left, PATIENCE_SECONDS)


@contextmanager
def supervised() -> Iterator[str]:
    """A mark for the processes that this block starts (as MARK in their environment): all of them are
    ended when the block ends, when a signal ends this process (raises Ended), and when it is killed."""
    mark = uuid.uuid4().hex
    guardian = subprocess.Popen(
        [sys.executable, "-m", __name__, mark], stdin=subprocess.PIPE, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )

    def stop(number: int, _: FrameType | None) -> None:
        raise Ended(number)

    # what nohup made deaf stays deaf
    heard = [n for n in ENDINGS if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield mark
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        end_marked(mark)
        guardian.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            guardian.wait(PATIENCE_SECONDS)


@contextmanager
def own_folder(base: Path, mark: str) -> Iterator[int]:
    """Take a results folder; where its owner is gone, wait for what that had started to end."""
    deadline = time.monotonic() + LEFT_SECONDS
    while True:
        try:
            with taken(base, mark=mark) as descriptor:
                yield descriptor
                return
        except FolderTaken as error:
            if alive(error.owner) or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def owner_of(taken_by: FolderTaken) -> str:
    """The process that has a folder, and how to end it: itself, or what it left running."""
    if taken_by.owner and alive(taken_by.owner):
        return f"{taken_by}; nothing was started. Wait for it, end it (kill {taken_by.owner})"
    left = " ".join(str(process.pid) for process in marked(taken_by.mark)) if taken_by.mark else ""
    return f"what {taken_by} left running; nothing was started. End it (kill {left or '?'})"


def main() -> None:
    """The guardian."""
    sys.stdin.buffer.read()
    end_marked(sys.argv[1])


if __name__ == "__main__":
    main()
