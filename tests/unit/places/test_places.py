"""Places: the answer to every end of a job, and a local process that leaves nothing behind."""

from __future__ import annotations

import hashlib
import inspect
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

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import JobError, JobLostError, MLOpsError, SourceDataError, UnknownNameError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.places.base import decide, error_of
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.runner import describe, read_manifest, run
from airflow_mlops_provider.storage.artifacts import open_store
from tests.factories.tiny import TinyWorld, manifests

ROOT = Path(__file__).parents[3]
LOG = logging.getLogger("tests.place")
OURS = [
    one
    for _, one in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(one, MLOpsError) and one is not MLOpsError
]
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


# --- from exit status and manifest to an answer -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest | None]:
    """Manifests by what they tell of the attempt that is asked about: number 2."""
    world = TinyWorld(tmp_path_factory.mktemp("told"))
    good = run(world.cleaning(attempt=2))
    world.close()
    failed = good.model_copy(
        update={"state": "failed", "result": None, "failure": describe(SourceDataError("no rows"))}
    )
    earlier = good.spec.model_copy(update={"run": RunIdentity(dag_id="tests", run_id="one", try_number=1)})
    return {
        "none": None,
        "success": good,
        "failed": failed,
        "earlier success": good.model_copy(update={"spec": earlier}),
        "earlier failed": failed.model_copy(update={"spec": earlier}),
    }


@pytest.mark.parametrize("status", [0, 1, 2, 3, -9, -15, 137])
@pytest.mark.parametrize("which", ["none", "success", "failed", "earlier success", "earlier failed"])
def test_the_answer_to_every_end(told: dict[str, Manifest | None], status: int, which: str) -> None:
    """Status 0 needs a success, another status needs this attempt's own failure; all the rest is a lost job."""
    asked, manifest = told["success"], told[which]
    assert asked is not None
    if status == 0 and which.endswith("success"):
        assert decide(asked.spec, status, manifest) is manifest
        return
    expected, said = JobLostError, "left no manifest of this attempt; a retry resumes it"
    if status != 0 and which == "failed":
        expected, said = SourceDataError, "^no rows$"  # type: ignore[assignment]
    with pytest.raises(expected, match=said):
        decide(asked.spec, status, manifest)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (-9, "was killed by SIGKILL"),
        (-15, "was killed by SIGTERM"),
        (-11, "SIGSEGV"),
        (-99, "signal 99"),
        (3, "status 3"),
    ],
)
def test_a_lost_job_names_what_ended_it(told: dict[str, Manifest | None], status: int, said: str) -> None:
    """The message names the signal, or the exit status, and the job."""
    asked = told["success"]
    assert asked is not None
    with pytest.raises(JobLostError, match=rf"job 'clean' .*{said}"):
        decide(asked.spec, status, None)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_our_errors_survive_the_manifest(told: dict[str, Manifest | None], kind: type[MLOpsError]) -> None:
    """Each of our errors comes out of a manifest as the class, message and retryability it went in with."""
    error = kind("view", "x", ["a", "b"]) if kind is UnknownNameError else kind("what happened")  # type: ignore[call-arg]
    failed = told["failed"]
    assert failed is not None
    stored = Manifest.model_validate_json(failed.model_copy(update={"failure": describe(error)}).model_dump_json())
    back = error_of(stored)
    assert type(back) is kind
    assert str(back) == str(error)
    assert back.retryable is error.retryable


def test_others_errors_become_ours(told: dict[str, Manifest | None]) -> None:
    """An error of the user's code is a JobError that names it; one that no retry can mend stays so."""

    class HopelessError(MLOpsError):
        retryable = False

    failed = told["failed"]
    assert failed is not None
    for error, retryable in ((OSError("no room"), True), (KeyError("amount"), False), (HopelessError("never"), False)):
        back = error_of(failed.model_copy(update={"failure": describe(error)}))
        assert type(back) is JobError
        assert str(back).startswith(f"{type(error).__name__}: {error}")
        assert back.retryable is retryable
    assert "does not say why" in str(error_of(failed.model_copy(update={"failure": None})))


def test_a_failure_is_bounded() -> None:
    """A message of megabytes does not end up in the manifest whole."""
    failure = describe(ValueError("x" * 5_000_000))
    assert len(failure.message) == 4000
    assert len(failure.traceback) <= 4000


# --- the local process ------------------------------------------------------------------------------------------------


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
