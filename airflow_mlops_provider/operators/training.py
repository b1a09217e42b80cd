"""Training: whether one is due, and the training itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from pydantic import ValidationError

from airflow_mlops_provider import assets
from airflow_mlops_provider.backends.models.base import flavor_of
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring import feedback
from airflow_mlops_provider.lifecycle.problem import AnyMetric, AnyProblem, Metric, metric_of
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.search.declaration import algorithm_of, incumbent
from airflow_mlops_provider.lifecycle.sections import Retraining, Windows
from airflow_mlops_provider.lifecycle.shape import Target
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.operators.base import JobOperator, ProductOperator, given
from airflow_mlops_provider.operators.links import MlflowRunLink
from airflow_mlops_provider.places.named import choice
from airflow_mlops_provider.runtime.functions import described
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.intervals import current, judgements, trainable
from airflow_mlops_provider.storage.ledger import Ledger

AS_DECLARED = {"None": "as declared"}


def form(product: MLProduct) -> dict[str, Param]:
    """Return the parameters of a DAG that trains: what is left as it is, is as the product declares it."""
    algorithms = product.search.algorithms if product.search else ()
    trainer = Param(
        None,
        type=["null", "string"],
        enum=[None, *(algorithm.name for algorithm in algorithms)],
        values_display=AS_DECLARED,
        title="Trainer",
        description="An algorithm of the product's search, with its fixed settings.",
    )
    return {"trainer": trainer, "place": place_param(product.training.place), "window": window_param(product)}


def place_param(declared: str | None) -> Param:
    """Return the parameter that says where a run trains. :param declared: where else it would."""
    return Param(
        None,
        type=["null", "string"],
        **choice(),
        values_display=AS_DECLARED,
        title="Place of the training",
        description=f"A place of [mlops] places. As declared: {declared or 'where [mlops] default_place says'}.",
    )


def window_param(product: MLProduct) -> Param:
    """Return the parameter that says how much a run trains on."""
    declared = product.training.windows.train
    return Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Window, data intervals",
        description=f"How many of them the model learns from. Empty: as declared, {declared}.",
    )


def windows_of(declared: MLProduct | Windows, window: Any) -> Windows:
    """Return how much is trained on and judged by.

    :param declared: by a product, or by itself.
    :param window: intervals to train on, in place of the declared ones; a template may have rendered to nothing.
    :raises AirflowFailException: if that is no number.
    """
    declared = declared.training.windows if isinstance(declared, MLProduct) else declared
    try:
        return Windows.model_validate({**dict(declared), "train": window}) if given(window) else declared
    except ValidationError:
        raise AirflowFailException(f"window is a number of data intervals from 1 on, not {window!r}") from None


def trainer_params(product: MLProduct, trainer: Any) -> dict[str, Any]:
    """Return the parameters of a job for which another trainer takes the place of the product's; none if none does.

    :param trainer: a whole one, or the name of an algorithm of the search, which may be the one that trains anyway; a
        template may have rendered to nothing.
    :raises UnknownNameError: if there is no such algorithm; the message lists the known ones.
    """
    if isinstance(trainer, Trainer):
        return {} if trainer == product.training.trainer else {"trainer": trainer.to_json()}
    if not given(trainer):
        return {}
    algorithm = algorithm_of(product.search.algorithms if product.search else (), trainer)
    return {} if incumbent([algorithm], product.training.trainer) else {"trainer": algorithm.trainer({}).to_json()}


class TrainingPlanRunOperator(ProductOperator):
    """Decides whether a training is due and on which features; if none is, the run is skipped with the reason.

    It hands on the references to the features to train on; cause and reason are in the XComs of those names.

    :param windows: on how many intervals is trained and judged, :param retraining: when it is due; both in place of the
        product's.
    :param window: how many intervals to learn from, in place of that of ``windows``; a template.
    """

    template_fields: Sequence[str] = ("window", *ProductOperator.template_fields)

    def __init__(
        self,
        *,
        windows: Windows | None = None,
        retraining: Retraining | None = None,
        window: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        declared = self.declaration.training if self.declaration else None
        self.windows = windows or (declared.windows if declared else Windows())
        self.retraining = retraining or (declared.retraining if declared else Retraining())
        self.window = window

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the references to train on. :raises AirflowSkipException: if no training is due, saying why."""
        store, name = self.artifacts(), self.kept_under(context)
        known = current(store, name, "features")
        newest, windows = known[-1].interval if known else None, windows_of(self.windows, self.window)
        available, trained = trainable(known, windows), last_trained(store, name)
        decision = feedback.plan(
            [dataset.interval for dataset in available if dataset.interval],
            trained,
            self.drift_lines(context, store, newest, trained),
            by_time=not context.get("triggering_asset_events"),
            windows=windows,
            policy=self.retraining,
            by_hand=context["dag_run"].run_type == "manual",
        )
        self.log.info("train=%s: %s", decision.cause is not None, decision.reason)
        for key in ("cause", "reason"):
            context["ti"].xcom_push(key=key, value=getattr(decision, key))
        if decision.cause is None:
            raise AirflowSkipException(decision.reason)
        return [dataset.to_json() for dataset in available[-decision.intervals :]]

    def drift_lines(
        self, context: Context, store: ArtifactStore, newest: Interval | None, trained: Interval | None
    ) -> list[str]:
        """Return the limits that monitoring saw crossed, by its records, in the intervals that drift events are about.

        Those of the newest interval count without an event, which may have got lost; what the last training has seen
        does not count any more.
        """
        name = self.kept_under(context)
        events = (context.get("triggering_asset_events") or {}).get(assets.drift(name), ())
        named = [event.extra.get("interval") for event in events if event.extra]
        return [
            line
            for judgement in judgements(store, name)
            if (seen := judgement.observation.interval) == newest or seen.to_json() in named
            if trained is None or seen.start >= trained.end
            for line in judgement.crossed
        ]


def last_trained(store: ArtifactStore, product: str) -> Interval | None:
    """Return the last feature interval that the newest registered version was made with; None before the first."""
    seen = [Dataset.model_validate(e.version.facts["training_set"]) for e in Ledger(store, product).entries()]
    intervals = [dataset.interval for dataset in seen if dataset.interval]
    return max(intervals, key=lambda interval: interval.end) if intervals else None


class ModelTrainOperator(JobOperator):
    """Trains a model with a plain function, and tells MLflow of it.

    With a product all is declared. Without one, say how and of what: every column of the table is an input, but for the
    truth and those left out; text is taken as categories.

    :param training_set: a training set of ours, or any table: ``Files``, ``Sql``, a path, another task's output.
    :param trainer: in place of the product's: a :class:`.Trainer`, the name of an algorithm of its search, or just the
        function ``(features: DataFrame, label: Series, settings: dict, seed: int) -> model``.
    :param flavor: the format of models of such a function.
    :param problem, label, leave_out: see :class:`.Target`; ``label`` is the column of the truth.
    """

    job = "train"
    service = "mlflow"
    template_fields: Sequence[str] = ("training_set", "trainer", *JobOperator.template_fields)
    roles = ("training_set",)
    operator_extra_links = (MlflowRunLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        training_set: Any,
        trainer: Trainer | Callable[..., Any] | str | None = None,
        flavor: str = "lightgbm",
        settings: Mapping[str, Any] | None = None,
        problem: AnyProblem | None = None,
        label: str | None = None,
        leave_out: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_set = training_set
        self.trainer = trainer_of(trainer, flavor, settings or {})
        self.needs(problem=problem, label=label, trainer=self.trainer if isinstance(self.trainer, Trainer) else None)
        target = target_of(problem, label, leave_out)
        self.take(scoring=target, trainer=self.trainer if target else None)

    def params_of(self, context: Context) -> dict[str, Any]:
        # Where the product says what is learned, another trainer is recorded as in place of its own.
        return {} if self.overrides else trainer_params(self.product, self.trainer)


def trainer_of(given: Any, flavor: str, settings: Mapping[str, Any]) -> Any:
    """Return a function as a trainer; anything else as it is. :raises ConfigurationError: for one that can't travel."""
    if not callable(given):
        return given
    requires = tuple(dict.fromkeys((*flavor_of(flavor).to_train, "numpy", "pandas")))
    return Trainer(code=described(given), flavor=flavor, settings=dict(settings), requires=requires)


def metric_or_none(problem: AnyProblem | None, metric: AnyMetric | None) -> Metric | None:
    """Return by what a model is judged; None where no problem was named. Raises as :func:`.metric_of`."""
    return metric_of(problem, metric) if problem else None


def target_of(problem: AnyProblem | None, label: str | None, leave_out: Collection[str]) -> Target | None:
    """Return what is learned from a table; None where nothing was said.

    :raises ConfigurationError: if only one of problem and label is given.
    """
    if problem is None and label is None and not leave_out:
        return None
    if problem is None or label is None:
        raise ConfigurationError("problem= says what kind of truth the column label= holds; give both")
    return Target(problem=problem, column=label, leave_out=tuple(leave_out))
