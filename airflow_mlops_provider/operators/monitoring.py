"""Monitoring: drift of what the model sees and says, and performance as far as the truth has arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.extensions import DRIFT_METHODS
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import DriftLimits
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset
from airflow_mlops_provider.lifecycle.sections import Monitoring, Value
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator
from airflow_mlops_provider.operators.links import ReportLink
from airflow_mlops_provider.operators.training import metric_or_none
from airflow_mlops_provider.operators.validation import judged
from airflow_mlops_provider.storage.intervals import current, truth_since, unjudged
from airflow_mlops_provider.storage.records import Records


class PredictionsListNewOperator(ProductOperator):
    """Hands on the predictions that are still to be judged, with features and version; with none the run is skipped.

    Events and the clock only wake it: it goes by the records. A run started by hand with nothing left to do takes the
    newest interval again.

    :param shape: in place of the product's: where labels arrive by themselves, predictions are judged again as they do.
    """

    def __init__(self, *, shape: Shape | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = shape or (self.declaration.shape if self.declaration else None)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return a set of references per interval. :raises AirflowSkipException: if there are none."""
        records, references = Records(self.artifacts()), []
        undone = partial(unjudged, label=self.shape.label if self.shape else None)
        for predictions in self.work_list(context, "predictions", undone):
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


class PredictionsCollectServedOperator(JobOperator):
    """Collects what model servers answered over REST in a data interval into a dataset like one of batch predictions.

    :param window: the interval as ``{"start": …, "end": …}``, which may be handed on by a task; else the DAG run's own.
    :param shape: the columns of a row, in place of the product's.
    :param served_log: the folder or bucket with the servers' logs, in place of where they lie by default.
    """

    job = "collect"
    roles = ()
    template_fields: Sequence[str] = ("window", "served_log", *JobOperator.template_fields)

    def __init__(
        self, *, window: Any = None, shape: Shape | None = None, served_log: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.needs(shape=shape)
        self.take(shape=shape)
        self.window, self.served_log = window, served_log

    def interval(self, context: Context) -> Interval | None:
        """Return the interval that is collected."""
        return Interval.model_validate(self.window) if self.window else super().interval(context)

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"log": self.served_log} if self.served_log else {}


class EvidentlyCompareIntervalOperator(JobOperator):
    """Compares an interval's model inputs and predictions with the training window of the version that made them.

    :param monitoring: the limits, in place of the product's.
    :param seed: by which rows are drawn, in place of that of the product's trainer; without a product 13.
    """

    job = "drift"
    template_fields: Sequence[str] = ("predictions", "version", *JobOperator.template_fields)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        predictions: Any,
        version: Any,
        monitoring: Monitoring | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(monitoring=monitoring, seed=seed)
        self.predictions = predictions
        self.version = version


class EvidentlyReportOperator(JobOperator):
    """Compares two tables column by column: a report of what has moved, with Evidently's own page and figures.

    It hands the report on, passed or not. What can't be compared is counted and said, and is no error: columns in one
    table only, of another type, nested; times and text of many values too, unless they are named. Numbers are
    compared as numbers, text and truth values as categories.

    :param reference, current: what another task hands on, a path or pattern, ``Files`` or ``Sql``.
    :param columns: compare these alone.
    :param limits: what must be kept; by default less than half of the columns have drifted.
    :param method: what measures: ``evidently``, or another's name or import path.
    :param tests: Evidently's presets whose own tests are run as well: ``DataSummaryPreset``.
    :param tables: of a dataset with several tables, which is meant: ``{"reference": "train"}``.
    :param sample: at most this many rows of each table are compared, drawn by ``seed``.
    :param fail: whether a crossed limit, or a failed test, fails the task once its report is published.
    :raises ConfigurationError, UnknownNameError: for limits that are none, or an unknown method.
    """

    job = "compare"
    roles = ("reference", "current")
    template_fields: Sequence[str] = ("reference", "current", "columns", *JobOperator.template_fields)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        reference: Any,
        current: Any,
        columns: Sequence[str] = (),
        limits: DriftLimits | None = None,
        method: str = "evidently",
        tests: Sequence[str] = (),
        tables: Mapping[str, str] | None = None,
        sample: int = 5000,
        seed: int = 13,
        fail: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(limits, DriftLimits | None):
            raise ConfigurationError(f"limits={limits!r:.200} are none; give DriftLimits(share=…, columns={{…}})")
        if isinstance(columns, str):
            raise ConfigurationError(f"columns={columns!r} is one text; give a list of names")
        only_known("table", tables or (), self.roles)
        self.reference, self.current, self.columns = reference, current, columns
        measured = {"method": DRIFT_METHODS.checked(method), "tests": tests, "sample": sample, "seed": seed}
        self.take(limits=limits, tables=tables, **measured)
        self.fail = fail

    def sections(self) -> dict[str, Any]:
        return {**self.overrides, "columns": self.columns}

    def interval(self, context: Context) -> Interval | None:
        """Return the first table's own data interval: what is measured depends on no other."""
        return super().interval({})

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        return judged(manifest, context, "drift", "limit(s) crossed", fail=self.fail)


class LabelsJudgePredictionsOperator(JobOperator):
    """Judges an interval's predictions by the labels that have arrived, and says what they were worth.

    :param features: whose examples hold the labels; not needed where these arrive by themselves, see ``label.truth``.
    :param shape, metric, value, min_metric: in place of the product's: the columns, one of the problem's metrics, what
        right and false alarms are worth, and what the metric must reach.
    """

    job = "performance"
    template_fields: Sequence[str] = ("predictions", "features", *JobOperator.template_fields)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        predictions: Any,
        features: Any = None,
        shape: Shape | None = None,
        metric: str | None = None,
        value: Value | None = None,
        min_metric: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.needs(shape=shape, metric=metric)
        problem = shape.problem if shape else self.product.problem
        self.take(shape=shape, metric=metric_or_none(problem, metric), value=value, min_metric=min_metric)
        self.predictions = predictions
        self.features = features
        self.truth_of = (shape or self.product.shape).label

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        tables = current(self.artifacts(), self.kept_under(context), "clean") if self.truth_of.truth else []
        truth = truth_since(tables, self.truth_of, self.interval(context), self.truth_of.delay)
        return {**super().inputs(context), **({"truth": truth} if truth else {})}
