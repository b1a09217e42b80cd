"""A job's process that was forked with its libraries loaded: see :mod:`airflow_mlops_provider.runtime.warm`."""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from io import FileIO
from pathlib import Path

import airflow_mlops_provider

#: What differs between the tasks of one worker, and decides nothing of what libraries do when they are imported.
_OF_A_TASK = ("AIRFLOW_CTX_", "__AIRFLOW", "PYTEST_CURRENT_TEST", "PWD", "OLDPWD", "SHLVL", "_", "TRACEPARENT")
_LONGEST = 100  # bytes of a socket's path
_DAY = 86_400
_STARTS = 10  # seconds within which it listens
_STARTED: list[subprocess.Popen[bytes]] = []


class WarmChild:
    """The process, as :class:`subprocess.Popen` shows a child.

    :param connection: on which whoever forked it tells how it ended.
    """

    def __init__(self, connection: socket.socket, pid: int, stdin: FileIO) -> None:
        self.pid, self.stdin = pid, stdin
        self.returncode: int | None = None
        self._connection, self._ended = connection, threading.Event()
        threading.Thread(target=self._watch, args=(os.pidfd_open(pid),), daemon=True).start()

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it ended. :raises TimeoutExpired: if that takes too long."""
        if not self._ended.wait(timeout) or self.returncode is None:
            raise subprocess.TimeoutExpired("the job", timeout or 0)
        return self.returncode

    def _watch(self, process: int) -> None:
        with suppress(OSError), self._connection:
            line = _line(self._connection)
        if line:
            self.returncode = int(json.loads(line)["status"])
        else:  # who forked it is gone; it may run on, and its manifest tells how it went
            select.select([process], [], [])
            self.returncode = 0
        os.close(process)
        self._ended.set()


def fork(
    surroundings: Mapping[str, str], environment: Mapping[str, str], output: int, expected: bool = False
) -> WarmChild | None:
    """Return a job's process, writing to a descriptor; None if there is none to be had.

    The second job of a worker that asks in vain starts what the next ones ask.

    :param surroundings: what of the worker's environment reaches every job; no job's own, nor any credential.
    :param environment: the job's whole environment.
    :param expected: whether more jobs are sure to come, so that the first one starts it.
    """
    shared = {name: value for name, value in surroundings.items() if not name.startswith(_OF_A_TASK)}
    with suppress(OSError):  # a folder that is full, read-only or gone: the job is begun anew
        if (path := _socket(shared)) and not path.with_suffix(".off").exists():
            return _forked(path, shared, environment, output, expected)
    return None


def _forked(
    path: Path, shared: Mapping[str, str], environment: Mapping[str, str], output: int, expected: bool
) -> WarmChild | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(30)
        connection.connect(str(path))
    except OSError:
        connection.close()
        _start(path, shared, expected)
        return None
    read_end, write_end = os.pipe()
    stdin = os.fdopen(write_end, "wb", buffering=0)
    body = json.dumps({"environment": dict(environment), "folder": str(Path.cwd())}).encode()
    try:
        socket.send_fds(connection, [len(body).to_bytes(8, "big")], [read_end, output])
        connection.sendall(body)
        pid = int(json.loads(_line(connection))["pid"])
        connection.settimeout(None)
        return WarmChild(connection, pid, stdin)
    except (OSError, ValueError):  # it ended just now
        connection.close()
        stdin.close()
        return None
    finally:
        os.close(read_end)


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (piece := connection.recv(1)):
        line += piece
    return line


def _socket(shared: Mapping[str, str]) -> Path | None:
    """Return where the process listens that was started with the same code, libraries and surroundings."""
    if not (hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")):
        return None
    folder = Path(tempfile.gettempdir()) / f"airflow-mlops-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    state = folder.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o170077 != 0o040000:
        return None  # somebody else's, or open to others
    key = json.dumps([_code(), sys.executable, sorted(shared.items())])
    path = folder / hashlib.sha256(key.encode()).hexdigest()[:24]
    return path if len(str(path)) <= _LONGEST else None


@cache
def _code() -> list[tuple[str, int]]:
    """Return when our own code, and what is installed, changed last."""
    ours = Path(airflow_mlops_provider.__path__[0]).rglob("*.py")
    return [(str(file), file.stat().st_mtime_ns) for file in (*sorted(ours), *map(Path, sys.path)) if file.exists()]


def _start(path: Path, shared: Mapping[str, str], expected: bool) -> None:
    """Start the process that others will ask; where none is expected, the second time that one would have asked."""
    seen = path.with_suffix(".seen")
    for old in path.parent.glob("*.seen"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > _DAY:
                old.unlink()
    known = seen.stat() if seen.exists() else None
    if known and known.st_size and time.time() - known.st_mtime < _STARTS:
        return  # another job did just now
    if not (expected or known):
        seen.touch()
        return
    seen.write_text("started")
    path.unlink(missing_ok=True)  # of one that was killed
    command = [sys.executable, "-u", "-m", "airflow_mlops_provider.runtime.warm", str(path)]
    null = subprocess.DEVNULL
    _STARTED.append(
        subprocess.Popen(command, env=shared, cwd="/", stdin=null, stdout=null, stderr=null, start_new_session=True)
    )
