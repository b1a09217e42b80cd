"""An artifact root as a replay leaves it, but for the work: real manifests and ledger, invented figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Failure, Manifest, Output
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Reference, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, Evaluation
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime.definition import all_jobs
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import declare

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
HTML = b"<!doctype html><title>report</title><p id='drawn'></p><script>drawn.textContent = 'drawn'</script>"


def hashed(*parts: Any) -> str:
    """Return a digest that stands for some content."""
    return sha256(repr(parts).encode()).hexdigest()


class World:
    """Writes what jobs would have left, one after another, a minute apart.

    :param root: the folder of the artifact root.
    """

    def __init__(self, root: Path, product: MLProduct) -> None:
        self.store, self.product, self.now = FolderStore(root), product, START
        declare(self.store, product)
        self.ledger = Ledger(self.store, product.name)

    def folder(self, job: str, *what: Any) -> str:
        """Return the URI of the folder in which a job's manifest lies."""
        return f"{self.store.uri}/{self._key(job, *what)}"

    def job(
        self,
        job: str,
        *what: Any,
        kind: type[Reference] = Dataset,
        month: int | None = None,
        failure: Failure | None = None,
        outputs: tuple[Output, ...] = (),
        dag_id: str = "made_here",
        **fields: Any,
    ) -> Any:
        """Leave one manifest, with the page that its report names, and return its result."""
        self.now += timedelta(minutes=1)
        key, interval = self._key(job, *what), months(month)
        address, content = hashed(job, *what), hashed("content", job, *what)
        fields = {"uri": f"{self.store.uri}/{key}/{content[:16]}", "hash": content, **fields}
        result = kind(**fields) if not failure else None
        if isinstance(result, Report) and result.page:
            self.store.write(f"{key}/{content[:16]}/{result.page}", HTML)
        manifest = Manifest(
            state="failed" if failure else "success",
            spec=JobSpec(
                job=job,
                product=self.product.name,
                interval=interval,
                root=self.store.uri,
                services=Services(landing="landing", mlflow="sqlite://"),
                run=RunIdentity(dag_id=dag_id, run_id="one", task_id=job),
            ),
            address=address,
            stage=all_jobs()[job].stage.value if job in all_jobs() else "",
            result=result,
            outputs=outputs,
            failure=failure,
            started=self.now - timedelta(seconds=4.2),
            ended=self.now,
        )
        self.store.write(f"{key}/manifest.json", manifest.model_dump_json().encode())
        return result

    def version(self, number: int, cause: str, why: str, value: float, gain: float | None = None) -> ModelVersion:
        """Train, evaluate and register a version, and leave it registered."""
        model = self.job("train", number, kind=Model)
        evaluation = Evaluation(
            metric=self.product.metric.name,
            window=str(months(number)),
            rows=26000,
            challenger=around(value),
            baseline=around(0.63),
            champion=around(value - gain) if gain else None,
            champion_version=number - 1 if gain else None,
            gain=around(gain, 0.003) if gain else None,
        )
        facts = {"evaluation": evaluation.to_json(), "model": model.hash}
        self.job("evaluate", number, kind=Report, passed=True, page="evaluation.html", facts=facts)
        version = ModelVersion(
            uri=model.uri, hash=model.hash, name=self.product.name, version=number, facts={"cause": cause}
        )
        self.job("register", number, kind=Dataset)
        self.move(version, Status.REGISTERED, f"trained because: {why}")
        return version

    def move(self, version: ModelVersion, status: Status, reason: str) -> None:
        """Enter one move into the ledger."""
        self.ledger.move(version, status, reason=reason, by="made_here/one/promote")

    def go_live(self, version: ModelVersion, reason: str, before: ModelVersion | None = None) -> None:
        """Take a version through the gates and into production."""
        self.move(version, Status.STAGING, "its training data met all 83 expectations")
        self.move(version, Status.PRODUCTION_READY, reason)
        self.job("promote", version.version)
        self.move(version, Status.LIVE, "http://127.0.0.1:8900 answers with it")
        if before:
            self.move(before, Status.RETIRED, f"version {version.version} took over")
        self.job("deploy", version.version)

    def features(self, month: int) -> None:
        """Bring in one interval of data."""
        for job in ("extract", "clean", "compute", "load"):
            self.job(job, month, month=month)
        self.job("validate", month, kind=Report, month=month, passed=True, page="flights/validation.html")

    def monitored(self, month: int, version: int, share: float, moved: float, value: float | None) -> None:
        """Predict an interval and judge it."""
        self.job("predict", month, month=month)
        facts = {"share": share, "prediction": moved, "drifted": [], "version": version}
        held = share < self.product.monitoring.drift_share
        self.job("drift", month, kind=Report, month=month, passed=held, page="drift.html", facts=facts)
        worth = {"hits": 2400, "false_alarms": 1900, "amount": 606000.0, "currency": "USD"}
        metric = around(value).to_json() if value else None
        seen = {"metric": metric, "value": worth, "arrived": 25000, "pending": 1200}
        self.job("performance", month, kind=Report, month=month, passed=True, page="performance.html", facts=seen)

    def _key(self, job: str, *what: Any) -> str:
        return f"{self.product.name}/{job}/{hashed(job, *what)[:32]}"


def around(value: float, half: float = 0.009) -> Estimate:
    """Return an estimate with an interval of some width."""
    return Estimate(value=value, low=value - half, high=value + half)


def months(number: int | None) -> Interval | None:
    """Return a month of 2013, counted from 1."""
    if number is None:
        return None
    year, month = 2013 + number // 12, number % 12 + 1
    return Interval(start=datetime(2013, number, 1, tzinfo=UTC), end=datetime(year, month, 1, tzinfo=UTC))


def replayed(root: Path, product: MLProduct) -> World:
    """Return eight months of a replay: three versions, one of them rejected, drift in summer."""
    world = World(root, product)
    for month in (1, 2, 3):
        world.features(month)
    world.job("training_set", 1)
    world.job("conclude", 1, kind=Report, passed=True, page="search.html")
    first = world.version(1, "new_features", "3 new intervals of features since the start", 0.7412)
    world.go_live(first, "roc_auc 0.7412 [0.7322, 0.7502] over baseline 0.6300; there is no champion yet")
    for month, share, moved, value in ((4, 0.35, 0.05, 0.731), (5, 0.48, 0.09, 0.724), (6, 0.65, 0.21, 0.689)):
        world.features(month)
        world.monitored(month, 1, share, moved, value)
    second = world.version(2, "drift", "65% of the model's inputs drifted, limit 60%", 0.7631, 0.0147)
    world.go_live(second, "roc_auc 0.7631 [0.7541, 0.7721], gain 0.0147 over champion v1", before=first)
    world.features(7)
    world.monitored(7, 2, 0.41, 0.06, 0.752)
    third = world.version(3, "new_features", "3 new intervals of features since v2", 0.7533, -0.0098)
    world.move(third, Status.STAGING, "its training data met all 83 expectations")
    world.move(third, Status.REJECTED, "gain -0.0098 [-0.0128, -0.0068] over champion v2 is below -0.005")
    world.features(8)
    world.monitored(8, 2, 0.44, 0.08, None)
    return world
