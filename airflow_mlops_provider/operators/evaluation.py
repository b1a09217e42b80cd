"""Evaluation: challenger against champion and a naive baseline, on the same later window; retuned where it fails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.problem import AnyMetric, AnyProblem
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import AnyReference, ModelVersion, Report, parse_reference
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.gates import judge
from airflow_mlops_provider.lifecycle.sections import Gates, Retuning
from airflow_mlops_provider.lifecycle.shape import TimedTarget
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.links import ReportLink
from airflow_mlops_provider.operators.training import metric_or_none, target_of, trainer_of, trainer_params
from airflow_mlops_provider.places.retry_policy import final_failures
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records


class ModelEvaluateOperator(JobOperator):
    """Evaluates a model against the live version, if there is one, and the naive baseline, on a training set's end.

    Without a product, the training set is any table with the truth in it, and the whole of it is judged on.

    :param problem, label, leave_out: see :class:`.ModelTrainOperator`; they have to be as there.
    :param metric: one of the problem's, such as ``roc_auc``, or a :class:`.Metric` of your own; by default the first.
    :param slices: columns by which the evaluation is broken down.
    :param gates: what it will have to show, in place of the product's: it decides what is measured.
    """

    job = "evaluate"
    template_fields: Sequence[str] = ("model", "training_set", *JobOperator.template_fields)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        model: Any,
        training_set: Any,
        problem: AnyProblem | None = None,
        label: str | None = None,
        leave_out: Collection[str] = (),
        metric: AnyMetric | None = None,
        slices: Collection[str] | None = None,
        gates: Gates | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.training_set = training_set
        self.needs(problem=problem, label=label)
        judged_by = {
            "metric": metric_or_none(problem, metric),
            "slices": None if slices is None else tuple(slices),
            "gates": gates,
        }
        self.take(scoring=target_of(problem, label, leave_out), **judged_by)

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        return {**super().inputs(context), **champion(self.artifacts(), self.kept_under(context))}


class ModelRetuneOperator(JobOperator):
    """Searches once, within some bounds, around the fixed settings if a model does not pass the gates.

    A model that passes goes on as it is, and no job is started. One that does not is trained anew with the best
    settings found, if they are better than the fixed ones on the training rows alone, and evaluated like any other.
    Whether that is enough is for the gates to say: there is no second search.

    It hands on the evaluation; the model that this is of is in the XCom ``model``, and says what was changed.

    Without a product say what was said to those who trained and evaluated. The model is judged anew on the table that
    the evaluation was of.

    :param trainer: what trained the model in place of the product's trainer, with ``flavor`` and ``settings`` where it
        is a function, see :class:`.ModelTrainOperator`.
    :param gates: what it must show. :param retuning: how far it is searched. :param slices, metric: as of
        :class:`.ModelEvaluateOperator`.
    :param problem, label, leave_out, time: as of :class:`.ExperimentOpenSearchOperator`.
    """

    job = "retune"
    template_fields: Sequence[str] = ("model", "training_set", "evaluation", "trainer", *JobOperator.template_fields)
    roles = ("training_set",)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        model: Any,
        training_set: Any,
        evaluation: Any,
        trainer: Trainer | Callable[..., Any] | str | None = None,
        flavor: str = "lightgbm",
        settings: Mapping[str, Any] | None = None,
        gates: Gates | None = None,
        retuning: Retuning | None = None,
        problem: AnyProblem | None = None,
        metric: AnyMetric | None = None,
        label: str | None = None,
        leave_out: Collection[str] = (),
        time: str | None = None,
        slices: Collection[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.training_set = training_set
        self.evaluation = evaluation
        self.trainer = trainer_of(trainer, flavor, settings or {})
        usable = self.trainer if isinstance(self.trainer, Trainer) else None
        self.needs(gates=gates, problem=problem, label=label, time=time, trainer=usable)
        declared = self.given_product.training.retuning if isinstance(self.given_product, MLProduct) else Retuning()
        self.gates, self.retuning = gates, retuning or declared
        target = timed_target(problem, label, leave_out, time)
        self.take(
            scoring=target,
            trainer=self.trainer if target else None,
            retuning=retuning,
            metric=metric_or_none(problem, metric),
            slices=None if slices is None else tuple(slices),
            gates=gates,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the reference to the evaluation that counts."""
        gates, metric = self.gates or self.product.evaluation.gates, self.overrides.get("metric") or self.product.metric
        decision = judge(self.recorded()[0], gates, metric)
        model: dict[str, Any] = self.model
        report: dict[str, Any] = self.evaluation
        if not decision.searchable:
            said = "good enough" if decision.passed else "no search would help"
            self.log.info("%s: %s", said, "; ".join(decision.reasons))
        elif not self.retuning.trials:
            self.log.info("not good enough, and no retuning is wanted: %s", "; ".join(decision.reasons))
        else:
            self.log.info("searching around the fixed settings, because %s", "; ".join(decision.reasons))
            model, report = self.retuned(context)
        context["ti"].xcom_push(key="model", value=model)
        return report

    @final_failures()
    def recorded(self) -> tuple[Evaluation, AnyReference | tuple[AnyReference, ...]]:
        """Return the evaluation as its record has it, and what it was made on: nobody decides by what travels.

        :raises AirflowFailException: if there is no record of it.
        """
        manifest = Records(self.artifacts()).manifest_of(parse_reference(self.evaluation))
        facts = manifest.result.facts["evaluation"] if manifest.result else None
        return Evaluation.model_validate(facts, extra="ignore"), manifest.spec.inputs["training_set"]

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        inputs = {**super().inputs(context), **champion(self.artifacts(), self.kept_under(context))}
        return {**inputs, "judged_on": self.recorded()[1]} if "scoring" in self.overrides else inputs

    def params_of(self, context: Context) -> dict[str, Any]:
        return {} if "trainer" in self.overrides else trainer_params(self.product, self.trainer)

    def retuned(self, context: Context) -> tuple[dict[str, Any], dict[str, Any]]:
        """Search, and return the references to the model and the evaluation that come of it."""
        result = self.run_job(context).result
        assert isinstance(result, Report)
        changes = {name: value for name, value in result.facts.items() if name not in {"model", "evaluation"}}
        model, report = result.facts["model"] or self.model, result.facts["evaluation"] or self.evaluation
        return {**model, "facts": {**model["facts"], "retuning": {**changes, "report": result.uri}}}, report


def champion(store: ArtifactStore, product: str) -> dict[str, ModelVersion]:
    """Return the version that is live as a job's further input; nothing if none is."""
    live = Ledger(store, product).live()
    return {"champion": live} if live else {}


def timed_target(
    problem: AnyProblem | None, label: str | None, leave_out: Collection[str], time: str | None
) -> TimedTarget | None:
    """Return what is learned from a table whose rows are split; None where nothing was said.

    :raises ConfigurationError: if only one of label and time is given.
    """
    target = target_of(problem, label, leave_out) if label or leave_out else None
    if (target is None) != (time is None):
        raise ConfigurationError("label= names the truth in a table, time= the column by which it is split; give both")
    return TimedTarget(**dict(target), time=time) if target and time else None
