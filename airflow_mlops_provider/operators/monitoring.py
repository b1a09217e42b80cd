"""Monitoring: drift of what the model sees and says, and performance as far as the truth has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.events import extras
from airflow_mlops_provider.operators.links import ReportLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class PredictionsListNewOperator(BaseOperator):
    """Hands on what the prediction events that started the run carried: predictions, features, version.

    :param product: the product's declaration.
    """

    def __init__(self, *, product: MLProduct, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.product = product

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return one set of references per interval; of several for one interval the last stands."""
        seen = extras(context, assets.predictions(self.product))
        latest = {str(extra["reference"]["interval"]): extra for extra in seen}
        return [
            {"predictions": extra["reference"], "features": extra["features"], "version": extra["version"]}
            for extra in latest.values()
        ]


class EvidentlyCompareIntervalOperator(JobOperator):
    """Compares an interval's model inputs and predictions with the model's training window.

    :param predictions: reference to the interval's predictions.
    :param version: reference to the version that made them.
    """

    job = "drift"
    template_fields: Sequence[str] = ("predictions", "version")
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, predictions: Any, version: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictions = predictions
        self.version = version


class LabelsJudgePredictionsOperator(JobOperator):
    """Judges an interval's predictions by the labels that have arrived, and says what they were worth.

    :param predictions: reference to the interval's predictions.
    :param features: reference to the interval's features, which hold its labels.
    """

    job = "performance"
    template_fields: Sequence[str] = ("predictions", "features")
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, predictions: Any, features: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictions = predictions
        self.features = features
