"""Experimentation: a search over algorithms and their settings, trial by trial; people review what it finds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider.backends.extras import lacking
from airflow_mlops_provider.lifecycle.problem import AnyMetric, AnyProblem, check_limits
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search.declaration import MOST_TRIALS, Algorithm, Criteria, Search
from airflow_mlops_provider.lifecycle.sections import Windows
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator
from airflow_mlops_provider.operators.evaluation import timed_target
from airflow_mlops_provider.operators.links import MlflowRunLink, ReportLink
from airflow_mlops_provider.operators.training import metric_or_none, place_param, trainer_of, window_param, windows_of
from airflow_mlops_provider.storage.intervals import current, trainable

FORM = ("trials", "target", "patience", "min_gain", "minutes")
NOTE = "needs_data_change"


def form(product: MLProduct) -> dict[str, Param]:
    """Return the parameters of a DAG that searches: what is left as it is, is as the product declares it."""
    assert product.search is not None
    declared, number, metric = product.search.criteria(), ["null", "number"], product.metric.name
    return {
        "trials": Param(
            declared.trials,
            type="integer",
            minimum=1,
            maximum=MOST_TRIALS,
            title="Trials at most",
            description=offer(product.search.algorithms),
        ),
        "target": Param(declared.target, type=number, title=f"Target, {metric}"),
        "patience": Param(declared.patience, type=["null", "integer"], minimum=1, title="Patience, trials"),
        "min_gain": Param(declared.min_gain, type="number", minimum=0, title=f"Least gain, {metric}"),
        "minutes": Param(
            declared.minutes, type=number, exclusiveMinimum=0, title="Budget, minutes of training in all trials"
        ),
        "place": place_param(product.search.place),
        "window": window_param(product),
        NOTE: Param(
            None,
            type=["null", "string"],
            title="The data must change",
            description="What data engineering should know: what is missing or wrong in the data, and how it shows.",
        ),
    }


def offer(algorithms: Sequence[Algorithm]) -> str:
    """Return which algorithms would be tried if jobs ran where this DAG is read, and why others would be left out."""
    left_out = {algorithm.name: why for algorithm in algorithms if (why := lacking(algorithm))}
    tried = ", ".join(algorithm.name for algorithm in algorithms if algorithm.name not in left_out)
    notes = [f"{name} is left out where jobs run with what is installed here: {why}" for name, why in left_out.items()]
    return ". ".join([f"Tried: {tried or 'none'}", *notes])


class _SearchingOperator(ProductOperator):
    """Has a part in a search. In place of what a product declares:

    :param search: what is tried, and when it stops.
    :param problem, metric: by what trials are judged: as :class:`.ModelEvaluateOperator` has them.
    """

    def __init__(
        self,
        *,
        search: Search | None = None,
        problem: AnyProblem | None = None,
        metric: AnyMetric | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.needs(search=search, problem=problem)
        self.declared_search = search
        self.take(metric=metric_or_none(problem, metric))

    def sections(self) -> dict[str, Any]:
        """Return what the operator was given of its job's settings, in place of the product's."""
        from airflow_mlops_provider.runtime.definition import find_job

        assert isinstance(self, JobOperator)
        takes = find_job(self.job).settings.model_fields.keys() & Search.model_fields.keys()
        searched = {name: getattr(self.declared_search, name) for name in takes} if self.declared_search else {}
        return {**searched, **self.overrides}

    def criteria(self, context: Context) -> Criteria:
        """Return when the run's search stops. :raises AirflowFailException: for a value in the form that can't be."""
        search = self.declared_search or self.product.search
        if search is None:
            raise AirflowFailException(f"product {self.product.name!r} declares no search")
        given = {name: context["params"][name] for name in FORM if name in context["params"]}
        try:
            criteria = search.criteria(**given)
            check_limits(self.overrides.get("metric") or self.product.metric, {"target": criteria.target}, {})
        except ValueError as error:
            raise AirflowFailException(f"this search can't stop so: {error}") from None
        return criteria


class ExperimentPlanDataOperator(ProductOperator):
    """Hands on the references to the latest features, as many intervals as a training takes.

    :param windows: on how many intervals is trained and judged, in place of the product's.
    :param window: how many intervals to learn from, in place of that of ``windows``; a template.
    """

    template_fields: Sequence[str] = ("window", *ProductOperator.template_fields)

    def __init__(self, *, windows: Windows | None = None, window: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.needs(windows=windows)
        self.windows, self.window = windows, window

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the references. :raises AirflowFailException: if too few intervals are there, saying how many."""
        windows = windows_of(self.windows or self.product, self.window)
        known = current(self.artifacts(), self.kept_under(context), "features")
        wanted = windows.train + windows.evaluate
        latest = trainable(known, windows)[-wanted:]
        if len(latest) < wanted:
            what = f"{len(latest)} of the {wanted} feature intervals that a training takes are there"
            raise AirflowFailException(what)
        self.log.info("experimenting on the features of %s to %s", latest[0].interval, latest[-1].interval)
        return [dataset.to_json() for dataset in latest]


class ExperimentPlanTrialsOperator(_SearchingOperator):
    """Hands on one number for each trial that the run's form, or the product, asks for."""

    def execute(self, context: Context) -> list[int]:
        """Return the slots. :raises AirflowFailException: for a value in the form that can't be."""
        criteria = self.criteria(context)
        self.log.info("the search stops at: %s", criteria)
        return list(range(criteria.trials))


class _TriedOperator(_SearchingOperator, JobOperator):
    """Needs to know what is learned. Without a product that is any table with the truth in it.

    :param label, leave_out: see :class:`.ModelTrainOperator`; they have to be as there.
    :param time: the column by which rows are split, so that the later ones judge: times, days, or numbers.
    """

    def __init__(
        self,
        *,
        problem: AnyProblem | None = None,
        label: str | None = None,
        leave_out: Collection[str] = (),
        time: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(problem=problem, **kwargs)
        self.needs(label=label, time=time)
        self.take(scoring=timed_target(problem, label, leave_out, time))


class ExperimentOpenSearchOperator(_TriedOperator):
    """Splits the training rows by time into those to learn from and those to judge on, and opens the study.

    :param training_set: a training set of ours, whose evaluation window is left alone; or any table.
    :param trainer: the pipeline's own, in place of the product's: its settings are the first trial, if the search holds
        them. A function comes with ``flavor`` and ``settings``, as :class:`.ModelTrainOperator` has them.
    """

    job = "search"
    service = "search"
    template_fields: Sequence[str] = ("training_set", *JobOperator.template_fields)

    def __init__(
        self,
        *,
        training_set: Any,
        trainer: Trainer | Callable[..., Any] | None = None,
        flavor: str = "lightgbm",
        settings: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_set = training_set
        self.take(trainer=trainer_of(trainer, flavor, settings or {}))

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"criteria": self.criteria(context).to_json()}


class ExperimentRunTrialOperator(_TriedOperator):
    """Runs one trial of a search, at any place; a slot that begins after the search has stopped is skipped.

    :param split: reference to the split training rows, which names the study.
    :param slot: the trial's number, from 0. Tried again, it is the same trial with the same settings.
    """

    job = "trial"
    service = "search"
    template_fields: Sequence[str] = ("split", "slot", *JobOperator.template_fields)
    roles = ("split",)

    def __init__(self, *, split: Any, slot: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.split = split
        self.slot = slot

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the trial and return its report. :raises AirflowSkipException: if the search has stopped, saying why."""
        from airflow_mlops_provider.jobs.experimentation.study import load_stop

        study, criteria = self.split["facts"]["study"], self.criteria(context)
        stopped = load_stop(self.artifacts(), self.kept_under(context), study, criteria)
        begun = self._event is not None or context["ti"].try_number > 1  # there may be a trial to finish
        if stopped and not begun:
            raise AirflowSkipException(f"the search has stopped: {stopped.reason}")
        return super().execute(context)

    def params_of(self, context: Context) -> dict[str, Any]:
        criteria = self.criteria(context).to_json()
        return {"slot": int(self.slot), "study": self.split["facts"]["study"], "criteria": criteria}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        report = super().finish(manifest, context)
        if "skipped" in report["facts"]:
            raise AirflowSkipException(f"the search has stopped: {report['facts']['skipped']}")
        return report


class ExperimentConcludeSearchOperator(_SearchingOperator, JobOperator):
    """Ends a search: says why it stopped, which trial won, and whether that is worth anything.

    :param split: reference to the split training rows, which names the study.
    """

    job = "conclude"
    service = "search"
    template_fields: Sequence[str] = ("split", *JobOperator.template_fields)
    operator_extra_links = (ReportLink(), MlflowRunLink(), *JobOperator.operator_extra_links)

    def __init__(self, *, split: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.split = split

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the search's report. :raises AirflowFailException: if no search was opened."""
        if not self.split:  # it also runs where trials failed, and so where everything before it did
            raise AirflowFailException("no search was opened: look at the tasks before this one")
        return super().execute(context)

    def params_of(self, context: Context) -> dict[str, Any]:
        note = context["params"].get(NOTE)
        criteria = self.criteria(context).to_json()
        return {"study": self.split["facts"]["study"], "criteria": criteria, **({NOTE: note} if note else {})}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        report = super().finish(manifest, context)
        if report["facts"]["best"] is None:
            raise AirflowFailException(
                f"no trial was complete: {report['facts']['stopped']}; the report is {report['uri']}"
            )
        return report


class ExperimentExportSettingsOperator(JobOperator):
    """Commits the winner's settings to the product's repository, on a branch of its own, for people to merge.

    :param search: reference to the search's report.
    :param data_scientist, ml_engineer: who is named as the commit's author, and as its committer; in place of the
        product's.
    """

    job = "export_settings"
    service = "source"
    template_fields: Sequence[str] = ("search", *JobOperator.template_fields)

    def __init__(
        self, *, search: Any, data_scientist: str | None = None, ml_engineer: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.search = search
        people = {"data_scientist": data_scientist, "ml_engineer": ml_engineer}
        self.needs(**people)
        self.take(**people)

    def params_of(self, context: Context) -> dict[str, Any]:
        return {} if isinstance(self.given_product, MLProduct) else {"any_folder": True}

    def execute(self, context: Context) -> dict[str, Any]:
        """Export the winner. :raises AirflowSkipException: if there is none that is worth it, saying why."""
        report = Report.model_validate(self.search)
        if not report.verdict("search"):
            raise AirflowSkipException("; ".join(report.broken))
        return super().execute(context)
