"""Registry: a model becomes a numbered version, and goes through the gates or is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider import assets
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.problem import AnyMetric, AnyProblem
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.sections import Gates
from airflow_mlops_provider.operators.approval import started_by
from airflow_mlops_provider.operators.base import JobOperator, given
from airflow_mlops_provider.operators.deployment import chosen
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.operators.links import DataReportLink, MlflowRunLink
from airflow_mlops_provider.operators.training import metric_or_none


class MlflowRegisterModelOperator(JobOperator):
    """Registers a model in MLflow and enters it in the ledger; the same model stays one version.

    Without a product the registered model's name is that of ``product=``, and an evaluation may be left out.

    :param cause: why it was trained, such as ``drift``.
    :param reason: the same in a sentence.
    """

    job = "register"
    service = "mlflow"
    template_fields: Sequence[str] = ("model", "evaluation", "cause", "reason", *JobOperator.template_fields)
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
        started = {"started_by": person} if (person := started_by(context)) else {}
        return {"cause": self.cause, "reason": self.reason, **started, **any_data(self)}


class ModelPromoteVersionOperator(JobOperator):
    """Takes a registered version through the gates, each result an entry in the ledger.

    Only a version that passed them all sends the ``production_ready`` asset event; a rejected one is silent.

    :param validation: reference to the report on the version's training set; without a product it may be left out.
    :param gates: what it must show, in place of the product's.
    :param problem, metric: by what it is judged: as :class:`.ModelEvaluateOperator` has them.
    """

    job = "promote"
    service = "mlflow"
    template_fields: Sequence[str] = ("version", "validation", "evaluation", *JobOperator.template_fields)
    operator_extra_links = (DataReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        product: MLProduct | str,
        version: Any,
        evaluation: Any,
        validation: Any = None,
        gates: Gates | None = None,
        problem: AnyProblem | None = None,
        metric: AnyMetric | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(product=product, sends=[assets.alias(product, "promotion")], **kwargs)
        if isinstance(product, MLProduct) and validation is None:
            raise ConfigurationError("a product's version is promoted with its validation; give validation=")
        self.needs(gates=gates, problem=problem)
        self.take(gates=gates, metric=metric_or_none(problem, metric))
        self.version = version
        self.validation = validation
        self.evaluation = evaluation

    def params_of(self, context: Context) -> dict[str, Any]:
        return any_data(self)

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        version, name = manifest.result, self.kept_under(context)
        assert isinstance(version, ModelVersion)
        if version.facts["status"] == Status.PRODUCTION_READY.value:
            context["outlet_events"][assets.alias(name, "promotion")].add(
                assets.production_ready(name), extra=event_extra(manifest, version.to_json())
            )
        return version.to_json()


class ModelRetireVersionOperator(JobOperator):
    """Retires a version that may go live and does not: no deployment takes it any more but an explicit rollback.

    The ledger's entry says who and why. A version that is live is refused: first roll back to another one.

    :param version: the version's number, or a reference to it.
    :param reason: why, in a sentence. :param by: who decided it, by default the run.
    """

    job = "retire"
    service = "mlflow"
    template_fields: Sequence[str] = ("version", "reason", "by", *JobOperator.template_fields)
    roles = ("version",)

    def __init__(
        self, *, product: MLProduct | str, version: Any, reason: str, by: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(product=product, **kwargs)
        self.version, self.reason, self.by = version, reason, by

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        return {"version": chosen(self.artifacts(), self.kept_under(context), self.version)}

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"reason": self.reason, **({"by": self.by} if self.by and given(self.by) else {})}


def any_data(operator: JobOperator) -> dict[str, bool]:
    """Return the parameter of a job for which, without a product, any data counts."""
    return {} if isinstance(operator.given_product, MLProduct) else {"any_data": True}
