"""Approval: people agree that a version goes live, in Airflow's own *Required Actions*."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import BaseNotifier, Context, Param, conf
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from airflow.sdk.execution_time.hitl import HITLUser, upsert_hitl_detail

from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MissingRecordError
from airflow_mlops_provider.lifecycle.description.question import question
from airflow_mlops_provider.lifecycle.owners import Owners
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.approval import low_risk, missing, refusal
from airflow_mlops_provider.lifecycle.release.deployment import Approval
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.registry import READY, LedgerEntry, Status, status_of
from airflow_mlops_provider.operators.approval.auth_manager import users_with
from airflow_mlops_provider.operators.base import JobOperator, given
from airflow_mlops_provider.operators.deployment import chosen, ready
from airflow_mlops_provider.operators.links import page
from airflow_mlops_provider.storage.description import card_page
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records

APPROVE, REJECT = "Approve", "Reject"
#: Whose users' ids are their names, so that Airflow itself can refuse everybody else.
_NAMED = "SimpleAuthManager"


class ModelApproveVersionOperator(JobOperator):
    """Asks the people whom the product names whether a version may go live, and enters what they say in the ledger.

    The deployment looks there: a task that somebody sets to *success* lets nothing through. An answer of somebody who
    may not decide is refused and the question asked again. Nobody's answer in time is a no; after a no the tasks behind
    this one are skipped. The task waits without a worker and without a trigger.

    :param version: the version's number, or a reference to it; by default the newest that passed the gates.
    :param approval, owners: who must agree, in place of what the product says; the deployment takes the same
        ``approval=``.
    :param notifiers: told when people are asked, and again as a reminder: ``mlops_reminder`` in the context says which,
        and ``mlops_people`` whom it is for.
    """

    job = "approve"
    service = "mlflow"
    template_fields: Sequence[str] = ("version", *JobOperator.template_fields)
    roles = ("version",)

    def __init__(
        self,
        *,
        product: MLProduct | str,
        version: Any = None,
        approval: Approval | None = None,
        owners: Owners | None = None,
        notifiers: Sequence[BaseNotifier] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(product=product, **kwargs)
        self.needs(approval=approval, owners=owners)
        self.take(approval=approval, owners=owners)
        self.version, self.notifiers = version, list(notifiers)
        #: What this task goes on with: the version that people see, since when, whether reminded, and their answer.
        self._state: dict[str, Any] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the version's reference if nobody has to agree any more; else ask, and wait."""
        version, entries = self._version(context)
        if not self._waits(entries, version):
            return version.to_json()
        self._state = {"version": version.version, "begun": datetime.now(UTC).isoformat(), "reminded": False}
        if low_risk(entries, self._evaluation(entries, version), self._approval):
            return self._enter(context, agreed=True)
        return self._ask(context)

    def answered(self, context: Context, event: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        """Go on with an answer, or without one when a time has run out."""
        self._state = state
        version, entries = self._version(context)
        if not self._waits(entries, version):  # it was entered before, though the task did not learn of it
            return version.to_json()
        if "error" not in event:
            return self._answered(context, event)
        if event.get("error_type") != "timeout":
            raise ConfigurationError(f"Airflow did not take the answer: {event['error']}")
        if self._left() > timedelta(0) and not state["reminded"]:
            self._notify(context, reminder=True)
            self._state["reminded"] = True
            self._wait()
        return self._enter(context, agreed=False, reason=f"nobody decided within {self._approval.within}")

    def resume(self, context: Context, event: dict[str, Any], state: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on once the place has entered an answer."""
        self._state, self._event = state or {}, event
        return self._enter(context, **self._state["answer"])

    def defer(self, **waiting: Any) -> Any:
        """Wait for a place that enters the answer elsewhere, and keep the answer."""
        return super().defer(kwargs={"state": self._state}, **waiting)

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name = self.artifacts(), self.kept_under(context)
        version = self._state.get("version", self.version)
        return {"version": chosen(store, name, version) if given(version) else ready(store, name)}

    def params_of(self, context: Context) -> dict[str, Any]:
        return {**self._state["answer"], "started_by": started_by(context)}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        reference = super().finish(manifest, context)
        if reference["facts"]["status"] == Status.REJECTED.value:
            raise AirflowSkipException(
                f"version {reference['version']} does not go live: {reference['facts']['reason']}"
            )
        return reference

    def _answered(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        version, entries = self._version(context)
        user = event.get("responded_by_user") or {}
        person, agrees = str(user.get("name") or user.get("id") or ""), event["chosen_options"] == [APPROVE]
        who = {"person": person, "started_by": started_by(context), "agrees": agrees}
        try:
            holders = self._holders()  # as of now: a role may have been taken away since the question
            if why := refusal(entries, version.version, self._approval, self._owners, **who, holders=holders):
                self.log.warning("the answer does not count: %s", why)
                return self._ask(context)
            reason = str((event.get("params_input") or {}).get("reason") or "")
            by_roles = {"holders": holders} if holders else {}
            reference = self._enter(context, agreed=agrees, by=person, reason=reason, **by_roles)
        except BackendError as error:
            self.log.warning("the answer could not be entered yet; Airflow hands it over again: %s", error)
            return self._wait(timedelta(seconds=conf.getint("mlops", "retry_seconds", fallback=30)))
        return self._ask(context) if reference["facts"]["missing"] else reference

    def _enter(self, context: Context, **answer: Any) -> dict[str, Any]:
        """Have the job enter an answer."""
        self._state["answer"] = answer
        return self.finish(self.run_job(context), context)

    @property
    def _approval(self) -> Approval:
        declared = self.declaration.deployment.approval if self.declaration else None
        approval = self.overrides.get("approval", declared)
        if approval is None:
            raise ConfigurationError(f"product {self.product.name} has no deployment.approval: nobody has to agree")
        return Approval.model_validate(approval)

    @property
    def _owners(self) -> Owners:
        business = self.declaration.business if self.declaration else None
        owners = self.overrides.get("owners", business and business.owners)
        if owners is None:
            raise ConfigurationError("give owners=, who answers for the product")
        return Owners.model_validate(owners)

    def _holders(self) -> dict[str, tuple[str, ...]]:
        """Return who has which of the approval's roles of Airflow now; see :func:`.users_with` for what it raises."""
        roles = self._approval.airflow_roles
        return users_with(roles) if roles else {}

    def _people(self, *, escalated: bool = True) -> dict[str, tuple[str, ...]]:
        return self._approval.people_of(self._owners, self._holders(), escalated=escalated)

    def _version(self, context: Context) -> tuple[ModelVersion, list[LedgerEntry]]:
        version = self.inputs(context)["version"]
        assert isinstance(version, ModelVersion)
        return version, Ledger(self.artifacts(), self.kept_under(context)).entries()

    def _waits(self, entries: list[LedgerEntry], version: ModelVersion) -> bool:
        """Say whether people must still agree; one that was retired comes back as it was approved."""
        ready_now = status_of(entries, version.version) in READY
        return ready_now and bool(missing(entries, version.version, self._approval))

    def _evaluation(self, entries: list[LedgerEntry], version: ModelVersion) -> Evaluation | None:
        """Return what the gates judged, for people to read; the job opens it itself."""
        own = [e.evidence for e in entries if e.version.version == version.version and "report" in e.evidence]
        if not own:
            return None
        report = Report(uri=own[-1]["report"], hash=own[-1]["hash"], passed=True)
        result = Records(self.artifacts()).manifest_of(report).result
        return Evaluation.model_validate(result.facts["evaluation"]) if result else None

    def _ask(self, context: Context) -> dict[str, Any]:
        """Show people the question, and wait."""
        version, entries = self._version(context)
        people = [*self._people()]
        named = conf.get("core", "auth_manager", fallback="").endswith(_NAMED)
        reason = Param(None, type=["string", "null"], title="Reason", description="For the ledger.")
        upsert_hitl_detail(
            ti_id=context["ti"].id,
            options=[APPROVE, REJECT],
            subject=f"{version.name}: may version {version.version} go live?",
            body=self._body(entries, version),
            params={"reason": reason.serialize()},
            assigned_users=[HITLUser(id=person, name=person) for person in people] if named else None,
        )
        until = datetime.fromisoformat(self._state["begun"]) + self._approval.within
        self.log.info("asked under Required Actions until %s: the Airflow users %s", until, ", ".join(people))
        self._notify(context, reminder=False)
        return self._wait()

    def _body(self, entries: list[LedgerEntry], version: ModelVersion) -> str:
        """Return what people are shown, as Markdown in which nothing that others wrote is markup."""
        from airflow_mlops_provider.render.documents import markdown

        records, number = Records(self.artifacts()), version.version
        own = [e.evidence["report"] for e in entries if e.version.version == number and "report" in e.evidence]
        links = {page(uri, "evaluation.html"): "Evaluation" for uri in own[-1:]}
        with suppress(MissingRecordError):
            if card := card_page(records.store.uri, records.version(version.name, number).registered):
                links[page(*card)] = "Model card"
        people, still = self._people(), missing(entries, number, self._approval)
        evaluation = self._evaluation(entries, version)
        return markdown(question(version, entries, evaluation, self.declaration, people, still, links))

    def _notify(self, context: Context, reminder: bool) -> None:
        """Tell the notifiers; one that fails keeps nobody from being asked."""
        people = [*self._people(escalated=reminder)]
        for notifier in self.notifiers:
            try:
                notifier({**context, "mlops_reminder": reminder, "mlops_people": people})
            except Exception:
                self.log.exception("a notifier failed; people are asked all the same")

    def _left(self, within: timedelta | None = None) -> timedelta:
        begun = datetime.fromisoformat(self._state["begun"])
        return begun + (within or self._approval.within) - datetime.now(UTC)

    def _wait(self, timeout: timedelta | None = None) -> NoReturn:
        """Give the worker back until an answer comes, or the next moment to do something without one."""
        remind = None if self._state["reminded"] else self._approval.remind
        timeout = max(timedelta(seconds=1), timeout or self._left(remind))
        raise TaskAwaitingInput(method_name="answered", kwargs={"state": self._state}, timeout=timeout)


def started_by(context: Context) -> str | None:
    """Return who started a run by hand; None if nobody did."""
    return getattr(context["dag_run"], "triggering_user_name", None) or None
