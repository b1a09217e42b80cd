"""Experimentation: a search over algorithms and their settings, trial by trial; people review what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops_provider.backends.extras import lacking
from airflow_mlops_provider.lifecycle.metrics import check_limits
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search.declaration import MOST_TRIALS, Algorithm, Criteria
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator
from airflow_mlops_provider.operators.links import MlflowRunLink, ReportLink
from airflow_mlops_provider.operators.training import place_param, window_param, windows_of
from airflow_mlops_provider.storage.intervals import current, leading_to

FORM = ("trials", "target", "patience", "min_gain", "minutes")
NOTE = "needs_data_change"


def form(product: MLProduct) -> dict[str, Param]:
    """Return the parameters of a DAG that searches: what is left as it is, is as the product declares it."""
    assert product.search is not None
    declared, number = product.search.criteria(), ["null", "number"]
    return {
        "trials": Param(
            declared.trials,
            type="integer",
            minimum=1,
            maximum=MOST_TRIALS,
            title="Trials at most",
            description=offer(product.search.algorithms),
        ),
        "target": Param(declared.target, type=number, title=f"Target, {product.evaluation.metric}"),
        "patience": Param(declared.patience, type=["null", "integer"], minimum=1, title="Patience, trials"),
        "min_gain": Param(
            declared.min_gain, type="number", minimum=0, title=f"Least gain, {product.evaluation.metric}"
        ),
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


def criteria_of(product: MLProduct, context: Context) -> Criteria:
    """Return when the run's search stops. :raises AirflowFailException: for a value in the form that can't be."""
    if product.search is None:
        raise AirflowFailException(f"product {product.name!r} declares no search")
    given = {name: context["params"][name] for name in FORM if name in context["params"]}
    try:
        criteria = product.search.criteria(**given)
        check_limits(product.metric, {"target": criteria.target}, {})
    except ValueError as error:
        raise AirflowFailException(f"this search can't stop so: {error}") from None
    return criteria


class ExperimentPlanDataOperator(ProductOperator):
    """Hands on the references to the latest features, as many intervals as a training takes.

    :param window: how many intervals to learn from, in place of the declared number.
    """

    template_fields: Sequence[str] = ("window",)

    def __init__(self, *, window: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the references. :raises AirflowFailException: if too few intervals are there, saying how many."""
        windows, known = (
            windows_of(self.product, self.window),
            current(self.artifacts(), self.kept_under(context), "features"),
        )
        wanted = windows.train + windows.evaluate
        latest = leading_to(known, known[-1].interval, wanted) if known and known[-1].interval else ()
        if len(latest) < wanted:
            raise AirflowFailException(
                f"{len(latest)} of the {wanted} feature intervals that a training takes are there"
            )
        self.log.info("experimenting on the features of %s to %s", latest[0].interval, latest[-1].interval)
        return [dataset.to_json() for dataset in latest]


class ExperimentPlanTrialsOperator(ProductOperator):
    """Hands on one number for each trial that the run's form, or the product, asks for."""

    def execute(self, context: Context) -> list[int]:
        """Return the slots. :raises AirflowFailException: for a value in the form that can't be."""
        criteria = criteria_of(self.product, context)
        self.log.info("the search stops at: %s", criteria)
        return list(range(criteria.trials))


class ExperimentOpenSearchOperator(JobOperator):
    """Splits the training rows by time into those to learn from and those to judge on, and opens the study.

    :param training_set: reference to the training set; its evaluation window is left alone.
    """

    job = "search"
    service = "search"
    template_fields: Sequence[str] = ("training_set", *JobOperator.template_fields)

    def __init__(self, *, training_set: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_set = training_set

    def params_of(self, context: Context) -> dict[str, Any]:
        return {"criteria": criteria_of(self.product, context).to_json()}


class ExperimentRunTrialOperator(JobOperator):
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

        study, criteria = self.split["facts"]["study"], criteria_of(self.product, context)
        stopped = load_stop(self.artifacts(), self.product.name, study, criteria)
        begun = self._event is not None or context["ti"].try_number > 1  # there may be a trial to finish
        if stopped and not begun:
            raise AirflowSkipException(f"the search has stopped: {stopped.reason}")
        return super().execute(context)

    def params_of(self, context: Context) -> dict[str, Any]:
        criteria = criteria_of(self.product, context).to_json()
        return {"slot": int(self.slot), "study": self.split["facts"]["study"], "criteria": criteria}

    def finish(self, manifest: Manifest, context: Context) -> dict[str, Any]:
        report = super().finish(manifest, context)
        if "skipped" in report["facts"]:
            raise AirflowSkipException(f"the search has stopped: {report['facts']['skipped']}")
        return report


class ExperimentConcludeSearchOperator(JobOperator):
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
        criteria = criteria_of(self.product, context).to_json()
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
    """

    job = "export_settings"
    service = "source"
    template_fields: Sequence[str] = ("search", *JobOperator.template_fields)

    def __init__(self, *, search: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.search = search

    def execute(self, context: Context) -> dict[str, Any]:
        """Export the winner. :raises AirflowSkipException: if there is none that is worth it, saying why."""
        report = Report.model_validate(self.search)
        if not report.verdict("search"):
            raise AirflowSkipException("; ".join(report.broken))
        return super().execute(context)
