"""Compares model server, release pointer, ledger and MLflow's aliases; puts right what differs, or says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror
from airflow_mlops_provider.exceptions import BackendError, IntegrityError, MLOpsError
from airflow_mlops_provider.jobs.deployment import rollout
from airflow_mlops_provider.jobs.registry import standing
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import (
    LedgerEntry,
    Status,
    live_version,
    may_serve,
    newest_ready,
    status_of,
)
from airflow_mlops_provider.lifecycle.sections import Scoring, Serving
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job
from airflow_mlops_provider.serving import releases
from airflow_mlops_provider.serving.process import launcher
from airflow_mlops_provider.serving.process.client import server_state
from airflow_mlops_provider.storage.ledger import Ledger


class Settings(JobSettings):
    serving: Serving
    scoring: Scoring


class Params(JobParams):
    port: int | None = None


Context = JobContext[JobInputs, Settings, Params]


@job(stage=Stage.DEPLOYMENT, makes="deployment", result=Report, side_effects=True)
def reconcile(context: Context) -> JobResult:
    """Bring a product's deployment to one truth, the ledger's; the report passes if nothing is left that differs."""
    with rollout.one_at_a_time(context):
        truth = _Truth(context)
        truth.establish()
    for line in truth.repaired:
        context.log.warning("repaired: %s", line)
    for line in truth.left:
        context.log.error("not repaired: %s", line)
    if not truth.repaired and not truth.left:
        context.log.info("server, pointer, ledger and MLflow agree")
    if truth.waiting:
        context.log.info("version %d is production-ready and waits for a deployment", truth.waiting)
    live = truth.live.version if truth.live else None
    facts = {"repaired": truth.repaired, "live": live, "waiting": truth.waiting}
    return JobResult(facts=facts, passed=not truth.left, broken=tuple(truth.left))


@dataclass
class _Truth:
    """One comparison: what was repaired, and what is left for a person, a line for each."""

    context: Context
    repaired: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    live: ModelVersion | None = None
    waiting: int | None = None

    def __post_init__(self) -> None:
        self.name = self.context.product
        self.ledger = Ledger(self.context.store, self.name)
        self.mirror = Mirror(self.context.spec.services.mlflow, self.name)

    def establish(self) -> None:
        """Take the ledger's word, as far as it is to be believed, and bring the others to it."""
        entries, begun = self._believed()
        if entries is None:
            return
        self.live = live_version(entries)
        pending = self._pending(entries, begun)
        if pending and self._attempt(f"the deployment of version {pending.version}", lambda: self._finish(pending)):
            self.live = pending
        waiting = newest_ready(entries)
        self.waiting = waiting.version if waiting and waiting != self.live else None
        if self.live:
            live = self.live
            self._attempt(f"what serves in place of version {live.version}", lambda: self._serve(live))
        else:
            self._attempt("what serves though nothing is live", self._serve_nothing)
        if begun is not None:
            self._attempt("what the ledger calls live", self._retire_others)
            self._attempt("what MLflow shows", lambda: self.repaired.extend(self.mirror.follow(self.ledger)))

    def _believed(self) -> tuple[list[LedgerEntry] | None, int | None]:
        """Return the entries that can be believed, and the version whose deployment MLflow knows to have begun.

        That is 0 for none, and None where the ledger must not be changed: MLflow is down, or knows of other entries.
        """
        try:
            return standing.entries(self.context.store, self.ledger, self.mirror), self.mirror.read().deploying or 0
        except BackendError as error:
            self.left.append(f"MLflow does not answer, so the ledger's head was not compared: {error}")
            known = self.ledger.entries
        except IntegrityError as error:
            self.left.append(str(error))
            known = self._known_to_mlflow
        try:
            return known(), None
        except MLOpsError as error:
            self.left.extend([] if str(error) in self.left else [str(error)])
            return None, None

    def _known_to_mlflow(self) -> list[LedgerEntry]:
        known, further = self.ledger.since(self.mirror.read().head)
        return known[: len(known) - len(further)]

    def _pending(self, entries: list[LedgerEntry], begun: int | None) -> ModelVersion | None:
        """Return the version that the pointer names though it isn't live, if its deployment was begun and may go on."""
        try:
            wanted = releases.read_desired(self.context.store, self.name)
            if wanted is None or wanted.version != begun:
                return None
            version = may_serve(entries, wanted.model)
            if status_of(entries, version.version) is not Status.PRODUCTION_READY:
                return None
            standing.check_gates(self.context.store, entries, version)
        except MLOpsError as error:
            self.context.log.warning("the pointer's wish is not followed: %s", error)
            return None
        return version

    def _attempt(self, what: str, repair: Callable[[], None]) -> bool:
        try:
            repair()
        except MLOpsError as error:
            self.left.append(f"{what}: {error}")
            return False
        return True

    def _finish(self, version: ModelVersion) -> None:
        url = rollout.roll(self.context, version, self.live)
        rollout.enter(self.context, version, url)
        self.repaired.append(f"finished the deployment of version {version.version}, which was begun and not ended")

    def _serve(self, version: ModelVersion) -> None:
        """Have pointer and server at the live version."""
        wrong = [line for line in (self._wrong_pointer(version), self._wrong_server(version)) if line]
        if wrong:
            rollout.roll(self.context, version, version)
            self.repaired.extend(wrong)

    def _retire_others(self) -> None:
        if self.live is None:
            return
        for other in rollout.others_live(self.ledger, self.live):
            reason = f"version {self.live.version} took over"
            self.ledger.move(other, Status.RETIRED, reason=reason, by=self.context.by)
            self.repaired.append(f"version {other.version} was still called live")

    def _wrong_pointer(self, version: ModelVersion | None) -> str | None:
        """Say what the pointer names in place of a version; None if it names that."""
        try:
            wanted = releases.read_desired(self.context.store, self.name)
        except IntegrityError as error:
            return str(error)
        if wanted is None or version is None:
            return None if wanted is None and version is None else f"the pointer named {_named(wanted)}"
        return None if wanted.same_model(releases.Release.of(version)) else f"the pointer named {_named(wanted)}"

    def _wrong_server(self, version: ModelVersion) -> str | None:
        state = server_state(rollout.address(self.context))
        if state is None:
            return "the model server did not answer"
        right = state.live and (state.live.version, state.live.model_hash) == (version.version, version.hash)
        return None if right else f"the model server served version {state.version}"

    def _serve_nothing(self) -> None:
        """Take back the wish for a version that isn't live, and end a local server that took it."""
        line = self._wrong_pointer(None)
        if line:
            releases.request(self.context.store, self.name, None)
            self.repaired.append(line)
        state = server_state(rollout.address(self.context))
        if not state or state.product != self.name or not state.live:
            return
        serves = f"the model server served version {state.version}, and none is live"
        if self.context.spec.services.model_server:
            self.left.append(f"{serves}: restart it")
        elif launcher.stop(self.name, self.context.spec.root):
            self.repaired.append(serves)


def _named(wanted: releases.Release | None) -> str:
    return f"version {wanted.version}" if wanted else "no version"
