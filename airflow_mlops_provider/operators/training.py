"""Training: whether one is due, and the training itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring import feedback
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator, artifact_store
from airflow_mlops_provider.operators.links import MlflowRunLink
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore
from airflow_mlops_provider.storage.intervals import current, judgements, leading_to
from airflow_mlops_provider.storage.ledger import Ledger


class TrainingPlanRunOperator(ProductOperator):
    """Decides whether a training is due and on which features; if none is, the run is skipped with the reason.

    It hands on the references to the features to train on; cause and reason are in the XComs of those names.
    """

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the references to train on. :raises AirflowSkipException: if no training is due, saying why."""
        store, product = artifact_store(), self.product
        known = current(store, product.name, "features")
        available = leading_to(known, known[-1].interval, len(known)) if known and known[-1].interval else ()
        trained = last_trained(store, product)
        decision = feedback.plan(
            [dataset.interval for dataset in available if dataset.interval],
            trained,
            self.drift_lines(context, store, available[-1].interval if available else None, trained),
            by_time=not context.get("triggering_asset_events"),
            windows=product.training.windows,
            policy=product.training.retraining,
            by_hand=context["dag_run"].run_type == "manual",
        )
        self.log.info("train=%s: %s", decision.cause is not None, decision.reason)
        for key in ("cause", "reason"):
            context["ti"].xcom_push(key=key, value=getattr(decision, key))
        if decision.cause is None:
            raise AirflowSkipException(decision.reason)
        return [dataset.to_json() for dataset in available[-decision.intervals :]]

    def drift_lines(
        self, context: Context, store: FolderStore | BucketStore, newest: Interval | None, trained: Interval | None
    ) -> list[str]:
        """Return the limits that monitoring saw crossed, by its records, in the intervals that drift events are about.

        Those of the newest interval count without an event, which may have got lost; what the last training has seen
        does not count any more.
        """
        events = (context.get("triggering_asset_events") or {}).get(assets.drift(self.product), ())
        named = [event.extra.get("interval") for event in events if event.extra]
        return [
            line
            for judgement in judgements(store, self.product.name)
            if (seen := judgement.observation.interval) == newest or seen.to_json() in named
            if trained is None or seen.start >= trained.end
            for line in judgement.crossed
        ]


def last_trained(store: FolderStore | BucketStore, product: MLProduct) -> Interval | None:
    """Return the last feature interval that the newest registered version was made with; None before the first."""
    seen = [Dataset.model_validate(e.version.facts["training_set"]) for e in Ledger(store, product.name).entries()]
    intervals = [dataset.interval for dataset in seen if dataset.interval]
    return max(intervals, key=lambda interval: interval.end) if intervals else None


class ModelTrainOperator(JobOperator):
    """Trains a model with the product's own function and tells MLflow of it."""

    job = "train"
    template_fields: Sequence[str] = ("training_set",)
    operator_extra_links = (MlflowRunLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, training_set: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_set = training_set
