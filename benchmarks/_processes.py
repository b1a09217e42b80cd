"""Programs and servers that benchmarks run beside themselves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAGS = Path(__file__).parent.parent / "dags"


@contextmanager
def redis() -> Iterator[int | None]:
    """Give the port of a Redis that keeps nothing; None without one."""
    if shutil.which("redis-server") is None:
        yield None
        return
    port = free_port()
    with ExitStack() as running:
        start(running, ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""], port)
        yield port


def start(running: ExitStack, command: list[str], port: int) -> int:
    """Run a server until the stack is closed, wait until it listens, and return its process."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
        text=True,
    )
    running.callback(process.wait, timeout=30)
    running.callback(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGTERM))
    until = time.monotonic() + 120
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            if process.poll() is not None or time.monotonic() > until:
                os.killpg(process.pid, signal.SIGTERM)
                raise RuntimeError(f"{command[:3]} does not listen: {process.communicate()[1][-2000:]}")
            time.sleep(0.1)
    return process.pid


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def environment() -> dict[str, str]:
    """Return what a program is given: the checkout's modules, its own interpreter's programs, and nothing to report."""
    modules = os.pathsep.join([str(DAGS.parent), str(DAGS)])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"PYTHONWARNINGS": "ignore", "FEAST_USAGE": "False", "FEAST_TELEMETRY": "False", "IS_TEST": "True"}
    return {**os.environ, "PYTHONPATH": modules, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", **quiet}
