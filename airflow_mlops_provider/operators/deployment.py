"""Deployment: the model server rolls to a production-ready version, or keeps what it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider import assets
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, ModelVersion, parse_reference
from airflow_mlops_provider.lifecycle.release.registry import newest_ready, registered
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.operators.base import JobOperator, given
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.operators.links import ServedModelLink
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger


class ModelServerDeployVersionOperator(JobOperator):
    """Rolls the product's model server to a version and waits until it answers with it.

    An event only wakes it up: which version that is, and what model, the ledger says.

    :param version: the version's number, or a reference to it; by default the newest that stands production-ready, if
        it is newer than the live one.
    :param rollback: that version may be one which was retired.
    :param reason: why it comes back, for the ledger.
    :param serving: where the local model server listens, in place of what the product says.
    """

    job = "deploy"
    service = "model_server"
    template_fields: Sequence[str] = ("version", "rollback", "reason", *JobOperator.template_fields)
    roles = ("version",)
    operator_extra_links = (ServedModelLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        product: MLProduct | str,
        version: Any = None,
        rollback: Any = False,
        reason: str = "",
        serving: Serving | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(product=product, sends=[assets.live(product)], **kwargs)
        self.version = version
        self.rollback = rollback
        self.reason = reason
        self.take(serving=serving)

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        store, name = self.artifacts(), self.kept_under(context)
        return {"version": chosen(store, name, self.version) if given(self.version) else ready(store, name)}

    def params_of(self, context: Context) -> dict[str, Any]:
        back = {"rollback": True, **({"reason": self.reason} if self.reason else {})} if given(self.rollback) else {}
        return {**port(), **({"explicit": True, **back} if given(self.version) else {})}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        reference = super().finish(manifest, context)
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
    """Return the newest version that stands production-ready. :raises AirflowSkipException: if none does."""
    newest = newest_ready(Ledger(store, product).entries())
    if newest is None:
        raise AirflowSkipException(f"no version of {product} stands production-ready and newer than the live one")
    return here(store, newest)


def here(store: ArtifactStore, version: ModelVersion) -> ModelVersion:
    """Return a version with its model's place as of now: the root may have been moved since it was registered."""
    return version.model_copy(update={"uri": f"{store.uri}/{key_below(store, version.uri)}"})
