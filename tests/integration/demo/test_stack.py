"""A local Airflow starts, works, survives faults, and leaves nothing running."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.demo.local_airflow import processes
from airflow_mlops_provider.demo.local_airflow.api import AirflowApi
from airflow_mlops_provider.demo.local_airflow.processes import Started
from airflow_mlops_provider.demo.local_airflow.stack import Stack, recorded, stop_running
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from tests.factories.ports import free_port
from tests.factories.stack import pids, restart

DAGS = """
import subprocess
from airflow.sdk import Asset, dag, task

MADE = Asset("file:///test/made")

@dag(schedule=None)
def first():
    @task(outlets=[MADE])
    def make():
        # A process in a session of its own, as a model server would be: only its mark betrays it.
        null = subprocess.DEVNULL
        subprocess.Popen(["sleep", "1234"], start_new_session=True, stdout=null, stderr=null)
    @task
    def before():
        return 1
    before() >> make()

@dag(schedule=[MADE])
def second():
    @task
    def use():
        return 2
    use()

first()
second()
"""


def _until(answer: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := answer()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
    return value


def _succeeded(stack: Stack, dag_id: str, runs: int = 1) -> bool:
    states = [run["state"] for run in stack.api.dag_runs(dag_id)]
    assert "failed" not in states
    return states.count("success") >= runs


def _known(stack: Stack, dag_id: str) -> bool:
    return any(dag["dag_id"] == dag_id for dag in stack.api.get("dags")["dags"])


@pytest.fixture(scope="module")
def live(stack_factory: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """One Airflow for the tests below; the last of them stops it."""
    dags = tmp_path_factory.mktemp("dags")
    (dags / "two.py").write_text(DAGS)
    return stack_factory(dags)


@pytest.mark.system
def test_a_run_and_the_asset_it_makes_start_the_next_run(live: Stack) -> None:
    """DAGs are found, tasks run in order, and an asset event starts the DAG that waits for it."""
    _until(lambda: _known(live, "first") and _known(live, "second"))
    run = live.api.trigger("first")
    _until(lambda: _succeeded(live, "second"))
    ended = {one["task_id"]: one["end_date"] for one in live.api.task_instances("first", run)}
    assert ended["before"] < ended["make"]
    assert [event["source_dag_id"] for event in live.api.asset_events()] == ["first"]


@pytest.mark.system
def test_many_writers_at_once_are_all_answered(live: Stack) -> None:
    """Requests that hold each other up over SQLite's one lock are sent again until each is done, within seconds."""
    _until(lambda: _known(live, "second"))

    before = len(live.api.dag_runs("second"))

    def writes(_: int) -> None:
        api = AirflowApi(live.api.url, live.home)
        for number in range(32):
            if number % 8 == 0:
                api.trigger("second")
            api.call("PATCH", "dags/first", body={"is_paused": bool(number % 2)})
        api.call("PATCH", "dags/first", body={"is_paused": False})

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(writes, range(4)))
    _until(lambda: _succeeded(live, "second", before + 16))


@pytest.mark.system
def test_only_the_owner_reads_keys_and_password(live: Stack) -> None:
    """Keys and password lie in files of mode 0600, and nobody enters without the password."""
    assert {(live.home / name).stat().st_mode & 0o777 for name in ("airflow.cfg", "passwords.json")} == {0o600}
    assert live.api._http.get("/api/v2/dags").status_code == 401


@pytest.mark.system
def test_a_second_start_from_the_same_home_is_refused(live: Stack) -> None:
    """Two schedulers on one SQLite would corrupt each other's work; the message names what runs."""
    with pytest.raises(ConfigurationError, match="scheduler"):
        Stack(home=live.home, dags=live.dags, port=free_port()).start()
    assert len(pids(live)) == 4


@pytest.mark.system
def test_a_killed_scheduler_is_noticed_and_restarted(live: Stack) -> None:
    """After SIGKILL the stack says which component is gone; restarted, it runs tasks again."""
    psutil.Process(pids(live)["scheduler"]).kill()
    _until(lambda: "scheduler" not in pids(live))
    with pytest.raises(BackendError, match="scheduler ended"):
        live.wait_until_ready(5)
    restart(live, "scheduler")
    before = len(live.api.dag_runs("second"))
    live.api.trigger("first")
    _until(lambda: _succeeded(live, "second", before + 1))


@pytest.mark.system
def test_stopping_by_home_leaves_nothing(live: Stack) -> None:
    """Another process stops everything by the home alone, even what a task started in a session of its own."""
    strays = [process for process in processes.marked(str(live.home)) if process.name() == "sleep"]
    assert strays
    live.detach()
    assert set(stop_running(live.home)) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert processes.marked(str(live.home)) == []
    # In a container whose first process is no init nobody takes note of their end: they are dead all the same.
    assert not any(stray.is_running() and stray.status() != psutil.STATUS_ZOMBIE for stray in strays)
    processes.check_port(live.port)
    assert stop_running(live.home) == []


@pytest.mark.system
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_stack_ends_with_the_process_that_holds_it(
    prepared_home: Callable[[], Path], tmp_path: Path, kind: signal.Signals
) -> None:
    """Told to terminate, or interrupted, in the middle of the start, the holder takes every component with it."""
    home = prepared_home()
    arguments = f"home=Path({str(home)!r}), dags=Path({str(tmp_path)!r}), port={free_port()}"
    program = f"""
        import signal
        from pathlib import Path
        from airflow_mlops_provider.demo.local_airflow.stack import Stack
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin by ignoring it
        with Stack({arguments}) as stack:
            stack.start()
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.DEVNULL)
    _until(lambda: len(recorded(home)) == 4)
    holder.send_signal(kind)
    assert holder.wait(30) != 0
    assert processes.marked(str(home)) == []


@pytest.mark.system
def test_a_component_that_dies_shows_its_log(prepared_home: Callable[[], Path], tmp_path: Path) -> None:
    """A start that can't succeed fails at once with the component's own words, and stops the others."""
    env = {"AIRFLOW__CORE__EXECUTOR": "no.such.Executor"}
    stack = Stack(home=prepared_home(), dags=tmp_path, port=free_port(), env=env)
    with pytest.raises(BackendError, match=r"(?s)ended; its log ends:.*no\.such"):
        stack.start()
    assert processes.marked(str(stack.home)) == []


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    """A taken port costs no half-started Airflow, and the message says which port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} "):
            Stack(home=tmp_path / "home", dags=tmp_path, port=port).start()
    assert not (tmp_path / "home").exists()


def test_a_process_that_took_over_an_id_is_not_stopped(tmp_path: Path) -> None:
    """A record left by a crash may name an id that belongs to somebody else by now: that one lives on."""
    with subprocess.Popen(["sleep", "60"]) as other:
        stale = Started("scheduler", other.pid, psutil.Process(other.pid).create_time() - 100)
        assert stale.process() is None
        assert processes.stop([stale], str(tmp_path), grace=0) == []
        assert other.poll() is None
        other.kill()


def test_a_process_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    """Whoever ignores SIGTERM is killed after the grace, with its children."""
    mark = str(tmp_path)
    program = "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN);"
    program += "subprocess.Popen(['sleep', '99']); time.sleep(99)"
    env = {processes.MARK: mark, "PATH": "/usr/bin:/bin"}
    deaf = processes.start("deaf", [sys.executable, "-c", program], env, tmp_path / "log", tmp_path)
    _until(lambda: len(processes.marked(mark)) == 2)
    assert processes.stop([deaf], mark, grace=0.5) == []
    assert processes.marked(mark) == []
