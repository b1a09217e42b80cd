"""Registry: a model becomes a numbered version, and goes through the gates or is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider import assets
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.operators.base import JobOperator, alias
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.operators.links import DataReportLink, MlflowRunLink


class MlflowRegisterModelOperator(JobOperator):
    """Registers a model in MLflow and enters it in the ledger; the same model stays one version.

    Without a product the registered model's name is that of ``product=``, and an evaluation may be left out.

    :param cause: why it was trained, such as ``drift``.
    :param reason: the same in a sentence.
    """

    job = "register"
    service = "mlflow"
    template_fields: Sequence[str] = ("model", "evaluation", "cause", "reason")
    roles = ("model", "evaluation")
    operator_extra_links = (MlflowRunLink(), *JobOperator.operator_extra_links)

    def __init__(
        self, *, model: Any, evaluation: Any = None, cause: Any = None, reason: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if evaluation is None and isinstance(self.given_product, MLProduct):
            raise ConfigurationError("a product's model is registered with its evaluation; give evaluation=")
        self.model = model
        self.evaluation = evaluation
        self.cause = cause
        self.reason = reason

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"cause": self.cause, "reason": self.reason}


class ModelPromoteVersionOperator(JobOperator):
    """Takes a registered version through the product's gates, each result an entry in the ledger.

    Only a version that passed them all sends the ``production_ready`` asset event; a rejected one is silent.

    :param validation: reference to the report on the version's training set.
    """

    job = "promote"
    service = "mlflow"
    template_fields: Sequence[str] = ("version", "validation", "evaluation")
    operator_extra_links = (DataReportLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, version: Any, validation: Any, evaluation: Any, **kwargs: Any) -> None:
        super().__init__(sends=[alias(kwargs["product"], "promotion")], **kwargs)
        self.version = version
        self.validation = validation
        self.evaluation = evaluation

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        version, name = manifest.result, self.kept_under(context)
        assert isinstance(version, ModelVersion)
        if version.facts["status"] == Status.PRODUCTION_READY.value:
            context["outlet_events"][alias(name, "promotion")].add(
                assets.production_ready(name), extra=event_extra(manifest, version.to_json())
            )
        return version.to_json()
