"""Compares model server, release pointer, ledger and MLflow's aliases; puts right what differs, or says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.backends.model_server.base import Replica
from airflow_mlops_provider.exceptions import BackendError, IntegrityError, MLOpsError
from airflow_mlops_provider.jobs.deployment import candidate, rollout
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release import registry
from airflow_mlops_provider.lifecycle.release.approval import check_approved
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

Context = JobContext[JobInputs, rollout.Settings, rollout.Params]


@job(stage=Stage.DEPLOYMENT, makes="deployment", result=Report, side_effects=True, services=("cluster",))
def reconcile(context: Context) -> JobResult:
    """Bring a product's deployment to one truth, the ledger's; the report passes if nothing is left that differs."""
    with one_at_a_time(context):
        truth = Truth(context)
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


class Truth:
    """One comparison: what was repaired, and what is left for a person, a line for each."""

    def __init__(self, context: Context) -> None:
        self.context, self.name = context, context.product
        self.ledger, self.server = CheckedLedger(context), rollout.model_server(context)
        self.repaired: list[str] = []
        self.left: list[str] = []
        self.live: ModelVersion | None = None
        self.waiting: int | None = None

    def differences(self, live: ModelVersion | None) -> list[str]:
        """Say where pointer and server differ from the live version; nothing is put right."""
        served = self._wrong_servers(live) if live else self._served_though_none_is_live()
        return [*filter(None, [self._wrong_pointer(live)]), *served]

    def establish(self) -> None:
        """Take the ledger's word, as far as it is to be believed, and bring the others to it."""
        entries, begun = self._believed()
        if entries is None:
            return
        self.live = registry.live_version(entries)
        if pending := self._pending(entries, begun):
            with self._attempt(f"the deployment of version {pending.version}"):
                self._finish(pending)
        waiting = registry.newest_ready(entries)
        self.waiting = waiting.version if waiting and waiting != self.live else None
        beside = registry.candidate(entries if begun is None else self.ledger.entries())
        if self.live:
            with self._attempt(f"what serves in place of version {self.live.version}"):
                self._serve(self.live, beside)
        else:
            with self._attempt("what serves though nothing is live"):
                self._serve_nothing()
        if begun is not None and beside:
            with self._attempt(f"the rollout of version {beside.version.version}"):
                self._go_on(beside)
        if begun is not None:
            with self._attempt("what the ledger calls live"):
                others = rollout.retire_others(self.context, self.ledger, self.live) if self.live else []
                self.repaired.extend(f"version {other.version} was still called live" for other in others)
            with self._attempt("what MLflow shows"):
                self.repaired.extend([*self.ledger.show(), *self.ledger.complete()])

    def _believed(self) -> tuple[list[LedgerEntry] | None, int | None]:
        """Return the entries that can be believed, and the version whose deployment MLflow knows to have begun.

        That is 0 for none, and None where the ledger must not be changed: MLflow is down, or knows of other entries.
        Entries are None where nothing is to be changed at all.
        """
        try:
            return self.ledger.trusted(), self.ledger.mirror.read().deploying or 0
        except BackendError as error:
            self.left.append(f"MLflow does not answer, so the ledger's head was not compared: {error}")
            known: Callable[[], list[LedgerEntry] | None] = self.ledger.entries
        except IntegrityError as error:
            self.left.extend([str(error), *self.ledger.unlike(self.ledger.mirror.kept())])
            known = self._known_to_mlflow
        try:
            return known(), None
        except MLOpsError as error:
            if str(error) not in self.left:
                self.left.append(str(error))
            return None, None

    def _known_to_mlflow(self) -> list[LedgerEntry] | None:
        """Return the entries up to MLflow's head, or up to the last of which it has a copy: heads can be set back."""
        head = self.ledger.mirror.read().head
        if head is None:  # nothing tells how far the ledger is to be believed: what serves goes on as it is
            return None
        chain, copies = self.ledger.read(), self.ledger.mirror.kept().entries
        known = len(chain.entries) - len(self.ledger.after(chain, head))
        while known < len(chain.data) and copies.get(known) == chain.data[known]:
            known += 1
        return chain.entries[:known]

    def _pending(self, entries: list[LedgerEntry], begun: int | None) -> ModelVersion | None:
        """Return the version that the pointer names though it isn't live, if its deployment was begun and may go on."""
        try:
            wanted = self.server.wanted()
            if wanted is None or wanted.version != begun or (self.live and self.context.settings.rollout):
                return None
            version = registry.may_serve(entries, wanted.model)
            if registry.status_of(entries, version.version) not in registry.READY:
                return None
            self.ledger.check_gates(entries, version)
            check_approved(entries, version.version, self.context.settings.approval)
        except MLOpsError as error:
            self.context.log.warning("the pointer's wish is not followed: %s", error)
            return None
        return version

    @contextmanager
    def _attempt(self, what: str) -> Iterator[None]:
        """Leave for a person what can't be repaired."""
        try:
            yield
        except MLOpsError as error:
            self.left.append(f"{what}: {error}")

    def _finish(self, version: ModelVersion) -> None:
        url = rollout.roll(self.context, version, self.live)
        rollout.enter(self.context, self.ledger, version, url)
        self.live = version
        self.repaired.append(f"finished the deployment of version {version.version}, which was begun and not ended")

    def _go_on(self, beside: LedgerEntry) -> None:
        """Look at a candidate as its deployment would, if that was ended: whoever looks finds the same."""
        entry = candidate.look(self.context, self.ledger, beside, self.live)
        self.live = registry.live_version(self.ledger.entries())
        if entry.status is not beside.status:
            number, reason = entry.version.version, entry.reason
            self.repaired.append(f"version {number} was left as {beside.status}, and is {entry.status} now: {reason}")

    def _serve(self, version: ModelVersion, beside: LedgerEntry | None) -> None:
        """Have pointer and server at the live version, and at the candidate beside it."""
        if wrong := self.differences(version):
            rollout.roll(self.context, version, version)
            self.repaired.extend(wrong)
        if candidate.point(self.context, beside, version) and not wrong:
            self.repaired.append(f"the pointer's candidate was not {beside.version.version if beside else 'none'}")

    def _wrong_pointer(self, version: ModelVersion | None) -> str | None:
        """Say what the pointer names in place of a version; None if it names that."""
        try:
            wanted = self.server.wanted()
        except IntegrityError as error:
            return str(error)
        right = releases.Release.of(version).same_model(wanted) if version else wanted is None
        return None if right else f"the pointer named {f'version {wanted.version}' if wanted else 'no version'}"

    def _wrong_servers(self, version: ModelVersion) -> list[str]:
        """Say which replicas don't serve a version."""
        replicas = self.server.observe()
        if not replicas:
            return ["no replica of the model server is there"]
        return [line for replica in replicas if (line := _wrong(replica, version))]

    def _serve_nothing(self) -> None:
        """Take back the wish for a version that isn't live, and end a local server that took it."""
        if line := self._wrong_pointer(None):
            self.server.weight(None)
            self.repaired.append(line)
        serves = self._served_though_none_is_live()
        if not serves:
            return
        if not self.server.managed:
            self.left.extend(f"{line}: restart it" for line in serves)
        elif self.server.stop():
            self.repaired.extend(serves)

    def _served_though_none_is_live(self) -> list[str]:
        served = ((replica.name, replica.state) for replica in self.server.observe())
        return [
            f"{name} served version {state.version}, and none is live"
            for name, state in served
            if state and state.product == self.name and state.live
        ]


def _wrong(replica: Replica, version: ModelVersion) -> str | None:
    state = replica.state
    if state is None:
        return f"{replica.name} did not answer"
    right = state.live and (state.live.version, state.live.model_hash) == (version.version, version.hash)
    return None if right else f"{replica.name} served version {state.version}"
