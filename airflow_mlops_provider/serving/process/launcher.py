"""Makes sure that a product's model server runs on this machine, with the right code; or that none does."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.serving.process import processes
from airflow_mlops_provider.serving.process.client import describe_listener, server_state, url_of
from airflow_mlops_provider.serving.process.processes import ServerProcess

TAKEOVER = "--takeover"


def ensure_running(
    product: str,
    root: str,
    host: str,
    port: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    timeout: float = 120.0,
    code: str = "",
) -> str:
    """Return the base URL of the product's server, started if it was not running; it outlives this process.

    :param log: file that takes its output.
    :param env: its whole environment; this process's own if None. Products are found on its PYTHONPATH.
    :param options: further command-line options, such as ``("--online-store", '{"type": "sqlite"}')``.
    :param timeout: seconds until it must answer; a version may take longer to load (see ``wait_for_version``).
    :param code: fingerprint of the product's code; a server that runs with another one is replaced, because it would
        go on preparing inputs as the old code did. It ends when the new one answers, and stays if that can't.
    :raises DeploymentError: if the port is in use by others, or the server ends or does not answer in time.
    """
    url = url_of(host, port)
    command = [*processes.command(product, root, host, port, code), *options]
    with processes.lock(root, product):
        servers = processes.running(root, product)
        if other := next((server.url for server in servers if server.url != url), None):
            raise DeploymentError(f"{product} is served at {other} already; stop it before serving it at {url}")
        server = next((server for server in servers if server.code == code), None)
        if server is None and servers and _can_predict(url):
            # It listens at the same address only once it can predict; until then the one before answers alone.
            server = processes.spawn([*command, TAKEOVER], log, env)
        elif server is None:
            processes.end_others(root, product)
            _require_free(url, port)
            server = processes.spawn(command, log, env)
        _wait_until_up(server, product, log, timeout)
        processes.end_others(root, product, server.pid)
        _require_alone(server, port)
    return url


def stop(product: str, root: str) -> bool:
    """End the product's server; False if none was running. What waits in its prediction log is written first."""
    with processes.lock(root, product):
        servers = processes.running(root, product)
        processes.end_others(root, product)
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
        processes.end(server.pid)
        raise DeploymentError(f"port {port} is taken: at {server.url} answers {other} too; choose another port")


def _wait_until_up(server: ServerProcess, product: str, log: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        state = server_state(server.url)
        if state and state.pid == server.pid:
            return
        if processes.has_ended(server.pid, 0.1):
            raise DeploymentError(f"the server of {product} ended while starting; its log {log} says: {_log_end(log)}")
    raise DeploymentError(
        f"the server of {product} did not answer at {server.url} within {timeout:g} s; see {log}: {_log_end(log)}"
    )


def _log_end(log: Path) -> str:
    """Return the end of a log without its INFO lines: a server that is to be replaced writes there, too."""
    lines = log.read_text(errors="replace")[-100_000:].splitlines() if log.exists() else []
    return "\n".join(line for line in lines if not re.search(r"(^|\s)INFO[\s:]", line))[-600:].strip() or "nothing"
