"""The process that starts the workers, and another where one ends or hangs; it answers no call itself."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.model_server.launcher import TAKEOVER
from airflow_mlops_provider.serving.workers.place import Place

STARTUP_FAILED = 3  # Uvicorn's exit status for the same
#: Seconds that workers have to answer what they took in, before they are killed.
END_SECONDS = 17.0
#: Seconds until a worker that ended is started again: the first time, and at most; and after which it was well.
PAUSE, LONGEST_PAUSE, WELL_SECONDS = 0.2, 30.0, 60.0
LOOK_SECONDS = 0.05
#: Looks between two questions whether a worker is there.
ASK_LOOKS = 20
#: Seconds that a worker may be silent: a library that keeps the interpreter while it loads a large model takes some.
PATIENCE = 30
log = logging.getLogger(__name__)


class Worker:
    """One worker: its process, whatever number of times it was started."""

    def __init__(self, line: Sequence[str], place: Place, bound: socket.socket) -> None:
        self._line, self._place, self._bound = line, place, bound
        self.process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.is_ready, self._pause, self._began, self._again = False, PAUSE, 0.0, 0.0
        self._unanswered = 0

    def start(self, *options: str) -> None:
        """Start the process."""
        if self._control:
            self._control.close()
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        place = self._place._replace(listening=self._bound.fileno(), control=theirs.fileno())
        module = [sys.executable, "-m", "airflow_mlops_provider.serving", "--worker", json.dumps(place)]
        with theirs:
            self.process = subprocess.Popen(
                [*module, *self._line, *options], pass_fds=(place.listening, place.control), stdin=subprocess.DEVNULL
            )
        self.is_ready, self._began, self._unanswered = False, time.monotonic(), 0

    @property
    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.process.poll() if self.process else None

    def look(self) -> bool:
        """Say whether it is ready to take in calls."""
        if self._control and not self.is_ready:
            try:
                self.is_ready = self._control.recv(1) == b"r"
            except BlockingIOError:
                return False
            except OSError:  # it has just ended
                return False
        return self.is_ready

    def go(self) -> None:
        """Let it take in calls."""
        try:
            assert self._control
            self._control.send(b"g")
        except OSError:  # it has just ended, which is seen next
            log.debug("worker %d ended", self._place.number)

    def ask(self, most: int) -> None:
        """Ask whether it is there; kill it if it has left so many questions unanswered, one after the other.

        They are counted, and not the seconds: where the machine stood still, it had none to answer.
        """
        if not self.is_ready or self.ended is not None:
            return
        assert self._control
        assert self.process
        try:
            with suppress(BlockingIOError):
                if self._control.recv(64):
                    self._unanswered = 0
            self._control.send(b"?")
        except OSError:  # it has just ended
            return
        self._unanswered += 1
        if self._unanswered > most:
            log.error("worker %d has not answered for %d s; it is killed", self._place.number, most)
            self.process.kill()

    def revive(self, *options: str) -> None:
        """Start it again if it has ended, after a while; let it take in calls once it is ready."""
        now, status = time.monotonic(), self.ended
        if status is None:
            if not self.is_ready and self.look():
                self.go()
        elif not self._again:
            self._pause = PAUSE if now - self._began > WELL_SECONDS else min(2 * self._pause, LONGEST_PAUSE)
            self._again = now + self._pause
            log.error("worker %d ended with status %d; another is started", self._place.number, status)
        elif now >= self._again:
            self._again = 0.0
            try:
                self.start(*options)
            except OSError:  # no memory for it, or no file: it is tried again
                log.exception("worker %d can't be started", self._place.number)


class Supervisor:
    """Keeps a number of workers running.

    :param line: the command line that each is given.
    :param bound: the socket at which all listen: nothing that waits there is lost with one of them.
    :param folder: one that nobody else may enter.
    :param patience: seconds that a worker may be silent, until it is killed and another is started.
    """

    def __init__(
        self, line: Sequence[str], workers: int, bound: socket.socket, folder: Path, patience: int = PATIENCE
    ) -> None:
        self._bound, self._ending = bound, False
        self._most = max(1, round(patience / (ASK_LOOKS * LOOK_SECONDS)))
        places = (Place(number, workers, os.getpid(), str(folder), 0, 0) for number in range(workers))
        self._workers = [Worker(line, place, bound) for place in places]

    def run(self) -> int:
        """Run until a signal comes; return the exit status. The first worker that can't start ends all."""
        for sent in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sent, self._end)
        try:
            for worker in self._workers:
                worker.start()
            while not self._ending and not all(worker.look() for worker in self._workers):
                if any(worker.ended is not None for worker in self._workers):
                    return STARTUP_FAILED
                time.sleep(LOOK_SECONDS)
            for worker in self._workers:
                worker.go()
            for look in count():
                time.sleep(LOOK_SECONDS)
                if self._ending:
                    break
                if look % ASK_LOOKS == 0:
                    for worker in self._workers:
                        worker.ask(self._most)
                self._revive()
        finally:
            self._end_all()
        return 0

    def _revive(self) -> None:
        # One that comes back beside others takes in calls only once it can predict; alone it says why it can't.
        beside = [TAKEOVER] if any(worker.is_ready and worker.ended is None for worker in self._workers) else []
        for worker in self._workers:
            worker.revive(*beside)

    def _end(self, *_: Any) -> None:
        self._ending = True

    def _end_all(self) -> None:
        """End the workers, which take in first what waits at their socket."""
        self._bound.close()
        left = [worker.process for worker in self._workers if worker.process and worker.ended is None]
        for process in left:
            process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process in left:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
