"""``python -m airflow_mlops_provider.runtime.warm SOCKET``: forks job processes whose libraries are loaded already.

Most of a short job's time goes into importing pandas, MLflow, Feast or Great Expectations. This process imports what
jobs before imported, forks for each job that a place asks for at its socket, and tells how it ended. It runs nobody's
code: once a job loaded a module of :data:`LIBRARIES`, it loads that, and it has a single thread. It ends when nobody
asked for a while.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import NoReturn

from airflow_mlops_provider.backends.environment import all_versions
from airflow_mlops_provider.runtime.__main__ import begin, main
from airflow_mlops_provider.runtime.code import OURS, closure

#: What may be loaded before a fork: slow to import, and without threads or devices of its own.
LIBRARIES = (
    *("airflow_mlops_provider", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "duckdb", "ibis", "sqlalchemy"),
    *("mlflow", "feast", "great_expectations", "evidently", "optuna", "lightgbm", "pydantic"),
)
IDLE_SECONDS = 120.0
MOST_NAMES = 1 << 16  # bytes that a pipe takes at once


class WarmProcess:
    """Listens at a socket, and forks for whoever connects there.

    :param path: the socket's, in a folder that only this user may enter.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        # What this process was started with is left out: each job has its own folders in front.
        own = {"", str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
        self.libraries = [entry for entry in sys.path if entry not in own]
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.waiting: dict[int, socket.socket] = {}
        self.wanted = dict[str, None]()

    def serve(self) -> None:
        """Answer until nobody asked for a while and no job runs any more."""
        while True:
            events = self.selector.select(0 if self.wanted else IDLE_SECONDS)
            for key, _ in events:
                key.data()
            if not events and self.wanted:
                self.import_next()
            elif not events and not self.waiting:
                self.path.unlink()  # who connects just now begins anew
                return

    def accept(self) -> None:
        """Fork for a job: its environment and folder come as JSON, its input and output as descriptors."""
        connection, _ = self.listener.accept()
        connection.settimeout(5)
        given: Sequence[int] = ()
        with suppress(OSError, ValueError, KeyError):  # a place that hears nothing begins the job anew
            head, given, _, _ = socket.recv_fds(connection, 8, 2)
            request = json.loads(b"".join(pieces(connection, int.from_bytes(head, "big"))))
            self.fork(connection, given, request["environment"], request["folder"])
        for descriptor in given:
            os.close(descriptor)
        if connection not in self.waiting.values():
            connection.close()

    def fork(self, connection: socket.socket, given: Sequence[int], environment: dict[str, str], folder: str) -> None:
        """Start a job's process; it tells its id itself, and this one how it ended."""
        report, tells = os.pipe()
        pid = os.fork()
        if not pid:
            self.become_job(connection, given, environment, folder, tells)
        os.close(tells)
        ended = os.pidfd_open(pid)
        self.waiting[pid] = connection
        self.selector.register(ended, selectors.EVENT_READ, lambda: self.end(pid, ended))
        self.selector.register(report, selectors.EVENT_READ, self.reading(report))

    def become_job(
        self, connection: socket.socket, given: Sequence[int], environment: dict[str, str], folder: str, tells: int
    ) -> NoReturn:
        """Be what a place would start, run the job, and tell what was imported for it."""
        status = 1
        try:
            os.setsid()
            connection.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\n")
            for descriptor, number in ((given[0], 0), (given[1], 1), (given[1], 2)):
                os.dup2(descriptor, number)
            others = {key.fd for key in self.selector.get_map().values()}
            for number in {*given, *others, *(other.fileno() for other in self.waiting.values()), connection.fileno()}:
                os.close(number)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            first = [folder, *map(os.path.abspath, filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)))]
            if any(map(shadows, first)):
                os.execve(sys.executable, [sys.executable, "-m", main.__module__.rpartition(".")[0]], environment)  # noqa: S606
            sys.path[:] = [*first, *self.libraries]
            invalidate_caches()
            if numpy := sys.modules.get("numpy"):
                numpy.random.seed()  # or all jobs would draw the same
            del sys.argv[1:]
            before = {*sys.modules}
            status = main()
            sys.stderr.flush()
            names = [name for name in [*sys.modules] if name not in before and name.partition(".")[0] in LIBRARIES]
            os.write(tells, "\n".join(names).encode()[:MOST_NAMES])
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            logging.getLogger("mlops").exception("the job could not begin")
        finally:
            os._exit(status)

    def end(self, pid: int, ended: int) -> None:
        """Tell how a job ended."""
        self.selector.unregister(ended)
        os.close(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError), self.waiting.pop(pid) as connection:
            connection.sendall(json.dumps({"status": status}).encode() + b"\n")

    def reading(self, report: int) -> Callable[[], None]:
        """Return what takes in, piece by piece, which modules a job imported."""
        text = bytearray()

        def read() -> None:
            if piece := os.read(report, MOST_NAMES):
                text.extend(piece)
                return
            self.selector.unregister(report)
            os.close(report)
            names = filter(None, text.decode(errors="replace").split("\n"))
            self.wanted |= dict.fromkeys(name for name in names if name not in sys.modules)

        return read

    def import_next(self) -> None:
        """Import one of the modules that a job imported; end if it brings threads with it."""
        name = next(iter(self.wanted))
        del self.wanted[name]
        with suppress(BaseException):  # whatever is wrong with it, a job that wants it sees for itself
            import_module(name)
            if name.startswith(f"{OURS}.jobs."):
                closure(name)  # each job of that module looks at what it imports
        if threading.active_count() > 1:  # places look for this file, and begin each job anew
            self.path.with_suffix(".off").touch()
            self.path.unlink()
            os._exit(0)  # jobs that run go on, and their places see them end
        if not self.wanted:
            with suppress(Exception):  # of metadata that can't be read, its job tells
                all_versions()  # kept by folder: each job looks at what is installed
            gc.collect()
            gc.freeze()


def shadows(folder: str) -> bool:
    """Say whether a folder has another module than the loaded one of that name."""
    with suppress(OSError):
        entries = (entry for entry in Path(folder).iterdir() if entry.suffix in ("", ".py", ".so"))
        for name in {entry.name.partition(".")[0] for entry in entries} & sys.modules.keys():
            file = getattr(sys.modules[name], "__file__", None)
            if name != "__main__" and not (file and Path(file).is_relative_to(folder)):
                return True
    return False


def pieces(connection: socket.socket, size: int) -> Iterator[bytes]:
    """Yield what is received until it is so many bytes. :raises OSError: if the other side ends before."""
    while size:
        piece = connection.recv(min(size, 1 << 16))
        if not piece:
            raise OSError("the place went away")
        size -= len(piece)
        yield piece


if __name__ == "__main__":
    begin()
    WarmProcess(sys.argv[1]).serve()
