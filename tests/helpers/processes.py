"""Processes that begin quickly, and ports that are free."""

import multiprocessing
import socket

# started from one process that has imported torch already: a start takes milliseconds, not seconds
FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(["helpers.trainings", "torch._dynamo"])


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
