"""What the pages tell of a product: its stages, versions, runs, and what monitoring saw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Literal

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.metrics import metric_of
from airflow_mlops_provider.lifecycle.monitoring import feedback, limits
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.gates import Evaluation
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.lifecycle.stages import STAGES, Stage

State = Literal["done", "attention", "failed", "never"]
#: Feedback has no job: it is decided, by the product's limits, from what the two monitoring jobs saw.
STAGE_JOBS: dict[str, tuple[str, ...]] = {
    Stage.FEATURES.value: ("extract", "clean", "compute", "load", "training_set"),
    Stage.VALIDATION.value: ("validate",),
    Stage.EXPERIMENTATION.value: ("search", "trial", "conclude", "export_settings"),
    Stage.TRAINING.value: ("train",),
    Stage.EVALUATION.value: ("evaluate", "retune"),
    Stage.REGISTRY.value: ("register", "promote"),
    Stage.DEPLOYMENT.value: ("deploy", "reconcile"),
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
    """A model version: where it stands and since when, why it exists, and how it compared.

    :param trained: the record of the job that made the model.
    :param validation: the report on its training data.
    """

    number: int
    status: Status
    cause: str
    moves: tuple[LedgerEntry, ...]
    evaluation: Evaluation | None
    report: Report | None
    trained: Manifest | None = None
    validation: Report | None = None


@dataclass(frozen=True)
class Seen:
    """What monitoring saw of one data interval; None for a judgement that is still to come."""

    interval: Interval
    drift: Report | None
    performance: Report | None
    crossed: tuple[str, ...]


@dataclass(frozen=True)
class Unreadable:
    """A product whose declaration can't be read; ``troubles`` name each file that can't."""

    name: str
    troubles: tuple[str, ...]


@dataclass(frozen=True)
class ProductRecord:
    """One product with all that is known of it.

    :param root: the artifact root's URI.
    :param manifests: by job, each in the order in which they ended.
    :param entries: the ledger of the versions that may be shown.
    :param requests: what is asked of data engineering and waits for an answer.
    :param troubles: a line for each file that can't be read, with its name.
    """

    product: MLProduct
    root: str
    manifests: dict[str, list[Manifest]]
    entries: list[LedgerEntry]
    requests: tuple[feedback.DataChangeRequest, ...] = ()
    troubles: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The product's name."""
        return self.product.name

    def runs(self) -> list[Manifest]:
        """Return the records of all jobs, the last that ended first."""
        return sorted(chain.from_iterable(self.manifests.values()), key=lambda one: one.ended, reverse=True)

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
        evaluation = Evaluation.model_validate(report.facts["evaluation"]) if report else None
        cause, trained = str(last.version.facts.get("cause") or ""), self._trained(last.version)
        return Version(number, last.status, cause, moves, evaluation, report, trained, self._validation(trained))

    def _trained(self, version: ModelVersion) -> Manifest | None:
        made = (one for job in ("train", "retune") for one in self.manifests[job])
        return next((one for one in made if one.result and one.result.hash == version.hash), None)

    def _validation(self, trained: Manifest | None) -> Report | None:
        inputs = set(_hashes(trained)) if trained else set()
        of_inputs = [one for one in self.manifests["validate"] if not inputs.isdisjoint(_hashes(one))]
        return next((one.result for one in reversed(of_inputs) if isinstance(one.result, Report)), None)

    def _by_interval(self, job: str) -> dict[Interval, Report]:
        found = self.manifests[job]
        return {m.spec.interval: m.result for m in found if m.spec.interval and isinstance(m.result, Report)}

    def _crossed(self, interval: Interval, drift: Report | None, performance: Report | None) -> tuple[str, ...]:
        if drift is None:
            return ()
        metric = metric_of(self.product.problem, self.product.metric)
        return limits.crossed(limits.Observation.of(interval, drift, performance), self.product.monitoring, metric)


def _hashes(manifest: Manifest) -> Iterable[str]:
    for reference in manifest.spec.inputs.values():
        yield from (one.hash for one in (reference if isinstance(reference, tuple) else (reference,)))
