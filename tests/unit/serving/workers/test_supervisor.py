"""The process that starts workers, alone with one of them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from airflow_mlops_provider.serving.workers.place import Place
from airflow_mlops_provider.serving.workers.supervisor import Worker

MOST = 3


@pytest.fixture
def silent() -> Iterator[tuple[Worker, socket.socket]]:
    """A worker that takes in calls, and its end of the line to who started it, where it says nothing."""
    with socket.socket() as bound:
        worker = Worker([], Place(0, 1, 0, "", 0, 0), bound)
        worker._control, theirs = socket.socketpair()
        worker._control.setblocking(False)
        worker.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        worker.is_ready = True
        with theirs, worker._control:
            yield worker, theirs
        worker.process.kill()
        worker.process.wait()


def test_a_worker_is_killed_once_it_answered_nothing_for_long(silent: tuple[Worker, socket.socket]) -> None:
    """An answer, also a late one, begins the count anew."""
    worker, theirs = silent
    assert worker.process
    for _ in range(MOST):
        worker.ask(MOST)
    theirs.send(b".")
    for _ in range(MOST):
        worker.ask(MOST)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(0.2)
    worker.ask(MOST)
    assert worker.process.wait(10) < 0


def test_one_that_is_not_ready_is_not_asked(silent: tuple[Worker, socket.socket]) -> None:
    """Whoever still loads libraries and model answers nobody."""
    worker, theirs = silent
    assert worker.process
    worker.is_ready = False
    for _ in range(MOST + 2):
        worker.ask(MOST)
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    assert worker.process.poll() is None
