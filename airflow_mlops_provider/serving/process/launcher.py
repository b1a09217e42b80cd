"""Starts, finds and ends a product's model server on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.serving.process.client import ask, described, what_answers
from airflow_mlops_provider.serving.process.folders import process_file
from airflow_mlops_provider.storage.atomic import atomic_write
from airflow_mlops_provider.storage.locks import file_lock

STOP_SECONDS = 20.0
TAKEOVER = "--takeover"
# A launcher outlives its servers' start only in tests and notebooks; there an unreaped child would look alive.
_CHILDREN: list[subprocess.Popen[bytes]] = []


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
    :param timeout: seconds until it must answer; a version may take longer to load (see ``wait_for``).
    :param code: fingerprint of the product's code; a server that runs with another one is replaced, because it would
        go on preparing inputs as the old code did. It ends when the new one answers, and stays if that can't.
    :raises DeploymentError: if the port is somebody else's, or the server ends or does not answer in time.
    """
    url = url_of(host, port)
    with _lock(root, product):
        running = _running(root, product)
        if running is not None and running["url"] != url:
            raise DeploymentError(
                f"{product} is served at {running['url']} already; stop it before serving it at {url}"
            )
        command = [*_command(product, root), "--host", host, "--port", str(port), *options]
        if running is None or (running.get("code", "") != code and not _serves(url)):
            if running is not None:
                _end(psutil.Process(running["pid"]), STOP_SECONDS)
            _require_free(url, port)
            running = _start(command, url, log, env, code)
            _record(root, product, running)
            _wait_until_up(url, product, running, log, timeout)
        elif running.get("code", "") != code:
            # It listens at the same address only once it can predict; until then the one before answers alone.
            running = _start([*command, TAKEOVER], url, log, env, code)
            _wait_until_up(url, product, running, log, timeout)
            _record(root, product, running)
        else:
            _wait_until_up(url, product, running, log, timeout)
        _end_others(root, product, running["pid"])
        _require_alone(url, port, running["pid"])
    return url


def stop(product: str, root: str, timeout: float = STOP_SECONDS) -> bool:
    """End the product's server; False if none was running. What waits in its prediction log is written first.

    :param timeout: seconds after which it is killed.
    """
    with _lock(root, product):
        running = _running(root, product)
        if running is not None:
            _end(psutil.Process(running["pid"]), timeout)
        _end_others(root, product, 0)
        process_file(root, product).unlink(missing_ok=True)
        return running is not None


def url_of(host: str, port: int) -> str:
    """Return the base URL of a server at an address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def wait_for(
    base_url: str, version: int, timeout: float = 120.0, requested_at: datetime | None = None
) -> dict[str, Any]:
    """Return what the server says of itself, once it predicts with that version.

    :param requested_at: the release's; an earlier failure of the same version is then not taken for this one's.
    :raises DeploymentError: if the server says that it cannot load the version, or has not within ``timeout`` seconds.
    """
    until, state = time.monotonic() + timeout, None
    while time.monotonic() < until:
        state = ask(base_url, "/version")
        # Live alone is not enough: a server that has just started may still be opening its feature store.
        if state and state["live"] and state["live"]["version"] == version and not state["not_ready"]:
            return state
        failure = (state or {}).get("failure")
        if failure and failure["version"] == version and _of_request(failure, requested_at):
            raise DeploymentError(f"{base_url} could not load version {version}: {failure['error']}")
        time.sleep(0.2)
    serves = state["live"] and state["live"]["version"] if state else "nothing that answers"
    problem = f"; it reports: {_problem(state)}" if state and _problem(state) else ""
    raise DeploymentError(
        f"{base_url} did not serve version {version} within {timeout:g} s; it serves {serves}{problem}"
    )


def _problem(state: Mapping[str, Any]) -> str | None:
    return str(state["failure"]["error"]) if state["failure"] else state["not_ready"] and str(state["not_ready"])


def _of_request(failure: Mapping[str, Any], requested_at: datetime | None) -> bool:
    return requested_at is None or datetime.fromisoformat(failure["requested_at"]) >= requested_at


def _end(process: psutil.Process, timeout: float) -> None:
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        if not _ended(process, timeout):
            process.kill()
            _ended(process, 5)


def _end_others(root: str, product: str, pid: int) -> None:
    """End the product's servers but one: those before it, and what a launcher that was killed left behind."""
    for other in _servers(root, product):
        if other.pid != pid:
            _end(other, STOP_SECONDS)


def _command(product: str, root: str) -> list[str]:
    return [sys.executable, "-m", "airflow_mlops_provider.serving", "--product", product, "--root", root]


def _servers(root: str, product: str) -> list[psutil.Process]:
    """Return the processes of this machine that serve a product from a root."""
    module, place = _command(product, root)[1:5], process_file(root, product)
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if line[1:5] == module and len(line) > 6 and process_file(line[6], product) == place:
            found.append(process)
    return [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]


def _running(root: str, product: str) -> dict[str, Any] | None:
    """Return what the process file says if that very process still lives, or a server that was never entered there."""
    try:
        entry: dict[str, Any] = json.loads(process_file(root, product).read_text())
        process = psutil.Process(entry["pid"])
        if abs(process.create_time() - entry["create_time"]) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return entry
    except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
        pass
    for server in _servers(root, product):
        line = server.info["cmdline"]
        return {"pid": server.pid, "url": url_of(line[8], int(line[10])), "create_time": server.create_time()}
    return None


def _serves(url: str) -> bool:
    state = ask(url, "/version")
    return bool(state and state["live"] and not state["not_ready"])


def _require_free(url: str, port: int) -> None:
    other = what_answers(url)
    if other:
        raise DeploymentError(f"port {port} is taken: at {url} answers {other}; stop that or choose another port")


def _require_alone(url: str, port: int, pid: int) -> None:
    """Make sure that nobody else listens at the address, which servers that take over from each other may share."""
    answers = [ask(url, "/version") for _ in range(8)]
    other = next((state for state in answers if state and state.get("pid") != pid), None)
    if other:
        _end(psutil.Process(pid), STOP_SECONDS)
        raise DeploymentError(f"port {port} is taken: at {url} answers {described(other)} too; choose another port")


def _start(command: Sequence[str], url: str, log: Path, env: Mapping[str, str] | None, code: str) -> dict[str, Any]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, env=dict(os.environ if env is None else env), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    _CHILDREN.append(child)
    return {"pid": child.pid, "create_time": psutil.Process(child.pid).create_time(), "code": code, "url": url}


def _record(root: str, product: str, entry: Mapping[str, Any]) -> None:
    atomic_write(process_file(root, product), json.dumps(entry).encode())


def _wait_until_up(url: str, product: str, running: Mapping[str, Any], log: Path, timeout: float) -> None:
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        state = ask(url, "/version")
        if state and state.get("pid") == running["pid"]:
            return
        if _ended(psutil.Process(running["pid"]) if psutil.pid_exists(running["pid"]) else None, 0.1):
            raise DeploymentError(f"the server of {product} ended while starting; its log {log} says: {_tail(log)}")
    raise DeploymentError(
        f"the server of {product} did not answer at {url} within {timeout:g} s; see {log}: {_tail(log)}"
    )


def _ended(process: psutil.Process | None, timeout: float) -> bool:
    until = time.monotonic() + timeout
    while True:
        for child in _CHILDREN:
            child.poll()
        try:
            if process is None or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)


def _tail(log: Path) -> str:
    """Return the end of a log without what merely informs: a server that is to be replaced writes there, too."""
    lines = log.read_text(errors="replace")[-100_000:].splitlines() if log.exists() else []
    return "\n".join(line for line in lines if not re.search(r"(^|\s)INFO[\s:]", line))[-600:].strip() or "nothing"


def _lock(root: str, product: str) -> AbstractContextManager[None]:
    """Hold the product's lock, so that two launchers can't start two servers."""
    return file_lock(process_file(root, product).with_suffix(".lock"))
