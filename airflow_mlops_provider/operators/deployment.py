"""Deployment: the model server rolls to a production-ready version, at once or step by step, or keeps what it has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider import assets
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, ModelVersion, parse_reference
from airflow_mlops_provider.lifecycle.release.deployment import Rollout
from airflow_mlops_provider.lifecycle.release.registry import Status, candidate, newest_ready, registered
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.operators.base import JobOperator, given
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.operators.links import ServedModelLink
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.triggers.deployment import RolloutTrigger

#: How long a rollout waits before it looks again whether labels have arrived.
LABELS = timedelta(minutes=1)


class ModelServerDeployVersionOperator(JobOperator):
    """Rolls the product's model server to a version and waits until it answers with it.

    An event only wakes it up: which version that is, and what model, the ledger says. Where a rollout is declared, the
    task waits deferred until the version is live; it fails if that was taken back, with the limit and the figures.

    :param version: the version's number, or a reference to it; by default the newest that stands production-ready, if
        it is newer than the live one.
    :param rollback: that version may be one which was retired.
    :param reason: why it comes back, for the ledger.
    :param share: of calls that a canary answers, in place of what the rollout says; 1 for all at once.
    :param serving, rollout: where the local model server listens, and how a version comes to answer all calls, in place
        of what the product says.
    """

    job = "deploy"
    service = "model_server"
    template_fields: Sequence[str] = ("version", "rollback", "reason", "share", *JobOperator.template_fields)
    roles = ("version",)
    operator_extra_links = (ServedModelLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        product: MLProduct | str,
        version: Any = None,
        rollback: Any = False,
        reason: str = "",
        share: Any = None,
        serving: Serving | None = None,
        rollout: Rollout | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(product=product, sends=[assets.live(product)], **kwargs)
        self.version = version
        self.rollback = rollback
        self.reason = reason
        self.share = share
        self.take(serving=serving, rollout=rollout)
        self._going: int | None = None

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name = self.artifacts(), self.kept_under(context)
        number = self._going or self.version
        return {"version": chosen(store, name, number) if given(number) else ready(store, name)}

    def params_of(self, context: Context) -> dict[str, Any]:
        back = {"rollback": True, **({"reason": self.reason} if self.reason else {})} if given(self.rollback) else {}
        share = {"share": float(self.share)} if given(self.share) else {}
        return {**port(), **share, **({"explicit": True, **back} if given(self.version) else {})}

    def look_again(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Have the job look at a rollout of which there is something to decide."""
        self.log.info("to be decided: %s", event)
        self._going = event.get("version")
        return self.execute(context)

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        reference, facts = super().finish(manifest, context), manifest.result.facts if manifest.result else {}
        if phase := facts.get("rollout"):
            number, labels = int(reference["version"]), phase["plan"]["limits"]["metric"] is not None
            wake = (datetime.now(UTC) + LABELS).isoformat() if labels else None
            where = {"product": self.kept_under(context), "conn_id": self.conn_id, "address": facts["url"]}
            trigger = RolloutTrigger(**where, version=number, status=facts["status"], wake=wake, **phase)
            self.defer(trigger=trigger, method_name="look_again")
        if facts.get("status") == Status.REJECTED:
            raise AirflowFailException(f"version {reference['version']} was taken back: {facts['reason']}")
        context["outlet_events"][assets.live(self.kept_under(context))].extra = event_extra(manifest, reference)
        return reference


def port() -> dict[str, int]:
    """Return the local model server's port as a job's parameter, where the configuration has one."""
    said = option("serving_port")
    return {"port": int(said)} if said else {}


def chosen(store: ArtifactStore, product: str, version: Any) -> AnyReference:
    """Return the version that a number or a reference names."""
    if isinstance(version, dict):
        return parse_reference(version)
    try:
        number = int(str(version).strip())
    except ValueError:
        raise AirflowFailException(f"version is a number or a reference, not {version!r}") from None
    return here(store, registered(Ledger(store, product).entries(), number))


def ready(store: ArtifactStore, product: str) -> AnyReference:
    """Return the newest version that stands production-ready, or whose rollout is to go on.

    :raises AirflowSkipException: if there is none.
    """
    entries = Ledger(store, product).entries()
    newest, going = newest_ready(entries), candidate(entries)
    if going and (newest is None or newest.version < going.version.version):
        newest = registered(entries, going.version.version)
    if newest is None:
        raise AirflowSkipException(f"no version of {product} stands production-ready and newer than the live one")
    return here(store, newest)


def here(store: ArtifactStore, version: ModelVersion) -> ModelVersion:
    """Return a version with its model's place as of now: the root may have been moved since it was registered."""
    return version.model_copy(update={"uri": f"{store.uri}/{key_below(store, version.uri)}"})
