"""What the pages show of a product: its stages, versions, runs, and what monitoring saw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring import feedback, limits
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.lifecycle.stages import LOOP, Stage

State = Literal["done", "attention", "failed", "never"]


@dataclass(frozen=True)
class StageState:
    """How a stage's latest job went; ``manifest`` is None if none has ended yet."""

    stage: str
    state: State
    text: str
    manifest: Manifest | None = None


@dataclass(frozen=True)
class Version:
    """A model version: its status, why it exists, and how it compared.

    :param trained: the record of the job that made the model; ``registered``: of the one that made it a version.
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
    registered: Manifest | None = None


@dataclass(frozen=True)
class Monitored:
    """What monitoring saw of one data interval; None for a report that is still to come."""

    interval: Interval
    drift: Report | None
    performance: Report | None
    crossed: tuple[str, ...]


@dataclass(frozen=True)
class Unreadable:
    """A product whose declaration can't be read; ``errors`` name each file that can't."""

    name: str
    errors: tuple[str, ...]


@dataclass(frozen=True)
class ProductRecord:
    """One product with all that is known of it.

    :param manifests: by job, each in the order in which they ended.
    :param entries: the ledger of the versions that may be shown.
    :param errors: a line for each file that can't be read, with its name.
    :param older: whether there are older records than these; how many is not said to who may not read them.
    """

    product: MLProduct
    root: str
    manifests: dict[str, list[Manifest]]
    entries: list[LedgerEntry]
    requests: tuple[feedback.DataChangeRequest, ...] = ()
    errors: tuple[str, ...] = ()
    older: bool = False

    @property
    def name(self) -> str:
        return self.product.name

    def runs(self) -> list[Manifest]:
        """Return the records of all jobs, the last that ended first."""
        return sorted(chain.from_iterable(self.manifests.values()), key=lambda manifest: manifest.ended, reverse=True)

    def stages(self) -> list[StageState]:
        """Return the loop's stages, in order."""
        # Feedback has no job: it is decided, by the product's limits, from what the two monitoring jobs saw.
        return [self._feedback() if stage is Stage.FEEDBACK else self._stage(stage.value) for stage in LOOP]

    def versions(self) -> list[Version]:
        """Return the model versions, newest first."""
        moves: dict[int, list[LedgerEntry]] = {}
        for entry in self.entries:
            moves.setdefault(entry.version.version, []).append(entry)
        return [self._version(number, tuple(moves[number])) for number in sorted(moves, reverse=True)]

    def monitored(self) -> list[Monitored]:
        """Return what monitoring saw, oldest interval first."""
        drift, performance = self._by_interval("drift"), self._by_interval("performance")
        return [
            self._monitored(interval, drift.get(interval), performance.get(interval))
            for interval in sorted({*drift, *performance}, key=lambda interval: interval.start)
        ]

    def _stage(self, name: str) -> StageState:
        last = next((manifest for manifest in self.runs() if manifest.stage == name), None)
        if last is None:
            return StageState(name, "never", "not yet")
        if last.failure:
            return StageState(name, "failed", f"{last.spec.job}: {last.failure.error}", last)
        broken = isinstance(last.result, Report) and not last.result.passed
        return StageState(name, "attention" if broken else "done", last.spec.name.replace("_", " "), last)

    def _feedback(self) -> StageState:
        judged = [monitored for monitored in self.monitored() if monitored.drift]
        if not judged:
            return StageState(Stage.FEEDBACK.value, "never", "not yet")
        crossed = len(judged[-1].crossed)
        text = f"{crossed} limit{'s' * (crossed > 1)} crossed" if crossed else "all limits held"
        return StageState(Stage.FEEDBACK.value, "attention" if crossed else "done", text)

    def _version(self, number: int, moves: tuple[LedgerEntry, ...]) -> Version:
        last = moves[-1]
        report = self._evaluated.get(last.version.hash)
        evaluation = Evaluation.model_validate(report.facts["evaluation"]) if report else None
        registered = self._registered.get((number, last.version.hash))
        cause, trained = str(last.version.facts.get("cause") or ""), self._trained.get(last.version.hash)
        return Version(
            number, last.status, cause, moves, evaluation, report, trained, self._validation(trained), registered
        )

    # Each made once: of hundreds of versions, none goes through all that others left.

    @cached_property
    def _evaluated(self) -> dict[Any, Report]:
        """The last report on each model, by the model's hash."""
        return {report.facts.get("model"): report for report in _reports(self.manifests.get("evaluate", []))}

    @cached_property
    def _registered(self) -> dict[tuple[int, str], Manifest]:
        """The last registration of each version, by number and hash."""
        manifests = self.manifests.get("register", [])
        return {(of.version, of.hash): made for made in manifests if isinstance(of := made.result, ModelVersion)}

    @cached_property
    def _trained(self) -> dict[str, Manifest]:
        """The first training of each model, by the model's hash."""
        manifests = [*self.manifests.get("train", []), *self.manifests.get("retune", [])]
        return {made.result.hash: made for made in reversed(manifests) if made.result}

    @cached_property
    def _validated(self) -> dict[str, tuple[int, Report]]:
        """The last report on each dataset, by the dataset's hash, and how many came before it."""
        manifests = enumerate(self.manifests.get("validate", []))
        reports = ((at, made.result, made.spec) for at, made in manifests if isinstance(made.result, Report))
        return {used.hash: (at, report) for at, report, spec in reports for used in spec.references}

    def _validation(self, trained: Manifest | None) -> Report | None:
        inputs = trained.spec.references if trained else ()
        reports = [self._validated[used.hash] for used in inputs if used.hash in self._validated]
        return max(reports, key=itemgetter(0))[1] if reports else None

    def _by_interval(self, job: str) -> dict[Interval, Report]:
        runs = self.manifests.get(job, [])
        return {
            run.spec.interval: run.result
            for run in runs
            if run.spec.interval and isinstance(run.result, Report) and not _of_servers(run)
        }

    def _monitored(self, interval: Interval, drift: Report | None, performance: Report | None) -> Monitored:
        if drift is None:
            return Monitored(interval, drift, performance, ())
        observation = limits.Observation.of(interval, drift, performance)
        crossed = limits.crossed(observation, self.product.monitoring, self.product.metric)
        return Monitored(interval, drift, performance, crossed)


def _of_servers(run: Manifest) -> bool:
    """Say whether a report is on what was answered over REST."""
    predictions = run.spec.inputs.get("predictions")
    return isinstance(predictions, Dataset) and "versions" in predictions.facts


def _reports(manifests: Iterable[Manifest]) -> list[Report]:
    return [manifest.result for manifest in manifests if isinstance(manifest.result, Report)]
