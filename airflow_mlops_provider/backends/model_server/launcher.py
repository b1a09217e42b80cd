"""Makes sure that a product's model server runs on this machine, with the right code; or that none does.

Servers are found by their command lines.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from airflow_mlops_provider.backends.model_server.client import describe_listener, server_state, url_of
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.storage.artifacts import FolderStore, open_store
from airflow_mlops_provider.storage.locks import file_lock

TAKEOVER = "--takeover"
STOP_SECONDS = 20.0
UP_SECONDS = 120.0  # until it answers; a version may take longer to load, see ``wait_for_version``
LOCK = "serving/server.lock"
# Before the module stands the interpreter alone: a shell whose `-c "python -m …"` names the line is no server.
_COMMAND = re.compile(
    r"/(?:(?! -).)* -m airflow_mlops_provider\.serving --product (?P<product>\S+) --root (?P<root>.+?)"
    r" --host (?P<host>\S+) --port (?P<port>\d+) --code (?P<code>\S*)"
)
# A launcher outlives its servers' start only in tests and notebooks; there an unreaped child would look alive.
_CHILDREN: list[subprocess.Popen[bytes]] = []


class ServerProcess(NamedTuple):
    """A running server; ``code`` is the fingerprint of the product's code that it runs."""

    pid: int
    url: str
    code: str


def ensure_running(
    product: str,
    root: str,
    host: str,
    port: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    code: str = "",
) -> str:
    """Return the base URL of the product's server, started if it was not running; it outlives this process.

    :param log: file that takes its output.
    :param env: its whole environment; this process's own if None. Products are found on its PYTHONPATH.
    :param options: further command-line options, such as ``("--online-store", '{"type": "sqlite"}')``.
    :param code: fingerprint of the product's code; a server that runs with another one is replaced, because it would
        go on preparing inputs as the old code did. It ends when the new one answers, and stays if that can't.
    :raises DeploymentError: if the port is in use by others, or the server ends or does not answer in time.
    """
    url = url_of(host, port)
    line = [*command(product, root, host, port, code), *options]
    with file_lock(product_folder(root, product) / LOCK):
        servers = running(root, product)
        if other := next((server.url for server in servers if server.url != url), None):
            raise DeploymentError(f"{product} is served at {other} already; stop it before serving it at {url}")
        server = next((server for server in servers if server.code == code), None)
        if server is None and servers and _can_predict(url):
            # It listens at the same address only once it can predict; until then the one before answers alone.
            server = spawn([*line, TAKEOVER], log, env)
        elif server is None:
            end_others(root, product)
            _require_free(url, port)
            server = spawn(line, log, env)
        _wait_until_up(server, product, log)
        end_others(root, product, server.pid)
        _require_alone(server, port)
    return url


def stop(product: str, root: str) -> bool:
    """End the product's server; False if none was running. What waits in its prediction log is written first."""
    with file_lock(product_folder(root, product) / LOCK):
        servers = running(root, product)
        end_others(root, product)
        return bool(servers)


def _can_predict(url: str) -> bool:
    state = server_state(url)
    return bool(state and state.live and not state.not_ready)


def _require_free(url: str, port: int) -> None:
    other = describe_listener(url)
    if other:
        raise DeploymentError(f"port {port} is taken: at {url} answers {other}; stop that or choose another port")


def _require_alone(server: ServerProcess, port: int) -> None:
    """Make sure that nobody else listens at the address, which servers that take over from each other may share."""
    states = [server_state(server.url) for _ in range(8)]
    other = next((state for state in states if state and state.pid != server.pid), None)
    if other:
        end(server.pid)
        raise DeploymentError(f"port {port} is taken: at {server.url} answers {other} too; choose another port")


def _wait_until_up(server: ServerProcess, product: str, log: Path) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while time.monotonic() < deadline:
        state = server_state(server.url)
        if state and state.pid == server.pid:
            return
        if has_ended(server.pid, 0.1):
            raise DeploymentError(f"the server of {product} ended while starting; its log {log} says: {_log_end(log)}")
    raise DeploymentError(
        f"the server of {product} did not answer at {server.url} within {UP_SECONDS:g} s; see {log}: {_log_end(log)}"
    )


def _log_end(log: Path) -> str:
    """Return the end of a log without its INFO lines: a server that is to be replaced writes there, too."""
    lines = log.read_text(errors="replace")[-100_000:].splitlines() if log.exists() else []
    return "\n".join(line for line in lines if not re.search(r"(^|\s)INFO[\s:]", line))[-600:].strip() or "nothing"


def product_folder(root: str, product: str) -> Path:
    """Return where servers keep what must be on this machine: below an artifact root or, of a bucket, in our cache."""
    store = open_store(root)
    if isinstance(store, FolderStore):
        return store.path(product)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "airflow-mlops" / hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16] / product


def log_folder(root: str, product: str) -> Path:
    """Return where the servers on this machine keep their prediction logs, unless they were given a folder."""
    return product_folder(root, product) / "predictions" / "rest"


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
    host, port, code = line[8], int(line[10]), line[12]
    return ServerProcess(child.pid, url_of(host, port), code)


def running(root: str, product: str) -> list[ServerProcess]:
    """Return the servers of a product and a root, the longest running first."""
    folder, servers = product_folder(root, product), []
    for process in psutil.process_iter(["cmdline", "status", "create_time"]):
        # As one text: a library that sets the process's title (gunicorn's, by Feast) keeps the words, not their ends.
        line, alive = " ".join(process.info["cmdline"] or []), process.info["status"] != psutil.STATUS_ZOMBIE
        named = _COMMAND.match(line) if alive else None
        if named and named["product"] == product and product_folder(named["root"], product) == folder:
            server = ServerProcess(process.pid, url_of(named["host"], int(named["port"])), named["code"])
            servers.append((process.info["create_time"], server))
    return [server for _, server in sorted(servers)]


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
