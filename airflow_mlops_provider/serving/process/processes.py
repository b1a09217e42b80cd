"""A product's server processes on this machine: started, found by their command lines, ended; and their folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from airflow_mlops_provider.serving.process.client import url_of
from airflow_mlops_provider.storage.artifacts import FolderStore, open_store
from airflow_mlops_provider.storage.locks import file_lock

STOP_SECONDS = 20.0
# A launcher outlives its servers' start only in tests and notebooks; there an unreaped child would look alive.
_CHILDREN: list[subprocess.Popen[bytes]] = []


class ServerProcess(NamedTuple):
    """A running server.

    :param code: fingerprint of the product's code that it runs.
    """

    pid: int
    url: str
    code: str


def product_folder(root: str, product: str) -> Path:
    """Return where servers keep what must be on this machine: below an artifact root or, of a bucket, in our cache."""
    store = open_store(root)
    if isinstance(store, FolderStore):
        return store.path(product)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "airflow-mlops" / hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16] / product


def command(product: str, root: str, host: str, port: int, code: str) -> list[str]:
    """Return how a server's command line begins: by it the process is found again, and what it runs."""
    module = [sys.executable, "-m", "airflow_mlops_provider.serving"]
    return [*module, "--product", product, "--root", root, "--host", host, "--port", str(port), "--code", code]


def spawn(line: Sequence[str], log: Path, env: Mapping[str, str] | None) -> ServerProcess:
    """Start a server process in a session of its own; its output goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            line, env=dict(os.environ if env is None else env), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    _CHILDREN.append(child)
    return _server(child.pid, line)


def running(root: str, product: str) -> list[ServerProcess]:
    """Return the servers of a product and a root, the longest running first."""
    folder, servers = product_folder(root, product), []
    for process in psutil.process_iter(["cmdline", "status", "create_time"]):
        line, alive = process.info["cmdline"] or [], process.info["status"] != psutil.STATUS_ZOMBIE
        named = line[1:5] == command(product, root, "", 0, "")[1:5] and len(line) > 10
        if alive and named and product_folder(line[6], product) == folder:
            servers.append((process.info["create_time"], _server(process.pid, line)))
    return [server for _, server in sorted(servers)]


def _server(pid: int, line: Sequence[str]) -> ServerProcess:
    code = line[12] if line[11:12] == ["--code"] else ""
    return ServerProcess(pid, url_of(line[8], int(line[10])), code)


def end_others(root: str, product: str, pid: int | None = None) -> None:
    """End the product's servers but one: those before it, and what a launcher that was killed left behind."""
    for server in running(root, product):
        if server.pid != pid:
            end(server.pid)


def end(pid: int) -> None:
    """End a process; kill it if that takes too long."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        if not has_ended(pid, STOP_SECONDS):
            process.kill()
            has_ended(pid, 5)


def has_ended(pid: int, timeout: float) -> bool:
    """Wait for a process to end; False if it still runs after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        for child in _CHILDREN:
            child.poll()
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)


def lock(root: str, product: str) -> AbstractContextManager[None]:
    """Hold the product's lock, so that two launchers can't start two servers."""
    return file_lock(product_folder(root, product) / "serving" / "server.lock")
