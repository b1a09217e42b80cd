"""The local process: it does what the job does, streams its lines, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.exceptions import JobError, JobLostError, MLOpsError
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.places.warm_child import WarmChild
from airflow_mlops_provider.runtime.process.scratch import PREFIX
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.manifests import read_manifest
from tests.factories.tiny import TinyWorld, manifests

ROOT = Path(__file__).parents[3]
LOG = logging.getLogger("tests.place")
RAISES = "def clean(raw, interval):\n    raise {}\n"
SLEEPS = """
import os, pathlib, time

def clean(raw, interval):
    pathlib.Path(r"{marker}").write_text(str(os.getpid()))
    time.sleep(120)
"""
SPAWNS = """
import os, pathlib, subprocess, sys, time

def clean(raw, interval):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(120)"
    child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    child.stdout.readline()
    pathlib.Path(r"{marker}").write_text(str(child.pid))
    {then}
"""
PARENT = """
import logging, sys
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.places.local_process import LocalProcess
LocalProcess().run(JobSpec.model_validate_json(sys.argv[1]), {}, logging.getLogger())
"""


@pytest.fixture(params=["anew", "warm"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Have jobs begun anew, or forked from a process that is there for it."""
    monkeypatch.setenv("AIRFLOW__MLOPS__WARM_JOBS", str(request.param == "warm"))
    if request.param == "warm":
        world, place = TinyWorld(tmp_path / "before"), LocalProcess()
        until(lambda: place.run(world.cleaning(force=True), {}, LOG) and isinstance(place._child, WarmChild))
        world.close()
    return str(request.param)


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds; fail if it does not in time."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Say whether a process is no more, or only waits for its parent to take note."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_does_the_same(make: Callable[..., TinyWorld], caplog: pytest.LogCaptureFixture) -> None:
    """A job in a child process gives the result it gives in this one, and its lines arrive, even unreadable ones."""
    world = make("import os\n\ndef clean(raw, interval):\n    os.write(1, b'\\xff\\xfe 100%s\\n')\n    return raw\n")
    with caplog.at_level(logging.INFO):
        manifest = LocalProcess().run(world.cleaning(), {}, LOG)
    assert "sales: 2 of 2 rows kept" in caplog.text
    assert "100%s" in caplog.text
    assert run(world.cleaning(attempt=2)) == manifest


def test_finished_work_starts_no_child(make: Callable[..., TinyWorld]) -> None:
    """What is found needs no process; force and a job with effects do."""
    world, place = make(), LocalProcess()
    first = run(world.cleaning())
    assert place.run(world.cleaning(attempt=2), {}, LOG) == first
    assert place._child is None
    assert place.run(world.cleaning(attempt=3, force=True), {}, LOG).started > first.ended
    assert place._child is not None


def test_a_failing_child_raises_its_error(make: Callable[..., TinyWorld]) -> None:
    """What the child's manifest tells is raised here, as ours."""
    world = make(RAISES.format("KeyError('amount')"))
    with pytest.raises(JobError, match="KeyError: 'amount'"):
        LocalProcess().run(world.cleaning(), {}, LOG)
    assert manifests(world, "clean")[0].state == "failed"


def test_a_killed_child_is_lost(make: Callable[..., TinyWorld]) -> None:
    """A child that a signal ends leaves a JobLostError that names it, no manifest, and what it started ends too."""
    world = make(SPAWNS.format(marker="MARKER", then="os.kill(os.getpid(), 9)"))
    marker = world.landing / "pid"
    world.write("rules.py", SPAWNS.format(marker=marker, then="os.kill(os.getpid(), 9)"))
    with pytest.raises(JobLostError, match="job 'clean' was killed by SIGKILL"):
        LocalProcess().run(world.cleaning(), {}, LOG)
    assert manifests(world, "clean") == []
    until(lambda: gone(int(marker.read_text())), 5)


def test_stop_ends_child_and_grandchild(make: Callable[..., TinyWorld]) -> None:
    """Stopping ends the job with all that it started, even what does not listen to SIGTERM."""
    world = make()
    marker = world.landing / "pid"
    world.write("rules.py", SPAWNS.format(marker=marker, then="time.sleep(120)"))
    place, ended = LocalProcess(), []

    def work() -> None:
        try:
            place.run(world.cleaning(), {}, LOG)
        except MLOpsError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: marker.exists() and marker.read_text())
    grandchild = int(marker.read_text())
    child = psutil.Process(grandchild).ppid()
    place.stop()
    thread.join(20)
    assert not thread.is_alive()
    until(lambda: gone(child) and gone(grandchild), 5)
    assert isinstance(ended[0], JobLostError)
    assert "SIGTERM" in str(ended[0])
    place.stop()  # once more harms nobody


@pytest.mark.parametrize("rules", ["sleeps", "spawns"])
def test_a_child_ends_with_its_parent(make: Callable[..., TinyWorld], rules: str) -> None:
    """A parent killed with SIGKILL, which can't clean up, leaves neither its job nor what the job started."""
    world = make()
    marker = world.landing / "pid"
    source = SLEEPS.format(marker=marker) if rules == "sleeps" else SPAWNS.format(marker=marker, then="time.sleep(120)")
    world.write("rules.py", source)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(world.products)))}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, world.cleaning().model_dump_json()], env=env)
    try:
        until(lambda: marker.exists() and marker.read_text())
        children = psutil.Process(parent.pid).children(recursive=True)
        assert int(marker.read_text()) in {child.pid for child in children}
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    until(lambda: all(gone(child.pid) for child in children), 5)
    assert manifests(world, "clean") == []


def test_secrets_reach_the_job_and_no_file(make: Callable[..., TinyWorld], caplog: pytest.LogCaptureFixture) -> None:
    """A secret given for a job is in its environment, but in no file of the artifact root and not in the log."""
    secret = "hunter2-" + os.urandom(4).hex()
    world = make(
        "import hashlib, os\n\ndef clean(raw, interval):\n"
        "    assert hashlib.sha256(os.environ['TINY_SECRET'].encode()).hexdigest() == 'HASH'\n    return raw\n"
    )
    rules = (world.package / "rules.py").read_text()
    with caplog.at_level(logging.DEBUG):
        world.write("rules.py", rules.replace("HASH", "other"))
        with pytest.raises(JobError, match="AssertionError"):
            LocalProcess().run(world.cleaning(), {"TINY_SECRET": secret}, LOG)
        world.write("rules.py", rules.replace("HASH", hashlib.sha256(secret.encode()).hexdigest()))
        LocalProcess().run(world.cleaning(attempt=2), {"TINY_SECRET": secret}, LOG)
    files = [path for path in world.root.rglob("*") if path.is_file()]
    assert len([file for file in files if file.name == "manifest.json"]) == 3
    assert not [file for file in files if secret.encode() in file.read_bytes()]
    assert secret not in caplog.text
    assert "TINY_SECRET" not in os.environ


def test_a_place_adds_to_the_environment(make: Callable[..., TinyWorld]) -> None:
    """Variables given to the place reach its jobs; a secret of the same name counts more."""
    world = make(
        "import os\nimport pandas as pd\n\ndef clean(raw, interval):\n"
        "    return {'env': pd.DataFrame({'value': [os.environ['TINY_A'], os.environ['TINY_B']]})}\n"
    )
    place = LocalProcess(env={"TINY_A": "place", "TINY_B": "place"})
    manifest = place.run(world.cleaning(), {"TINY_B": "secret"}, LOG)
    import pandas as pd

    assert manifest.result is not None
    folder = world.root / manifest.result.uri.removeprefix(world.root.as_uri()).strip("/")
    assert pd.read_parquet(folder / "env.parquet")["value"].tolist() == ["place", "secret"]


def test_two_children_at_once_are_fine(make: Callable[..., TinyWorld]) -> None:
    """Two attempts at the same work side by side both end well, with one result between them."""
    world = make()
    specs: list[Any] = [world.cleaning(attempt=1), world.cleaning(attempt=2)]
    results = []
    threads = [
        threading.Thread(target=lambda spec=spec: results.append(LocalProcess().run(spec, {}, LOG))) for spec in specs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(results) == 2
    assert results[0].result == results[1].result
    key = f"{world.name}/clean/{results[0].address[:32]}"
    assert read_manifest(open_store(str(world.root)), key) in results
    assert json.loads((world.root / key / "manifest.json").read_text())["state"] == "success"


def test_temporary_files_go_with_the_job(tmp_path: Path) -> None:
    """Whatever a job's code leaves in the temporary directory lies in a folder of the job's own, gone with it."""
    marker = tmp_path / "marker"
    rules = f"""
    import pathlib, tempfile

    def clean(raw, interval):
        pathlib.Path(r"{marker}").write_text(tempfile.mkdtemp())
        return dict(raw)
    """
    world = TinyWorld(tmp_path, rules)
    assert LocalProcess().run(world.cleaning(), {}, LOG).state == "success"
    world.close()
    left = Path(marker.read_text())
    assert left.parent.name.startswith(PREFIX)
    assert not left.parent.exists()
