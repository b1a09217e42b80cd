"""A product's jobs on sample deliveries, in an artifact root of their own: from a delivery to a served version."""

from __future__ import annotations

import logging
import socket
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow_mlops_provider import discovery
from airflow_mlops_provider.backends.model_server import launcher
from airflow_mlops_provider.exceptions import DataValidationError, SourceError, TransitionError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.deployment import Deployment
from airflow_mlops_provider.lifecycle.release.registry import Status, live_version
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, leading_to, truth_since
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import declare

#: A sample begins with one of the schedule's first intervals.
FIRST = 1000
log = logging.getLogger("mlops.check")


class Sample:
    """What the steps of a product make, each once.

    :param landing: the root of the sample deliveries.
    :param work: a folder for the artifact root; what lies there is found again.
    """

    def __init__(self, product: MLProduct, landing: str, work: Path) -> None:
        # Nobody is asked here, and no caller is there whose calls a candidate could be judged by.
        self.product = product.model_copy(update={"deployment": Deployment()})
        self.root = str(work / "artifacts")
        self.store = open_store(self.root)
        self.figures = ""
        self._services = Services(landing=landing, mlflow=f"sqlite:///{self.root}/mlflow.db")

    def job(self, name: str, interval: Interval | None = None, params: Any = None, **inputs: Any) -> Any:
        """Run a job in a process of its own and return its result. :raises MLOpsError: if it fails."""
        declare(self.store, self.product)
        spec = JobSpec(
            job=name,
            product=self.product.name,
            interval=interval,
            inputs=inputs,
            **find_job(name).parts_of(self.product, params or {}),
            root=self.root,
            services=self._services,
            run=RunIdentity(dag_id="check", run_id=str(interval or "all"), task_id=name),
        )
        return LocalProcess().run(spec, {}, log).result

    @cached_property
    def intervals(self) -> list[Interval]:
        """The sample's first intervals, as many as a training takes. :raises SourceError: if there are fewer."""
        from airflow_mlops_provider.backends.tables.landing import Landing, reachable

        windows = self.product.training.windows
        landing, needed = Landing(self._services.landing, {}), windows.train + windows.evaluate
        files = [source for source in self.product.data.sources if source.path]
        with reachable(landing.uri):
            delivered = [
                interval
                for interval in discovery.intervals(self.product, FIRST)
                if not any(landing.pending(source.delivery(interval), 0.0) for source in files)
            ][:needed]
        if len(delivered) < needed:
            what = f"{len(delivered)} of the {needed} intervals that a training takes are delivered"
            raise SourceError(f"{what} below {landing.uri}, from {self.product.schedule.start:%F} on")
        return delivered

    @cached_property
    def features(self) -> list[Dataset]:
        """The features of each interval, loaded; raw data met their expectations, and no feature used hindsight."""
        return [self._features(interval) for interval in self.intervals]

    def _features(self, interval: Interval) -> Dataset:
        raw = self.job("extract", interval)
        _require(self.job("validate", interval, {"what": "raw"}, dataset=raw))
        self.job("clean", interval, raw=raw)
        known = current(self.store, self.product.name, "clean")
        lookback = self.product.features.lookback + 1
        features: Dataset = self.job("compute", interval, clean=leading_to(known, interval, lookback))
        self.job("load", interval, features=features)
        return features

    @cached_property
    def version(self) -> ModelVersion:
        """The registered version, through the product's gates. :raises TransitionError: with those that it failed."""
        features, product = tuple(self.features), self.product
        known = current(self.store, product.name, "clean")
        truth = truth_since(known, product.label, self.intervals[0])
        learned: dict[str, Any] = {"features": features, **({"truth": truth} if truth else {})}
        data = self.job("training_set", None, {"evaluate": product.training.windows.evaluate}, **learned)
        valid = self.job("validate", None, {"what": "training"}, dataset=data)
        model = self.job("train", training_set=data)
        live = live_version(Ledger(self.store, product.name).entries())
        against: dict[str, Any] = {"champion": live} if live else {}
        evaluation = self.job("evaluate", model=model, training_set=data, **against)
        why = {"cause": "first", "reason": "a check"}
        version = self.job("register", None, why, model=model, evaluation=evaluation)
        promoted: ModelVersion = self.job("promote", version=version, validation=valid, evaluation=evaluation)
        if promoted.facts["status"] == Status.REJECTED:
            raise TransitionError(promoted.facts["reason"])
        self.figures = judged(evaluation)
        return promoted

    def served(self, rows: int) -> int:
        """Serve the version, hold its answers against batch prediction, and return for how many rows they agree."""
        from airflow_mlops_provider.cli.delivery.answers import compare

        features, version = self.features[-1], self.version
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        try:
            live = self.job("deploy", None, {"port": port}, version=version)
            return compare(self.product.scoring, Path(self.root), live, features, rows)
        finally:
            launcher.stop(self.product.name, self.root)


def judged(evaluation: Report) -> str:
    """Return in a few words how good a model is, and how good no model would be."""
    figures = evaluation.facts["evaluation"]
    values = (figures[who]["value"] for who in ("challenger", "baseline"))
    return "{} {:.4f}, naive baseline {:.4f}".format(figures["metric"], *values)


def _require(report: Report) -> None:
    if not report.passed:
        raise DataValidationError("; ".join(report.broken))
