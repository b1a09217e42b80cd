"""Worlds in which the DAGs of the pages run: an Airflow with what an example expects to be there."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from multiprocessing import get_context
from pathlib import Path
from shutil import copy
from typing import Protocol

from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository
from airflow_mlops_provider.lifecycle.monitoring.limits import Judgement, Observation
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import judge
from tests.factories import ci, feast_repository, forge, gx_context, prometheus, rain, redis, searches, trips
from tests.factories.kube.world import KubeWorld
from tests.factories.ports import free_port

#: The pipelines that bring the loop to rest, and the logical dates of those that work on an interval.
LOOP = (
    ("feature_engineering", "2013-01-01"),
    ("feature_engineering", "2014-01-01"),
    *((pipeline, None) for pipeline in ("training", "deployment", "batch_inference", "monitoring")),
)


class World(Protocol):
    """What an example needs around it."""

    def run(self, file: Path, dag_id: str, date: str | None) -> dict[str, str]:
        """Run a DAG of a file for a logical date, and return each task's state."""

    def leave(self) -> None:
        """End what was started."""


class Rain:
    """The small product of the tests after two years of days: learned, served, predicted and judged."""

    def __init__(self, home: Path, folder: Path) -> None:
        for number in (2012, 2013):
            rain.deliver(folder / "landing", rain.year(number))
        self.root, port = str(folder / "artifacts"), free_port()
        rain.answer(self.root)
        self.airflow = airflow_process(
            home,
            AIRFLOW__MLOPS__ARTIFACT_ROOT=self.root,
            AIRFLOW__MLOPS__LANDING_ROOT=str(folder / "landing"),
            AIRFLOW__MLOPS__PRODUCTS_FOLDERS=str(rain.PRODUCTS),
            AIRFLOW__MLOPS__SERVING_PORT=str(port),
            AIRFLOW_CONN_RAIN_SERVER=json.dumps({"conn_type": "mlops_model_server", "host": "127.0.0.1", "port": port}),
            PYTHONPATH=str(rain.PRODUCTS),
        )
        for pipeline, date in LOOP:
            states = self.run(rain.DAGS / f"{pipeline}.py", f"{rain.NAME}_{pipeline}", date)
            undone = {task for task, state in states.items() if state != "success"}
            assert undone <= {"features.remake_stale"}, (pipeline, states)  # nothing is stale

    def run(self, file: Path, dag_id: str, date: str | None) -> dict[str, str]:
        return self.airflow.submit(run_dag, file, dag_id, date).result()

    def leave(self) -> None:
        from airflow_mlops_provider.backends.model_server import launcher

        self.airflow.shutdown()
        launcher.stop(rain.NAME, self.root)


class Lake:
    """An Airflow with a team's tables in the folder ``lake`` of where it runs, and a git remote of the team's."""

    def __init__(self, home: Path, folder: Path) -> None:
        trips.deliver(folder / "lake")
        searches.deliver(folder / "lake")
        gx_context.deliver(folder / "lake" / "gx")
        (folder / "lake" / "days" / "2026-03-01").mkdir(parents=True)
        (folder / "lake" / "days" / "2026-03-01" / "_SUCCESS").touch()
        seen = Observation(interval=rain.year(2013), version=1, drift_share=0.6, prediction_drift=0.1)
        crossed = Judgement(observation=seen, crossed=("60 % of inputs drifted",), predictions="p", features="f")
        judge(FolderStore(folder / "artifacts"), "eta", crossed)
        remote = forge.bare(forge.repository(folder / "checkout", {"README.md": "Models."}), folder / "remote.git")
        source = {"conn_type": "mlops_source", "extra": {"remote": str(remote), "path": "models/{product}"}}
        self.airflow = airflow_process(
            home,
            AIRFLOW__MLOPS__ARTIFACT_ROOT=str(folder / "artifacts"),
            AIRFLOW__MLOPS__LANDING_ROOT=str(folder),
            AIRFLOW_CONN_MLOPS_SOURCE=json.dumps(source),
        )
        self.airflow.submit(os.chdir, folder).result()

    def run(self, file: Path, dag_id: str, date: str | None) -> dict[str, str]:
        return self.airflow.submit(run_dag, file, dag_id, date).result()

    def leave(self) -> None:
        self.airflow.shutdown()


class Shops(Lake):
    """A team's Airflow with a Feast repository and a warehouse, and no product."""

    def __init__(self, home: Path, folder: Path) -> None:
        repository = feast_repository.shops(folder / "shops")
        FeastRepository(repository).apply()
        feast_repository.refresh(repository)
        with closing(sqlite3.connect(folder / "warehouse.db")) as warehouse:
            warehouse.executescript(feast_repository.WAREHOUSE)
        feast = {"conn_type": "feast", "extra": {"repository": str(repository)}}
        self.airflow = airflow_process(
            home,
            AIRFLOW__MLOPS__ARTIFACT_ROOT=str(folder / "artifacts"),
            AIRFLOW_CONN_FEAST_PROD=json.dumps(feast),
            AIRFLOW_CONN_WAREHOUSE=json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")}),
        )


class Cluster(Lake):
    """A team's Airflow with a Kubernetes cluster."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.kube = KubeWorld(folder)
        connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(self.kube.config)}}
        self.airflow = airflow_process(
            home,
            AIRFLOW__MLOPS__ARTIFACT_ROOT=str(folder / "artifacts"),
            AIRFLOW__MLOPS__INSTALLATION="pages",
            AIRFLOW_CONN_KUBERNETES_DEFAULT=json.dumps(connection),
        )

    def leave(self) -> None:
        super().leave()
        self.kube.close()


class Till(Lake):
    """An Airflow beside a Redis, to whose stream ``sales`` somebody has added."""

    def __init__(self, home: Path, folder: Path) -> None:
        from redis import Redis

        self.stack = ExitStack()
        port = self.stack.enter_context(redis.server(folder))
        with Redis(port=port, password=redis.PASSWORD) as client:
            client.xadd("sales", {"sale": '{"shop": "north", "amount": 1.5, "at": "2026-03-01T08:00:00Z"}'})
        connection = {"conn_type": "redis", "host": "127.0.0.1", "port": port, "password": redis.PASSWORD}
        self.airflow = airflow_process(
            home, AIRFLOW__MLOPS__ARTIFACT_ROOT=str(folder / "artifacts"), AIRFLOW_CONN_TILL=json.dumps(connection)
        )

    def leave(self) -> None:
        super().leave()
        self.stack.close()


class Metrics(Lake):
    """An Airflow beside a Prometheus."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.stack = ExitStack()
        port = self.stack.enter_context(prometheus.server(folder))
        connection = {"conn_type": "prometheus", "host": "127.0.0.1", "port": port}
        self.airflow = airflow_process(home, AIRFLOW_CONN_PROMETHEUS_PROD=json.dumps(connection), no_proxy="127.0.0.1")

    def leave(self) -> None:
        super().leave()
        self.stack.close()


class Build(Lake):
    """An Airflow beside a team's CI, whose runs are green at once."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.stack = ExitStack()
        host = self.stack.enter_context(ci.CIWorld("github", ends=True))
        self.airflow = airflow_process(
            home, AIRFLOW_CONN_MLOPS_CI=json.dumps(host.connection()), no_proxy="127.0.0.1,localhost"
        )

    def leave(self) -> None:
        super().leave()
        self.stack.close()


#: By the name that a page's comment ``<!-- run: name date -->`` says: what makes it of an Airflow home and a folder.
WORLDS: dict[str, Callable[[Path, Path], World]] = {
    "rain": Rain,
    "lake": Lake,
    "shops": Shops,
    "cluster": Cluster,
    "metrics": Metrics,
    "till": Till,
    "build": Build,
}


def airflow_process(home: Path, **env: str) -> ProcessPoolExecutor:
    """Return a process with an Airflow of its own, that of a home. One, since importing it takes most of the time.

    :param env: further environment variables.
    """
    database = {"AIRFLOW_HOME": str(home), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db"}
    return ProcessPoolExecutor(1, get_context("spawn"), surround, ({**database, **env},))


def surround(env: dict[str, str]) -> None:
    """Set a process's environment, before it imports Airflow."""
    os.environ.update(env)


def run_dag(file: Path, dag_id: str, date: str | None) -> dict[str, str]:
    """Run a file's DAG in this process, as ``airflow dags test`` does, and return each task's state."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.timezone import parse

    dags = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    dags.mkdir(exist_ok=True)
    parsed = Path(copy(file, dags))
    try:
        run = DagBag(str(parsed)).dags[dag_id].test(logical_date=parse(date) if date else None)
    finally:
        parsed.unlink()
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
