"""``airflow mlops doctor`` on a real installation: switching off a component turns exactly its rows red.

Airflow, MLflow, Prometheus, the model server and the git remote are real; the cluster is the API of the pods' tests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.demo.watch import Watch
from airflow_mlops_provider.lifecycle.maturity.rows import ROWS
from tests.factories import forge, prometheus
from tests.factories.kube.world import KubeWorld
from tests.factories.mlflow import mlflow_server
from tests.factories.ports import free_port
from tests.factories.rain import DAGS, NAME, PRODUCTS, deliver, year
from tests.factories.stack import restart

ALL = "MLOPS_TEST_DOCTOR"
pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not os.environ.get(ALL), reason=f"{ALL}=1 has each component switched off"),
]
SECRET = "hunter2-and-more"
PIPELINE = "on: [push]\njobs:\n  test:\n    runs-on: any\n    steps: [{run: pytest}]\n"
#: What two years of days and one question over REST can show.
GREEN = "P4 C2 C3 C4 C6 C7 C8 R1 R2 R5 R7 1 2 3 4 5 8 10 11 12 14 18 19 20 22 23 24 O1 O2 O3 O6 O7"
#: Which rows are about a component that is switched off, and how; no other row may turn red.
OFF = {
    "CI/CD, its file broken": "P1 C1 17",
    "CI/CD, its file gone": "P1 C1 17 R2",  # the stack decision names one, and there is none any more
    "source repository": "P1 P3 P5 C2 R3 6 7 17",
    "scheduler": "P2 P6 P9 C3 R7 28 O6",
    "a DAG file that can't be read": "P2 P6 P9 C3 R7 28 O6",
    "feature store, online": "C4 C8 R4 12 13 18 25",
    "feature store, offline": "C4 C8 R4 12 13 18 25",
    "training place": "P6 C5 15 20 21 O5",
    "model registry": "C6 23 24 O7",
    "metadata store": "P3 P4 P7 C7 23 O7",
    "serving": "C8 R6 24 25",
    "monitoring pipeline": "P8 P9 C9 R1 26 27 O1",
    "metrics server": "P8 C9 26",
}


@dataclass
class Installation:
    """A product in its repository, and what it runs on."""

    stack: Stack
    folder: Path
    kube: KubeWorld
    mlflow: str
    prometheus: int

    @property
    def code(self) -> Path:
        return self.folder / "code"

    @property
    def records(self) -> Path:
        return self.folder / "artifacts" / NAME

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.stack.env['AIRFLOW__MLOPS__SERVING_PORT']}"

    def doctor(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command, with trainings at the cluster."""
        env = {**self.stack.env, "AIRFLOW__MLOPS__DEFAULT_PLACE": "pods", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "airflow", "mlops", "doctor", *options]
        return subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=False)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return what each row comes to."""
        done = self.doctor("--json")
        assert "Traceback" not in done.stderr, done.stderr
        rows = {row["id"]: row for row in json.loads(done.stdout)}
        assert done.returncode == (1 if reds(rows) else 0), done.stderr
        return rows

    def pause(self, *, paused: bool) -> None:
        """Switch the pipeline that watches off, or on."""
        self.stack.api.call("PATCH", f"dags/{NAME}_monitoring", body={"is_paused": paused})

    def until(self, holds: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for something of Airflow's."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.5)


def reds(rows: dict[str, dict[str, Any]]) -> set[str]:
    """Return the ids of the rows that are red."""
    return {name for name, row in rows.items() if row["light"] == "red"}


@pytest.fixture(scope="module")
def installation(
    stack_factory: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Two years of days through the whole loop, on services that are no embedded defaults."""
    folder = tmp_path_factory.mktemp("installation")
    code = forge.repository(folder / "code", {".github/workflows/ci.yml": PIPELINE})
    shutil.copytree(PRODUCTS / NAME, code / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    for file in DAGS.glob("*.py"):
        shutil.copy(file, code)
    forge.git(code, "add", ".")
    forge.git(code, "commit", "--quiet", "--message", "The product and its pipelines")
    forge.bare(code, folder / "remote.git")
    with ExitStack() as services:
        (folder / "mlflow").mkdir()
        (folder / "prometheus").mkdir()
        mlflow = services.enter_context(mlflow_server(folder / "mlflow"))
        metrics = services.enter_context(prometheus.server(folder / "prometheus"))
        kube = KubeWorld(folder)
        services.callback(kube.close)
        stack = stack_factory(code, env=settings(folder, mlflow, metrics, kube))
        there = Installation(stack, folder, kube, mlflow, metrics)
        watch = Watch(stack, NAME, print)
        for numbers in ((2012, 2013), (2014,)):  # the last is predicted by the model that the others have brought
            for number in numbers:
                deliver(folder / "landing", year(number))
            watch.until_rest(year(numbers[-1]).start, timeout=600)
        ask(there)
        describe_stack(there)
        yield there


def settings(folder: Path, mlflow: str, metrics: int, kube: KubeWorld) -> dict[str, str]:
    """Return what the installation is configured with."""
    host, _, port = mlflow.removeprefix("http://").partition(":")
    credentials = {"login": "somebody", "password": SECRET}
    connections = {
        "MLOPS_MLFLOW": {"conn_type": "mlflow", "host": host, "port": int(port), **credentials},
        "MLOPS_PROMETHEUS": {"conn_type": "prometheus", "host": "127.0.0.1", "port": metrics, **credentials},
        "MLOPS_SOURCE": {"conn_type": "mlops_source", "extra": {"remote": f"{folder}/remote.git", "path": "{product}"}},
        "KUBERNETES_DEFAULT": {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kube.config)}},
    }
    options = {
        "MLOPS__ARTIFACT_ROOT": str(folder / "artifacts"),
        "MLOPS__LANDING_ROOT": str(folder / "landing"),
        "MLOPS__POKE_SECONDS": "1",
        "MLOPS__SERVING_PORT": str(free_port()),
        "MLOPS__PLACES": json.dumps({"pods": {"kind": "kubernetes_pod", "image": "trainer:1"}}),
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    }
    return {
        **{f"AIRFLOW__{name}": value for name, value in options.items()},
        **{f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections.items()},
    }


def ask(there: Installation) -> None:
    """Ask the model server with the last features of the year, by which batch has predicted its last day."""
    body = {"rows": [{"station": "Seattle", "month": 1, "event_time": "2015-01-01T00:00:00Z"}]}
    request = urllib.request.Request(f"{there.server}/predict", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def describe_stack(there: Installation) -> None:
    """Write the stack that is there, and a reason for each part."""
    done = there.doctor("--write")
    assert done.returncode == 0, done.stderr
    file = there.code / "stack.toml"
    file.write_text(file.read_text().replace('why = ""', 'why = "for the test"'))


# --- how each is switched off, and on again


@contextmanager
def moved(*files: Path) -> Iterator[None]:
    """Take files or folders away."""
    for file in files:
        file.rename(file.with_name(f"{file.name}.away"))
    yield
    for file in files:
        file.with_name(f"{file.name}.away").rename(file)


@contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    """Write something else into a file."""
    before = file.read_text()
    file.write_text(text)
    yield
    file.write_text(before)


@contextmanager
def frozen(port: int) -> Iterator[None]:
    """Let whatever listens at a port answer nobody: it hangs, which is worse than being gone."""
    connections = [known for known in psutil.net_connections("tcp") if known.laddr and known.laddr.port == port]
    pids = {known.pid for known in connections if known.status == psutil.CONN_LISTEN and known.pid}
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def without_scheduler(there: Installation) -> Iterator[None]:
    """Stop the scheduler, and wait until its silence shows."""
    process = there.stack._started["scheduler"].process()
    assert process
    process.kill()
    there.until(lambda: there.stack.api.health()["scheduler"]["status"] == "unhealthy")
    yield
    restart(there.stack, "scheduler", timeout=120)


@contextmanager
def with_broken_dag(there: Installation) -> Iterator[None]:
    """Add a DAG file that can't be read."""
    broken = there.code / "broken.py"
    broken.write_text("from airflow.sdk import DAG\nimport nowhere\n")
    errors = lambda: there.stack.api.get("importErrors")["import_errors"]  # noqa: E731
    there.until(lambda: bool(errors()))
    yield
    broken.unlink()
    there.until(lambda: not errors())


@contextmanager
def cluster_down(there: Installation) -> Iterator[None]:
    """Take the cluster's API away."""
    there.kube.down()
    yield
    there.kube.up()


@contextmanager
def paused(there: Installation) -> Iterator[None]:
    """Pause the pipeline that watches."""
    there.pause(paused=True)
    yield
    there.pause(paused=False)


SWITCHES: dict[str, Callable[[Installation], AbstractContextManager[None]]] = {
    "CI/CD, its file broken": lambda there: changed(there.code / ".github/workflows/ci.yml", "on: [push\n"),
    "CI/CD, its file gone": lambda there: moved(there.code / ".github"),
    "source repository": lambda there: moved(there.folder / "remote.git"),
    "scheduler": without_scheduler,
    "a DAG file that can't be read": with_broken_dag,
    "feature store, online": lambda there: moved(there.records / "feast" / "online.db"),
    "feature store, offline": lambda there: moved(there.records / "feast" / "offline"),
    "training place": cluster_down,
    "model registry": lambda there: frozen(int(there.mlflow.rpartition(":")[2])),
    "metadata store": lambda there: moved(*there.records.rglob("manifest.json")),
    "serving": lambda there: frozen(int(there.server.rpartition(":")[2])),
    "monitoring pipeline": paused,
    "metrics server": lambda there: frozen(there.prometheus),
}


def test_every_row_is_shown_and_none_is_red(installation: Installation) -> None:
    """With all on, each row has its evidence, and a next step where it is not green."""
    rows = installation.rows()
    assert list(rows) == [row.id for row in ROWS]
    assert reds(rows) == set(), [rows[name] for name in reds(rows)]
    assert all(row["evidence"] for row in rows.values())
    assert all(row["next"] for row in rows.values() if row["light"] == "yellow")
    green = {name for name, row in rows.items() if row["light"] == "green"}
    assert green == set(GREEN.split()), [rows[name] for name in green ^ set(GREEN.split())]
    assert {name for name, row in rows.items() if row["light"] == "grey"} == {"O4", "O8"}


@pytest.mark.parametrize("component", OFF)
def test_switching_a_component_off_turns_exactly_its_rows_red(installation: Installation, component: str) -> None:
    """Those that speak of it, each with what is wrong; no other."""
    with SWITCHES[component](installation):
        rows = installation.rows()
    assert reds(rows) == set(OFF[component].split()), [rows[name] for name in reds(rows)]
    assert all(rows[name]["next"] for name in reds(rows))


def test_a_look_changes_nothing_and_shows_no_secret(installation: Installation, tmp_path: Path) -> None:
    """Artifact root, landing and code are as before; the page and the table have no password in them."""
    watched = [installation.folder / name for name in ("artifacts", "landing", "code", "remote.git")]
    files = [file for folder in watched for file in folder.rglob("*") if file.is_file()]
    before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in files}
    done = installation.doctor("--html", str(tmp_path / "doctor.html"), "--product", NAME)
    after = [file for folder in watched for file in folder.rglob("*") if file.is_file()]
    assert {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in after} == before
    page = (tmp_path / "doctor.html").read_text()
    assert SECRET not in done.stdout + done.stderr + page
    assert all(f"<td class=''>{row.id}</td>" in page or f"<td>{row.id}</td>" in page for row in ROWS)
    assert "0 red" in done.stdout
    assert "0 red" in page


def test_a_stack_that_is_there_is_not_overwritten(installation: Installation) -> None:
    """Its reasons are a person's."""
    before = (installation.code / "stack.toml").read_text()
    done = installation.doctor("--write")
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert (installation.code / "stack.toml").read_text() == before
