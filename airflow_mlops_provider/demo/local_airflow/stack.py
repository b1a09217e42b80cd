"""A real Airflow on this machine: API server, scheduler, DAG processor and triggerer, started and stopped as one.

Used by ``airflow mlops up``, ``down`` and ``demo`` and by the system tests. For development and demonstrations: SQLite,
LocalExecutor, and an administrator whose password is in the home, readable by its owner only.
"""

from __future__ import annotations

import atexit
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from airflow_mlops_provider.demo.local_airflow import processes, settings
from airflow_mlops_provider.demo.local_airflow.api import AirflowApi
from airflow_mlops_provider.demo.local_airflow.processes import Started
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError

RECORD = "stack.json"
MIGRATED = "migrated"
# Components serve no logs over HTTP: all share this machine's disk, and the fixed ports would let only one stack live.
COMMANDS: dict[str, tuple[str, ...]] = {  # in the order in which they are started
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
# The scheduler first: while the others stop it must not start new tasks. The API server last: tasks report to it.
STOP_ORDER = ("scheduler", "triggerer", "dag-processor", "api-server")


class Stack:
    """Starts, watches and stops one local Airflow; a context manager that leaves nothing running.

    :param home: its folder: database, logs, settings, password; made if missing.
    :param dags: the folder of DAG files.
    :param port: where API and pages are served, on 127.0.0.1 only.
    :param env: further environment variables for every component and task.
    """

    def __init__(self, home: Path, dags: Path, port: int, env: Mapping[str, str] | None = None) -> None:
        self.home, self.dags, self.port = home.resolve(), dags.resolve(), port
        self.api = AirflowApi(f"http://127.0.0.1:{port}", self.home)
        self.env = settings.environment(self.home, env or {})
        self._started: dict[str, Started] = {}
        self._begun: dict[str, datetime] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Start every component and wait until all are healthy; on any failure stop what was started.

        :param progress: takes one short line for each step.
        :raises ConfigurationError: if the port is taken, or this home's stack already runs.
        :raises BackendError: if a component does not come up; the message ends with its log's last lines.
        """
        running = [started.name for started in recorded(self.home) if started.process()]
        if running:
            raise ConfigurationError(f"an Airflow already runs from {self.home} ({', '.join(running)}): stop it first")
        processes.check_port(self.port)
        # What an earlier stack left when it was killed itself, such as a model server, would be in the way.
        processes.stop((), str(self.home), grace=0)
        self._stop_with_us()
        try:
            self.prepare(progress)
            for name in COMMANDS:
                self._launch(name)
            progress(f"starting {', '.join(COMMANDS)}")
            self.wait_until_ready()
            self.api.warm_up()
        except BaseException:
            self.stop()
            raise
        progress(f"Airflow is ready at {self.api.url}")

    def prepare(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Write the settings, and bring the database up to date. :raises BackendError: with its log's last lines."""
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        settings.write(self.home, self.dags, self.port, self.env)
        stamp, now = self.home / MIGRATED, version("apache-airflow-core")
        if stamp.exists() and stamp.read_text() == now:
            return
        progress(f"preparing the database in {self.home}")
        with self.log("migrate").open("wb") as stream:
            argv = [sys.executable, "-m", "airflow", "db", "migrate"]
            done = subprocess.run(argv, env=self.env, stdout=stream, stderr=stream, check=False, cwd=self.home)
        if done.returncode:
            raise BackendError(f"the database could not be prepared:\n{processes.last_lines(self.log('migrate'))}")
        stamp.write_text(now)

    def stop(self) -> None:
        """Stop every component and whatever their tasks started; nothing happens if none runs."""
        if self._started:
            stop_running(self.home)
            self._started.clear()
        atexit.unregister(self.stop)

    def detach(self) -> None:
        """Let the stack outlive this process; ``stop_running`` ends it."""
        atexit.unregister(self.stop)
        self._started.clear()

    def log(self, component: str) -> Path:
        """Return the file into which a component writes."""
        return self.home / "logs" / f"{component}.log"

    def wait_until_ready(self, timeout: float = 300) -> None:
        """Wait until every component has reported healthy since it was last started.

        :raises BackendError: if one has ended or ``timeout`` seconds pass; with its log's last lines.
        """
        deadline = time.monotonic() + timeout
        while waiting := self._unhealthy():
            for name in COMMANDS:
                if self._started[name].process() is None:
                    raise BackendError(f"Airflow's {name} ended; its log ends:\n{processes.last_lines(self.log(name))}")
            if time.monotonic() > deadline:
                late = "\n".join(f"{name}:\n{processes.last_lines(self.log(name))}" for name in waiting)
                raise BackendError(f"not ready after {timeout:.0f} s: {', '.join(waiting)}; their logs end:\n{late}")
            time.sleep(0.2)

    def _launch(self, name: str) -> None:
        self._begun[name] = datetime.now(UTC)
        argv = [sys.executable, "-m", "airflow", *COMMANDS[name]]
        env = settings.of_component(name, self.home, self.env)
        self._started[name] = processes.start(name, argv, env, self.log(name), self.home)
        record = self.home / RECORD
        partial = record.with_suffix(".partial")
        partial.write_text(json.dumps([asdict(started) for started in self._started.values()]))
        partial.replace(record)

    def _unhealthy(self) -> list[str]:
        health = self.api.health()
        return [name for name in COMMANDS if not self._healthy(name, health)]

    def _healthy(self, name: str, health: Mapping[str, Any]) -> bool:
        known_as = "metadatabase" if name == "api-server" else name.replace("-", "_")
        state = health.get(known_as) or {}
        beat = state.get(f"latest_{known_as}_heartbeat")
        # A heartbeat from before the restart would speak for the process that is gone.
        fresh = name == "api-server" or (beat is not None and datetime.fromisoformat(beat) >= self._begun[name])
        return state.get("status") == "healthy" and fresh and self._started[name].process() is not None

    def _stop_with_us(self) -> None:
        """See to it that the stack ends with this process, whether that returns, raises or is terminated."""
        atexit.register(self.stop)
        if threading.current_thread() is not threading.main_thread():
            return
        for kind in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(kind) is signal.SIG_DFL:
                signal.signal(kind, lambda number, _: sys.exit(128 + number))


def recorded(home: Path) -> list[Started]:
    """Return the processes that the stack of this home last started, alive or not."""
    record = home.resolve() / RECORD
    return [Started(**fields) for fields in json.loads(record.read_text())] if record.exists() else []


def stop_running(home: Path) -> list[str]:
    """Stop the stack of this home, whoever started it.

    :return: the components that were running.
    :raises BackendError: if a process outlived even SIGKILL.
    """
    home = home.resolve()
    ordered = sorted(recorded(home), key=lambda started: STOP_ORDER.index(started.name))
    running = [started.name for started in ordered if started.process()]
    left = processes.stop(ordered, str(home), grace=8)
    if left:
        raise BackendError(f"processes {left} of the Airflow in {home} could not be stopped")
    (home / RECORD).unlink(missing_ok=True)
    return running
