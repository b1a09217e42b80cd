"""What the pages tell, read from manifests and ledger: nothing is asked of the product's code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import ValidationError

from airflow_mlops_provider.backends.change_requests import ChangeRequests
from airflow_mlops_provider.backends.ledger import Ledger
from airflow_mlops_provider.jobs.catalogue import JOBS
from airflow_mlops_provider.jobs.declarations import declared
from airflow_mlops_provider.jobs.intervals import Store
from airflow_mlops_provider.jobs.manifests import read_manifest
from airflow_mlops_provider.lifecycle import feedback
from airflow_mlops_provider.lifecycle.gates import Evaluation
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.registry import LedgerEntry, Status
from airflow_mlops_provider.lifecycle.stages import STAGES, Stage

log = logging.getLogger("mlops.records")
Meant = TypeVar("Meant")
State = Literal["done", "attention", "failed", "never"]
#: Feedback has no job: it is decided, by the product's limits, from what the two monitoring jobs saw.
STAGE_JOBS: dict[str, tuple[str, ...]] = {
    Stage.FEATURES.value: ("extract", "clean", "compute", "load", "training_set"),
    Stage.VALIDATION.value: ("validate",),
    Stage.EXPERIMENTATION.value: ("search", "trial", "conclude", "export_settings"),
    Stage.TRAINING.value: ("train",),
    Stage.EVALUATION.value: ("evaluate", "retune"),
    Stage.REGISTRY.value: ("register", "promote"),
    Stage.DEPLOYMENT.value: ("deploy",),
    Stage.SERVING.value: ("predict",),
    Stage.MONITORING.value: ("drift", "performance"),
    Stage.FEEDBACK.value: (),
}


@dataclass(frozen=True)
class StageState:
    """How a stage's latest job went; ``manifest`` is None if none has ended yet."""

    stage: str
    state: State
    text: str
    manifest: Manifest | None = None


@dataclass(frozen=True)
class Version:
    """A model version: where it stands and since when, why it exists, and how it compared."""

    number: int
    status: Status
    cause: str
    moves: tuple[LedgerEntry, ...]
    evaluation: Evaluation | None
    report: Report | None


@dataclass(frozen=True)
class Seen:
    """What monitoring saw of one data interval; None for a judgement that is still to come."""

    interval: Interval
    drift: Report | None
    performance: Report | None
    crossed: tuple[str, ...]


@dataclass(frozen=True)
class ProductRecord:
    """One product with all that is known of it.

    :param root: the artifact root's URI.
    :param manifests: by job, each in the order in which they ended.
    :param requests: what is asked of data engineering and waits for an answer.
    """

    product: MLProduct
    root: str
    manifests: dict[str, list[Manifest]]
    entries: list[LedgerEntry]
    requests: tuple[feedback.DataChangeRequest, ...] = ()

    def stages(self) -> list[StageState]:
        """Return the loop's stages, in order."""
        return [self._feedback() if not STAGE_JOBS[name] else self._stage(name) for name in STAGES]

    def versions(self) -> list[Version]:
        """Return the model versions, newest first."""
        moves: dict[int, list[LedgerEntry]] = {}
        for entry in self.entries:
            moves.setdefault(entry.version.version, []).append(entry)
        return [self._version(number, tuple(moves[number])) for number in sorted(moves, reverse=True)]

    def seen(self) -> list[Seen]:
        """Return what monitoring saw, oldest interval first."""
        drift, performance = self._by_interval("drift"), self._by_interval("performance")
        return [
            Seen(one, drift.get(one), performance.get(one), self._crossed(one, drift.get(one), performance.get(one)))
            for one in sorted({*drift, *performance}, key=lambda interval: interval.start)
        ]

    def latest(self) -> datetime | None:
        """Return when the last of its jobs ended."""
        return max((found[-1].ended for found in self.manifests.values() if found), default=None)

    def _stage(self, name: str) -> StageState:
        ended = sorted((one for job in STAGE_JOBS[name] for one in self.manifests[job]), key=lambda one: one.ended)
        if not ended:
            return StageState(name, "never", "not yet")
        last = ended[-1]
        if last.failure:
            return StageState(name, "failed", f"{last.spec.job}: {last.failure.error}", last)
        broken = isinstance(last.result, Report) and not last.result.passed
        return StageState(name, "attention" if broken else "done", last.spec.job.replace("_", " "), last)

    def _feedback(self) -> StageState:
        seen = [one for one in self.seen() if one.drift]
        if not seen:
            return StageState(Stage.FEEDBACK.value, "never", "not yet")
        crossed = len(seen[-1].crossed)
        text = f"{crossed} limit{'s' * (crossed > 1)} crossed" if crossed else "all limits held"
        return StageState(Stage.FEEDBACK.value, "attention" if crossed else "done", text)

    def _version(self, number: int, moves: tuple[LedgerEntry, ...]) -> Version:
        last = moves[-1]
        reports = [one.result for one in self.manifests["evaluate"] if isinstance(one.result, Report)]
        report = next((one for one in reversed(reports) if one.facts.get("model") == last.version.hash), None)
        evaluation = understood(lambda: Evaluation.model_validate(report.facts["evaluation"])) if report else None
        return Version(number, last.status, str(last.version.facts.get("cause") or ""), moves, evaluation, report)

    def _by_interval(self, job: str) -> dict[Interval, Report]:
        found = self.manifests[job]
        return {m.spec.interval: m.result for m in found if m.spec.interval and isinstance(m.result, Report)}

    def _crossed(self, interval: Interval, drift: Report | None, performance: Report | None) -> tuple[str, ...]:
        if drift is None:
            return ()
        seen = understood(lambda: _observation(interval, drift, performance))
        return feedback.crossed(seen, self.product.monitoring) if seen else ()


def _observation(interval: Interval, drift: Report, performance: Report | None) -> feedback.Observation:
    metric = performance.facts["metric"] if performance else None
    return feedback.Observation(
        interval=interval,
        version=drift.facts["version"],
        drift_share=drift.facts["share"],
        prediction_drift=drift.facts["prediction"],
        metric=metric["value"] if metric else None,
    )


def understood(read: Callable[[], Meant]) -> Meant | None:
    """Return what some facts mean; None for what another release means otherwise: the rest is shown all the same."""
    try:
        return read()
    except (KeyError, TypeError, ValidationError) as error:
        log.warning("the facts of a result are left out, they are of another release: %s", error)
        return None


def records(store: Store, may_read: Callable[[str], bool]) -> list[ProductRecord]:
    """Return the products, by name, of which at least one result may be read; other results are left out.

    :param may_read: says whether what tasks of a DAG made may be shown.
    """
    found = []
    for product in declared(store):
        manifests = {job: [one for one in _ended(store, product, job) if may_read(one.spec.run.dag_id)] for job in JOBS}
        if any(manifests.values()):
            entries = Ledger(store, product.name).entries()
            requests = ChangeRequests(store, product.name).open()
            shown = tuple(one for one in requests if may_read(one.by.partition("/")[0]))
            found.append(ProductRecord(product, store.uri, manifests, entries, shown))
    return found


def _ended(store: Store, product: MLProduct, job: str) -> list[Manifest]:
    keys = [key.rpartition("/")[0] for key in store.list(f"{product.name}/{job}") if key.endswith("/manifest.json")]
    found = [manifest for key in keys if (manifest := read_manifest(store, key))]
    return sorted(found, key=lambda manifest: manifest.ended)
