"""A tiny product with a real model server, MLflow and ledger, and deployments in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.model_server import launcher, releases
from airflow_mlops_provider.backends.model_server.client import server_state, url_of
from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion, Reference, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, Evaluation
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.storage.artifacts import content_hash, open_store
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.declared import specify
from tests.factories.serving import NAME, WATERMARK, make_model, make_product

REPOSITORY = Path(__file__).parents[2]
NOW = datetime(2024, 1, 1, tzinfo=UTC)
EVALUATION = Evaluation(
    metric="roc_auc",
    window="2024",
    rows=1000,
    challenger=Estimate(value=0.83, low=0.82, high=0.84),
    baseline=Estimate(value=0.5, low=0.5, high=0.5),
    champion=Estimate(value=0.8, low=0.79, high=0.81),
    champion_version=1,
    gain=Estimate(value=0.03, low=0.02, high=0.04),
)


class DeployWorld:
    """An artifact root whose versions passed their gates, and the one who deploys and reconciles them."""

    def __init__(self, folder: Path, port: int) -> None:
        self.code, self.root, self.port = folder / "code", folder / "root", port
        self.product = make_product(self.code)
        self.store = open_store(str(self.root))
        self.services = Services(landing=str(folder), mlflow=f"sqlite:///{self.root}/mlflow.db")
        self.ledger, self.mirror = Ledger(self.store, NAME), Mirror(self.services.mlflow, NAME)
        self.url = url_of("127.0.0.1", port)
        self._runner: subprocess.Popen[str] | None = None
        self._fill()
        self.mirror.client.create_registered_model(NAME)

    def _fill(self) -> None:
        rows = pd.DataFrame({"customer": [f"c{n}" for n in range(40)], "orders": range(40)})
        times = [datetime(2020, 1, 1, hour % 24, tzinfo=UTC) for hour in range(40)]
        rows = rows.assign(event_time=times, mean_price=np.random.default_rng(5).normal(size=40))
        features, table = (
            FeatureStoreBackend(self.product.shape, self.root / NAME / "feast"),
            self.code / "rows",
        )
        rows.to_parquet(table)
        day = Interval(start=datetime(2020, 1, 1, tzinfo=UTC), end=WATERMARK)
        features.apply()
        features.offline.load(day, {"customer": table})
        features.materialize(day)

    def ready(
        self,
        model: int = 0,
        upto: Status = Status.PRODUCTION_READY,
        make: Callable[[Path, int], None] = make_model,
    ) -> ModelVersion:
        """Make a new version of one of a few models, with the records that its promotion rests on."""
        folder = self.root / NAME / "train" / f"{model:032x}" / f"{model:016x}"
        if not folder.exists():
            make(folder, model)
        found = content_hash(folder)
        self._record("train", model, Model(uri=folder.as_uri(), hash=found))
        number = int(self.mirror.client.create_model_version(NAME, folder.as_uri()).version)
        version = ModelVersion(name=NAME, version=number, uri=folder.as_uri(), hash=found)
        report = self._report(model, found)
        for to in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY):
            evidence = {"report": report.uri, "hash": report.hash}
            self.ledger.move(version, to, reason="a test wants it", by="tests", evidence=evidence)
            if to is upto:
                break
        self.mirror.follow(self.ledger)
        return version

    def _report(self, model: int, of: str) -> Report:
        folder = self.root / NAME / "evaluate" / f"{model:032x}" / f"{model:016x}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps({"model": of}))
        facts = {"model": of, "evaluation": EVALUATION.to_json()}
        report = Report(uri=folder.as_uri(), hash=content_hash(folder), passed=True, facts=facts)
        self._record("evaluate", model, report)
        return report

    def _record(self, job: str, number: int, result: Reference) -> None:
        spec = JobSpec(job=job, product=NAME, root=str(self.root), services=self.services)
        told = Manifest(state="success", spec=spec, address=f"{number:064x}", result=result, started=NOW, ended=NOW)
        self.store.write(f"{NAME}/{job}/{number:032x}/manifest.json", told.model_dump_json().encode())

    def spec(self, job: str, who: str = "one", **params: Any) -> JobSpec:
        """Return what asks for a deployment, or for a reconciliation."""
        version = params.pop("version", None)
        return specify(
            job,
            load_product(NAME),
            {"port": self.port, **params},
            inputs={"version": version} if version else {},
            root=str(self.root),
            services=self.services,
            run=RunIdentity(dag_id="tests", run_id=who, task_id=job),
        )

    def run(self, *specs: JobSpec, die_at: str = "") -> list[int]:
        """Run jobs at once, each in a process of its own, and return their exit statuses; -9 for one that was killed.

        :param die_at: the point at which they kill themselves; ``log`` to keep a list of the points.
        """
        if self._runner is None:
            path = os.pathsep.join((str(REPOSITORY), str(self.code)))
            self._runner = subprocess.Popen(
                [sys.executable, "-m", "tests.killing.jobs_that_die", str(self.root.parent / "jobs.log")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
        assert self._runner.stdin and self._runner.stdout
        order = {"specs": [spec.model_dump_json() for spec in specs], "die_at": die_at}
        self._runner.stdin.write(json.dumps(order) + "\n")
        self._runner.stdin.flush()
        statuses: list[int] = json.loads(self._runner.stdout.readline())
        return statuses

    def points(self) -> list[str]:
        """Return the points that the last job with ``die_at="log"`` passed, in its order."""
        return (self.root.parent / "jobs.log.points").read_text().splitlines()

    def told(self, spec: JobSpec) -> Manifest:
        """Return the manifest that the last job of a name and an asker left."""
        file = self.root.parent / f"jobs.log.{spec.job}.{spec.run.run_id}.json"
        return Manifest.model_validate_json(file.read_bytes())

    def deploy(self, version: ModelVersion, **params: Any) -> Manifest:
        """Deploy a version and return the manifest."""
        spec = self.spec("deploy", version=version, **params)
        self.run(spec)
        return self.told(spec)

    def reconcile(self) -> Report:
        """Reconcile once and return the report."""
        spec = self.spec("reconcile")
        assert self.run(spec) == [0], self.told(spec).failure
        report = self.told(spec).result
        assert isinstance(report, Report)
        return report

    def truths(self) -> dict[str, Any]:
        """Return which version each of the four calls the live one."""
        pointer, live, state = releases.read_desired(self.store, NAME), self.ledger.live(), server_state(self.url)
        return {
            "server": state.version if state else None,
            "pointer": pointer.version if pointer else None,
            "ledger": live.version if live else None,
            "alias": self.mirror.read().aliases.get("champion"),
        }

    def truth(self) -> int | None:
        """Return the one version that all four call live, and make sure that there is only that one."""
        truths = self.truths()
        assert len(set(truths.values())) == 1, truths
        newest = {entry.version.version: entry.status for entry in self.ledger.entries()}
        assert [number for number, status in newest.items() if status is Status.LIVE] == [truths["ledger"]]
        assert self.mirror.read().head == self.ledger.head()
        answer: int | None = truths["server"]
        return answer

    @contextmanager
    def live(self) -> Iterator[Self]:
        """Give this world with its first version live, and end it."""
        try:
            told = self.deploy(self.ready())
            assert told.state == "success", told.failure
            yield self
        finally:
            self.close()

    def settled(self) -> Self:
        """Return this world, whatever was left of it: reconciled, and of one truth."""
        report = self.reconcile()
        assert report.passed, report.broken
        assert self.truth()
        return self

    def close(self) -> None:
        """End what runs."""
        if self._runner is not None:
            self._runner.kill()
            self._runner.communicate()
        launcher.stop(NAME, str(self.root))
