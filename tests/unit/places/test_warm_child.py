"""Jobs that are forked with their libraries loaded: each as if it had been begun anew."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.places import warm_child
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.places.warm_child import WarmChild
from tests.factories.tiny import TinyWorld

LOG = logging.getLogger("tests.warm")
TELLS = """
import json, os, sys
import numpy as np
LOADED = {{*sys.modules}}

def clean(raw, interval):
    told = {{"draw": np.random.rand(), "loaded": "pandas" in LOADED, "path": sys.path[:3], "folder": os.getcwd(),
             "secret": os.environ.get("SHOP_TOKEN"), "parent": os.getppid(), "began": sys.orig_argv}}
    with open(r"{marker}", "a") as file:
        file.write(json.dumps(told) + "\\n")
    return raw
"""
SLEEPS = """
import pathlib, time

def clean(raw, interval):
    pathlib.Path(r"{marker}").touch()
    time.sleep(3)
    return raw
"""


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    """Return the process that forks jobs, by its id; it has loaded what cleaning needs."""
    monkeypatch.setenv("WARM_TEST", str(tmp_path))  # so that it is no other test's
    world, place = TinyWorld(tmp_path / "before"), LocalProcess(warm=True)
    times = 0
    while times < 4:
        place.run(world.cleaning(force=True), {}, LOG)
        times += isinstance(place._child, WarmChild)
    world.close()
    (pid,) = [
        started.pid for started in warm_child._STARTED if started.poll() is None and _is_of(started.pid, tmp_path)
    ]
    return {"pid": pid}


def _is_of(pid: int, folder: Path) -> bool:
    return psutil.Process(pid).environ().get("WARM_TEST") == str(folder)


def told(world: TinyWorld, marker: Path, secrets: dict[str, str], times: int = 1) -> list[dict[str, Any]]:
    """Run cleaning a few times and return what the user's code saw."""
    for attempt in range(times):
        place = LocalProcess(warm=True)
        place.run(world.cleaning(attempt=attempt + 1, force=True), secrets, LOG)
        assert isinstance(place._child, WarmChild)
    return [json.loads(line) for line in marker.read_text().splitlines()]


@pytest.mark.parametrize(("expected", "starts"), [(True, [1, 0, 0]), (False, [0, 1, 0])])
def test_who_starts_it(expected: bool, starts: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second job that asks in vain; the first where more are sure to come; and none while it begins to listen."""
    started: list[list[str]] = []
    monkeypatch.setattr(warm_child.subprocess, "Popen", lambda command, **_: started.append(command))
    monkeypatch.setattr(warm_child, "_STARTED", [])
    for new in starts:
        before = len(started)
        assert warm_child.fork({"WARM_TEST": str(tmp_path)}, {}, 1, expected) is None
        assert len(started) - before == new


def test_as_if_begun_anew(make: Callable[..., TinyWorld], warm: dict[str, int], tmp_path: Path) -> None:
    """Libraries are there, and all else is a job's own: random numbers, folders, credentials, threads."""
    marker = tmp_path / "told"
    world = make(TELLS.format(marker=marker))
    first, second = told(world, marker, {"SHOP_TOKEN": "s3cret-token"}, times=2)
    assert first["draw"] != second["draw"]
    assert first["loaded"] and first["parent"] == second["parent"] == warm["pid"]
    assert first["folder"] == first["path"][0] == str(Path.cwd()) and str(world.products) in first["path"][1:]
    assert first["secret"] == "s3cret-token"
    assert "s3cret-token" not in str(psutil.Process(warm["pid"]).environ())
    (third,) = told(world, marker, {})[2:]
    assert third["secret"] is None


def test_a_products_own_module_under_a_librarys_name(
    make: Callable[..., TinyWorld], warm: dict[str, int], tmp_path: Path
) -> None:
    """Where a product's folder has a module named as one that is loaded, the job loads all anew, its own first."""
    marker = tmp_path / "told"
    world = make(TELLS.format(marker=marker))
    assert "airflow_mlops_provider.runtime.warm" in told(world, marker, {})[0]["began"]
    (world.products / "pandas.md").touch()
    (world.products / "decimal.py").write_text("from _decimal import *\n")
    assert told(world, marker, {})[1]["began"][-1] == "airflow_mlops_provider.runtime"


def test_a_job_outlives_the_one_that_forked_it(
    make: Callable[..., TinyWorld], warm: dict[str, int], tmp_path: Path
) -> None:
    """When that process is killed, a job that runs goes on, its place takes its result, and the next begins anew."""
    marker = tmp_path / "begun"
    world, place = make(SLEEPS.format(marker=marker)), LocalProcess(warm=True)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(place.run(world.cleaning(force=True), {}, LOG)))
    thread.start()
    while not marker.exists():
        time.sleep(0.05)
    psutil.Process(warm["pid"]).kill()
    thread.join(60)
    assert isinstance(place._child, WarmChild) and isinstance(results[0].result, Dataset)
    assert place.run(world.cleaning(attempt=2, force=True), {}, LOG).state == "success"
    assert isinstance(place._child, subprocess.Popen)


def test_what_starts_threads_is_never_loaded_before_a_fork(tmp_path: Path) -> None:
    """A process that got a second thread by an import ends, and says that jobs are to begin anew."""
    code = (
        "import sys, threading, time, types\n"
        "from airflow_mlops_provider.runtime import warm\n"
        "one = warm.WarmProcess(sys.argv[1])\n"
        "warm.import_module = lambda name: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "one.wanted['pandas'] = None\n"
        "one.serve()\n"
    )
    path = tmp_path / "socket"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60).returncode == 0
    assert path.with_suffix(".off").exists() and not path.exists()


@pytest.mark.parametrize("what", ["open to others", "a link", "too long"])
def test_a_folder_that_is_not_safe(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others could listen in this process's stead, jobs begin anew."""
    base = tmp_path / ("x" * 100 if what == "too long" else "x")
    base.mkdir()
    monkeypatch.setattr(warm_child.tempfile, "gettempdir", lambda: str(base))
    folder = base / f"airflow-mlops-{os.getuid()}"
    if what == "open to others":
        folder.mkdir()
        folder.chmod(0o777)
    if what == "a link":
        folder.symlink_to(tmp_path)
    assert warm_child._socket({}) is None


def test_a_machine_without_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder can't be made, jobs begin anew, and nothing fails."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(warm_child.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    assert warm_child.fork({}, {}, 1) is None
