"""Serving: batch prediction from the offline store with the model that is live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider import assets
from airflow_mlops_provider.hooks.tables import Files, write_to
from airflow_mlops_provider.jobs.tables import PREDICTIONS, SINCE
from airflow_mlops_provider.lifecycle.problem import AnyProblem
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, ModelVersion
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator
from airflow_mlops_provider.operators.lineage import event_extra
from airflow_mlops_provider.storage.intervals import LoadedFeatures, current, unpredicted
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records


class ModelFindLiveVersionOperator(ProductOperator):
    """Hands on the version that is live now, so that a whole run uses that one; with none live, the run is skipped."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the reference to the live version. :raises AirflowSkipException: if there is none."""
        live = Ledger(self.artifacts(), self.kept_under(context)).live()
        if live is None:
            raise AirflowSkipException(f"no version of {self.kept_under(context)} is live yet")
        return live.to_json()


class FeaturesListNewOperator(ProductOperator):
    """Hands on the features that are still to be predicted; with none the run is skipped.

    Events and the clock only wake it: it goes by the records. A run started by hand with nothing left to do takes the
    newest interval again.
    """

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return references to features, one per interval. :raises AirflowSkipException: if there are none."""
        return [dataset.to_json() for dataset in self.work_list(context, "features", unpredicted)]


class ModelPredictOperator(JobOperator):
    """Predicts each row of a table, and hands on the table ``predictions``: all its columns, and ``prediction``.

    :param model: what a training handed on, or ``models:/eta@champion`` and its like, see :class:`.JobOperator`.
    :param rows: any table: ``Files``, ``Sql``, a path, another task's output.
    :param to: a file or folder (ending in ``/``) that gets them as Parquet, too: ``s3://lake/eta/{{ ds }}/``.
    :param to_conn_id: the Airflow connection to that bucket.
    :param problem: what the predictions have to be, such as ``binary_classification``: else anything finite goes.
    :param conn_id: the MLflow connection in which a model is looked up.
    """

    job = "predict_table"
    service = "mlflow"
    template_fields: Sequence[str] = ("model", "rows", "to", *JobOperator.template_fields)
    roles = ("model", "rows")

    def __init__(
        self,
        *,
        model: Any,
        rows: Any,
        to: str | None = None,
        to_conn_id: str | None = None,
        problem: AnyProblem | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model, self.rows, self.to, self.to_conn_id = model, rows, to, to_conn_id
        self.take(problem=problem)

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        if self.to and manifest.result:
            write_to(Files(self.to, self.to_conn_id), self.artifacts(), manifest.result, PREDICTIONS)
        return super().finish(manifest, context)


class ModelPredictIntervalOperator(JobOperator):
    """Predicts every example of an interval from the offline store; its task sends the ``predictions`` asset event.

    Mapped over several intervals, it needs that asset as ``outlets`` in ``partial`` too: Airflow reads a mapped task's
    outlets there alone.

    :param scoring: the columns of a row and what makes the model's inputs of it, in place of the product's.
    """

    job = "predict"
    service = "feast"
    template_fields: Sequence[str] = ("features", "version", *JobOperator.template_fields)

    def __init__(
        self, *, product: MLProduct | str, features: Any, version: Any, scoring: Scoring | None = None, **kwargs: Any
    ) -> None:
        super().__init__(product=product, sends=[assets.predictions(product)], **kwargs)
        self.needs(scoring=scoring)
        self.take(scoring=scoring)
        self.features = features
        self.version = version
        self.before = ""  # known once the inputs are

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        """Return what the job takes: what was said of these rows before is found by itself."""
        given, store, name = super().inputs(context), self.artifacts(), self.kept_under(context)
        features, version, predicted = given["features"], given["version"], current(store, name, "predictions")
        if not isinstance(features, Dataset) or features.interval is None or not isinstance(version, ModelVersion):
            return given  # the job says what it takes instead
        loaded, begins = LoadedFeatures(store, name), features.interval.start
        self.before = loaded.hash(begins)
        for before in predicted:
            if before.interval == features.interval:
                # The same work again is found finished: it is given what it was given then.
                same = (before.facts.get("features"), before.facts.get("version")) == (features.hash, version.version)
                made = (
                    Records(store).made(before).manifest if same and loaded.are_those_of(before.facts, begins) else None
                )
                earlier = made.spec.inputs.get("earlier") if made else before
                given |= {"earlier": earlier} if earlier else {}
                self.before = made.spec.params.get("before", "") if made else self.before
        made_of = Records(store).made(features).manifest
        since = made_of.result.facts.get(SINCE) if made_of and made_of.result else None
        if since:
            history = [data for data in predicted if data.interval and data.interval.end <= features.interval.start]
            reached = tuple(data for data in history if data.interval.end > datetime.fromisoformat(since))  # type: ignore[union-attr]
            given |= {"history": reached} if reached else {}
        return given

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"before": self.before} if self.before else {}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        reference = super().finish(manifest, context)
        context["outlet_events"][assets.predictions(self.kept_under(context))].extra = event_extra(
            manifest, reference, features=self.features, version=self.version
        )
        return reference
