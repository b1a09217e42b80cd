"""Monitoring: drift of what the model sees and says, and performance as far as the truth has arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider.backends.model_server.launcher import log_folder
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.extensions import DRIFT_METHODS
from airflow_mlops_provider.lifecycle.frozen import only_known
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import DriftLimits
from airflow_mlops_provider.lifecycle.problem import AnyMetric, AnyProblem
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset
from airflow_mlops_provider.lifecycle.sections import Monitoring, Value
from airflow_mlops_provider.lifecycle.shape import Shape
from airflow_mlops_provider.operators.base import MOST, JobOperator, ProductOperator
from airflow_mlops_provider.operators.links import ReportLink
from airflow_mlops_provider.operators.training import metric_or_none
from airflow_mlops_provider.operators.validation import judged
from airflow_mlops_provider.serving.log_files import uncollected
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import SERVED, answered, current, truth_since, unjudged, unjudged_served
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records

#: An interval's answers are in the servers' files so long after its end.
SETTLED = timedelta(minutes=5)


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


class PredictionsListServedOperator(ProductOperator):
    """Hands on the data intervals in which model servers answered and whose answers are still to be collected.

    It goes by the names of the files in the servers' log, which it must be able to reach itself: closed intervals, with
    a file of which no collected dataset tells. With none the run is skipped.

    :param cron: where intervals begin and end, in UTC, in place of the product's schedule.
    :param served_log: the folder or bucket with the servers' logs, in place of where they lie by default.
    """

    template_fields: Sequence[str] = ("served_log", *ProductOperator.template_fields)

    def __init__(self, *, cron: str | None = None, served_log: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.needs(cron=cron)
        self.cron, self.served_log = cron or self.product.schedule.cron, served_log

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the intervals, oldest first. :raises AirflowSkipException: if there are none."""
        store, name = self.artifacts(), self.kept_under(context)
        files = open_store(self.served_log or str(log_folder(store.uri, name))).list("")
        known = {dataset.interval: dataset.facts for dataset in current(store, name, SERVED)}
        waiting = uncollected(self.cron, files, known, datetime.now(UTC) - SETTLED)
        if not waiting:
            raise AirflowSkipException("nothing is left to do: no interval waits to be collected")
        if len(waiting) > MOST:
            self.log.warning("%d intervals wait: the next %d are done, and the next run goes on", len(waiting), MOST)
        return [interval.to_json() for interval in waiting[:MOST]]


class PredictionsListCollectedOperator(ProductOperator):
    """Hands on what was collected of servers' answers and is still to be judged, once for each version that answered.

    With none the run is skipped; one started by hand with nothing left to do takes the newest interval again.

    :param shape: in place of the product's: where labels arrive by themselves, answers are judged again as they do.
    """

    def __init__(self, *, shape: Shape | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = shape or (self.declaration.shape if self.declaration else None)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return sets of references to predictions and version. :raises AirflowSkipException: if there are none."""
        undone = partial(unjudged_served, label=self.shape.label if self.shape else None)
        waiting = self.work_list(context, SERVED, undone)
        ledger = Ledger(self.artifacts(), self.kept_under(context)).entries()
        versions, references = {entry.version.version: entry.version for entry in ledger}, []
        for dataset, number in [(served, number) for served in waiting for number in answered(served)]:
            if number in versions:
                references.append({"predictions": dataset.to_json(), "version": versions[number].to_json()})
            else:
                self.log.error("left out: version %d answered in %s, and is in no ledger", number, dataset.interval)
        if not references:
            raise AirflowSkipException("nothing is left to do: nobody of whom the ledger knows has answered")
        return references[:MOST]


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
    :param problem: the kind of problem, in place of the product's; without either a prediction is a number.
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
        problem: AnyProblem | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(monitoring=monitoring, problem=problem, seed=seed)
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
        metric: AnyMetric | None = None,
        value: Value | None = None,
        min_metric: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.needs(shape=shape)
        problem = shape.problem if shape else self.product.problem
        self.take(shape=shape, metric=metric_or_none(problem, metric), value=value, min_metric=min_metric)
        self.predictions = predictions
        self.features = features
        self.truth_of = (shape or self.product.shape).label

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        tables = current(self.artifacts(), self.kept_under(context), "clean") if self.truth_of.truth else []
        truth = truth_since(tables, self.truth_of, self.interval(context), self.truth_of.delay)
        return {**super().inputs(context), **({"truth": truth} if truth else {})}
