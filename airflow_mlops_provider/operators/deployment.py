"""Deployment: the model server rolls to a production-ready version, or keeps what it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.manifest import Manifest
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import AnyReference, parse_reference
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.events import artifact_store, references
from airflow_mlops_provider.operators.lineage import event_extra

if TYPE_CHECKING:
    from airflow.sdk import Context


class ModelServerDeployVersionOperator(JobOperator):
    """Rolls the product's model server to a version and waits until it answers with it.

    :param version: reference to the version; by default the newest whose production-ready event started the run or,
        in a run started by hand, the newest production-ready version in the ledger.
    """

    job = "deploy"
    template_fields: Sequence[str] = ("version",)

    def __init__(self, *, product: MLProduct, version: Any = None, **kwargs: Any) -> None:
        super().__init__(product=product, sends=[assets.live(product)], **kwargs)
        self.version = version

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        if self.version:
            return super().inputs(context)
        ready = references(context, assets.production_ready(self.product))
        return {"version": parse_reference(ready[-1]) if ready else newest_ready(self.product)}

    def params_of(self, context: Context) -> dict[str, Any]:
        from airflow_mlops_provider.hooks.defaults import option

        port = option("serving_port")
        return {"port": int(port)} if port else {}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        reference = super().finish(manifest, context)
        context["outlet_events"][assets.live(self.product)].extra = event_extra(manifest, reference)
        return reference


def newest_ready(product: MLProduct) -> AnyReference:
    """Return the newest version that stands production-ready. :raises AirflowSkipException: if none does."""
    from airflow.sdk.exceptions import AirflowSkipException

    from airflow_mlops_provider.backends.ledger import Ledger
    from airflow_mlops_provider.lifecycle.registry import Status, status_of

    entries = Ledger(artifact_store(), product.name).entries()
    ready = [e.version for e in entries if status_of(entries, e.version.version) is Status.PRODUCTION_READY]
    if not ready:
        raise AirflowSkipException(f"no version of {product.name} stands production-ready")
    return ready[-1]
