"""The largest memory that a process and its children take while a block runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


def memory_mb(own: bool = True) -> float:
    """Memory of this process (unless not `own`) and all its children, shared pages counted once."""
    total = 0
    this = psutil.Process()
    for process in (*([this] if own else []), *this.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it has ended
            continue
    return total / 2**20


@contextmanager
def watched(peaks: list[float], own: bool = True) -> Iterator[None]:
    """Append the largest memory seen inside the block to `peaks`."""
    done, seen = threading.Event(), [memory_mb(own)]

    def watch() -> None:
        while not done.wait(0.2):
            seen.append(memory_mb(own))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        peaks.append(max(seen))
