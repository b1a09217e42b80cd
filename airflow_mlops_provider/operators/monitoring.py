"""Monitoring: drift of what the model sees and says, and performance as far as the truth has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.events import artifact_store, work_list
from airflow_mlops_provider.operators.links import ReportLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops_provider.lifecycle.records.spec import JobSpec
    from airflow_mlops_provider.lifecycle.references import Dataset


class PredictionsListNewOperator(BaseOperator):
    """Hands on the predictions that are still to be judged, with features and version; with none the run is skipped.

    Events and the clock only wake it: it goes by the records. A run started by hand with nothing left to do takes the
    newest interval again.

    :param product: the product's declaration.
    """

    def __init__(self, *, product: MLProduct, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.product = product

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return a set of references per interval. :raises AirflowSkipException: if there are none."""
        from airflow_mlops_provider.storage.intervals import current, unjudged
        from airflow_mlops_provider.storage.records import Records

        store, name = artifact_store(), self.product.name
        found = work_list(context, unjudged(store, name), lambda: current(store, name, "predictions"))
        records = Records(store)
        made = [(dataset, records.made(dataset)) for dataset in found]
        for _, one in made:
            if one.manifest is None:
                self.log.error("left out: %s", one.missing)
        return [self._references(dataset, one.manifest.spec) for dataset, one in made if one.manifest]

    @staticmethod
    def _references(predictions: Dataset, made_from: JobSpec) -> dict[str, Any]:
        inputs = {role: made_from.inputs[role] for role in ("features", "version")}
        return {role: one.to_json() for role, one in {"predictions": predictions, **inputs}.items()}  # type: ignore[union-attr]


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
