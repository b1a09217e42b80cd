"""Monitoring: drift of what the model sees and says, and performance as far as the truth has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator, artifact_store
from airflow_mlops_provider.operators.links import ReportLink
from airflow_mlops_provider.storage.intervals import unjudged
from airflow_mlops_provider.storage.records import Records


class PredictionsListNewOperator(ProductOperator):
    """Hands on the predictions that are still to be judged, with features and version; with none the run is skipped.

    Events and the clock only wake it: it goes by the records. A run started by hand with nothing left to do takes the
    newest interval again.
    """

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return a set of references per interval. :raises AirflowSkipException: if there are none."""
        records, references = Records(artifact_store()), []
        for predictions in self.work_list(context, "predictions", unjudged):
            made = records.made(predictions)
            if made.manifest is None:
                self.log.error("left out: %s", made.missing)
            else:
                references.append(self._references(predictions, made.manifest.spec))
        return references

    @staticmethod
    def _references(predictions: Dataset, made_from: JobSpec) -> dict[str, Any]:
        inputs = {role: made_from.inputs[role] for role in ("features", "version")}
        references = {"predictions": predictions, **inputs}
        return {role: given.to_json() for role, given in references.items()}  # type: ignore[union-attr]


class EvidentlyCompareIntervalOperator(JobOperator):
    """Compares an interval's model inputs and predictions with the training window of the version that made them."""

    job = "drift"
    template_fields: Sequence[str] = ("predictions", "version")
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, predictions: Any, version: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictions = predictions
        self.version = version


class LabelsJudgePredictionsOperator(JobOperator):
    """Judges an interval's predictions by the labels that its features now hold, and says what they were worth."""

    job = "performance"
    template_fields: Sequence[str] = ("predictions", "features")
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, predictions: Any, features: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictions = predictions
        self.features = features
