"""Processes of a local stack: started in sessions of their own, found again later, stopped with nothing left over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from airflow_mlops_provider.exceptions import ConfigurationError

#: Every process of a stack, and whatever its tasks start, inherits this variable: orphans are found by it.
MARK = "AIRFLOW_MLOPS_STACK"


@dataclass(frozen=True)
class Started:
    """A process that was started: its id alone may be reused, the id with its birth time may not.

    :param created: birth time as psutil gives it, in seconds since the epoch.
    """

    name: str
    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        """Return the live process, or None if it has ended and even if another has its id by now."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1 and _lives(process):
                return process
        return None


def start(name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path) -> Started:
    """Start a program in its own session, so that Ctrl-C in the terminal reaches only us, who stop it in order."""
    with log.open("ab") as stream:
        child = subprocess.Popen(
            argv, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    return Started(name, child.pid, psutil.Process(child.pid).create_time())


def check_port(port: int) -> None:
    """Refuse a port that is taken. :raises ConfigurationError: naming the port."""
    with socket.socket() as probe:
        # Without it, a port whose last connections are still closing would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on 127.0.0.1 is taken ({error.strerror}); stop what listens there or choose another port"
            ) from error


def marked(mark: str) -> list[psutil.Process]:
    """Return the live processes that carry a stack's mark, except this one and those it runs in."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    carrying = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            if process.pid not in own and _lives(process) and process.environ().get(MARK) == mark:
                carrying.append(process)
    return carrying


def stop(first: Sequence[Started], mark: str, grace: float) -> list[int]:
    """Stop the named processes in order, then everything else with the mark; whoever ignores SIGTERM is killed.

    :param first: those that get SIGTERM first.
    :param grace: seconds that they get to end by themselves.
    :return: ids of processes that outlived even SIGKILL; empty unless the kernel holds one.
    """
    alive = [process for started in first if (process := started.process())]
    _send(alive, signal.SIGTERM)
    _wait(alive, grace)
    for seconds, kind in ((2.0, signal.SIGTERM), (2.0, signal.SIGKILL), (2.0, signal.SIGKILL), (2.0, signal.SIGKILL)):
        # Looked up anew each round: a process may have forked between the look and the signal.
        left = {process.pid: process for process in [*alive, *marked(mark)] if _lives(process)}
        if not left:
            return []
        _send(list(left.values()), kind)
        _wait(list(left.values()), seconds)
    return [process.pid for process in marked(mark)]


def last_lines(log: Path, lines: int = 25) -> str:
    """Return the last lines of a log, or a note that there is none."""
    if not log.exists():
        return f"(no log at {log})"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _send(processes: Sequence[psutil.Process], kind: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(kind)


def _wait(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until all have ended, reaping those that are our children."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(_lives(process) for process in processes):
        time.sleep(0.05)
    psutil.wait_procs(list(processes), timeout=0)
