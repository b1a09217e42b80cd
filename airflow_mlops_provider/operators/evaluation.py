"""Evaluation: challenger against champion and a naive baseline, on the same later window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.lifecycle.references import AnyReference
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.events import artifact_store
from airflow_mlops_provider.operators.links import ReportLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class ModelEvaluateOperator(JobOperator):
    """Evaluates a model against the version that is live, if one is, and the naive baseline.

    :param model: reference to the challenger.
    :param training_set: reference to the training set; its later part is the window.
    """

    job = "evaluate"
    template_fields: Sequence[str] = ("model", "training_set")
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, model: Any, training_set: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.training_set = training_set

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        from airflow_mlops_provider.backends.ledger import Ledger

        live = Ledger(artifact_store(), self.product.name).live()
        return {**super().inputs(context), **({"champion": live} if live else {})}
