"""Evaluation: challenger against champion and a naive baseline, on the same later window; retuned where it fails."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider.lifecycle.references import AnyReference, ModelVersion, Report, parse_reference
from airflow_mlops_provider.lifecycle.release.gates import Evaluation, judge
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.links import ReportLink
from airflow_mlops_provider.operators.training import metric_or_none, target_of, trainer_params
from airflow_mlops_provider.places.retry_policy import final_failures
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records


class ModelEvaluateOperator(JobOperator):
    """Evaluates a model against the live version, if there is one, and the naive baseline, on a training set's end.

    Without a product, the training set is any table with the truth in it, and the whole of it is judged on.

    :param problem, label, leave_out: see :class:`.ModelTrainOperator`; they have to be as there.
    :param metric: one of the problem's, such as ``roc_auc``.
    :param slices: columns by which the evaluation is broken down.
    """

    job = "evaluate"
    template_fields: Sequence[str] = ("model", "training_set", *JobOperator.template_fields)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self,
        *,
        model: Any,
        training_set: Any,
        problem: str | None = None,
        label: str | None = None,
        leave_out: Collection[str] = (),
        metric: str | None = None,
        slices: Collection[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.training_set = training_set
        self.needs(problem=problem, label=label, metric=metric)
        judged_by = {"metric": metric_or_none(problem, metric), "slices": None if slices is None else tuple(slices)}
        self.take(scoring=target_of(problem, label, leave_out), **judged_by)

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        return {**super().inputs(context), **champion(self.artifacts(), self.kept_under(context))}


class ModelRetuneOperator(JobOperator):
    """Searches once, within the product's bounds, around its fixed settings if a model does not pass the gates.

    A model that passes goes on as it is, and no job is started. One that does not is trained anew with the best
    settings found, if they are better than the fixed ones on the training rows alone, and evaluated like any other.
    Whether that is enough is for the gates to say: there is no second search.

    It hands on the evaluation; the model that this is of is in the XCom ``model``, and says what was changed.

    :param trainer: what trained the model in place of the product's trainer, see :class:`.ModelTrainOperator`.
    """

    job = "retune"
    template_fields: Sequence[str] = ("model", "training_set", "evaluation", "trainer", *JobOperator.template_fields)
    roles = ("training_set",)
    operator_extra_links = (ReportLink(), *JobOperator.operator_extra_links)

    def __init__(
        self, *, model: Any, training_set: Any, evaluation: Any, trainer: Trainer | str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.training_set = training_set
        self.evaluation = evaluation
        self.trainer = trainer

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the reference to the evaluation that counts."""
        decision = judge(self.recorded(), self.product.evaluation.gates, self.product.metric)
        model: dict[str, Any] = self.model
        report: dict[str, Any] = self.evaluation
        if decision.passed:
            self.log.info("good enough: %s", "; ".join(decision.reasons))
        elif not self.product.training.retuning.trials:
            self.log.info("not good enough, and this product wants no retuning: %s", "; ".join(decision.reasons))
        else:
            self.log.info("searching around the fixed settings, because %s", "; ".join(decision.reasons))
            model, report = self.retuned(context)
        context["ti"].xcom_push(key="model", value=model)
        return report

    @final_failures()
    def recorded(self) -> Evaluation:
        """Return the evaluation as its record has it: nobody decides by what travels.

        :raises AirflowFailException: if there is no record of it.
        """
        report = Records(self.artifacts()).manifest_of(parse_reference(self.evaluation)).result
        return Evaluation.model_validate(report.facts["evaluation"] if report else None, extra="ignore")

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        return {**super().inputs(context), **champion(self.artifacts(), self.kept_under(context))}

    def params_of(self, context: Context) -> dict[str, Any]:
        return trainer_params(self.product, self.trainer)

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
