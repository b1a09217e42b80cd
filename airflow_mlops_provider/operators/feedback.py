"""Feedback: to the scheduler when monitoring saw a limit crossed, to data engineering when the data must change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring import feedback, limits
from airflow_mlops_provider.lifecycle.problem import AnyMetric, AnyProblem, metric_of
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import Dataset, Report, list_hash, parse_reference
from airflow_mlops_provider.lifecycle.sections import Monitoring
from airflow_mlops_provider.operators.base import ProductOperator
from airflow_mlops_provider.operators.lineage import origin, stamp
from airflow_mlops_provider.storage.change_requests import ChangeRequests
from airflow_mlops_provider.storage.intervals import judge
from airflow_mlops_provider.storage.records import Records

SIGNAL, REQUESTS = "feedback", "data_change_requests"


class FeedbackSendSignalOperator(ProductOperator):
    """Sends the ``drift`` asset event, with its evidence, if monitoring crossed a limit; otherwise stays silent.

    :param performance: the report on arrived labels; without it, drift alone is judged.
    :param monitoring: the limits, in place of the product's.
    :param problem, metric: by what is judged: as :class:`.ModelEvaluateOperator` has them.
    """

    template_fields: Sequence[str] = ("drift", "performance", "predictions", *ProductOperator.template_fields)

    def __init__(
        self,
        *,
        product: MLProduct | str,
        drift: Any,
        predictions: Any,
        performance: Any = None,
        monitoring: Monitoring | None = None,
        problem: AnyProblem | None = None,
        metric: AnyMetric | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(product=product, outlets=[assets.alias(product, SIGNAL)], **kwargs)
        self.needs(problem=problem)
        self.metric = metric_of(problem, metric) if problem else self.product.metric
        self.monitoring = monitoring or (self.declaration.monitoring if self.declaration else Monitoring())
        self.drift = drift
        self.performance = performance
        self.predictions = predictions

    def execute(self, context: Context) -> dict[str, Any]:
        """Keep and return the observation and the limits that it crosses, if any."""
        interval = Interval.model_validate(self.predictions["interval"])
        performance = self.recorded(self.performance) if self.performance else None
        predictions = Dataset.model_validate(self.predictions)
        served = "versions" in predictions.facts  # collected of servers' logs
        seen = limits.Observation.of(interval, self.recorded(self.drift), performance, served=served)
        lines, name = limits.crossed(seen, self.monitoring, self.metric), self.kept_under(context)
        extra = {**seen.to_json(), "crossed": list(lines), "lineage": self.lineage(context)}
        # Kept before the event is sent: who is woken by it looks there, and takes no event's word.
        of = {"predictions": predictions.hash, "features": predictions.facts.get("features", ""), "truth": self.truth()}
        judge(self.artifacts(), name, limits.Judgement(observation=seen, crossed=lines, served=served, **of))
        if lines:
            self.log.warning("limits crossed in %s: %s", seen.interval, "; ".join(lines))
            context["outlet_events"][assets.alias(name, SIGNAL)].add(assets.drift(name), extra=extra)
        else:
            self.log.info("all limits held in %s", seen.interval)
        return extra

    def truth(self) -> str:
        """Return the hash of the tables by whose labels was judged."""
        made = self.performance and Records(self.artifacts()).made(Report.model_validate(self.performance)).manifest
        given = made.spec.inputs.get("truth", ()) if made else ()
        return list_hash(given) if isinstance(given, tuple) else given.hash

    def lineage(self, context: Context) -> dict[str, Any]:
        """Return what the signal rests on, and with what the drift report was made."""
        rests_on = [parse_reference(given) for given in (self.predictions, self.performance, self.drift) if given]
        made = Records(self.artifacts()).made(rests_on[-1]).manifest
        return {**origin(rests_on, RunIdentity.of(context["ti"])), **(stamp(made) if made else {})}

    def recorded(self, value: Any) -> Report:
        """Return a report as its record has it. One whose record is gone is taken at its word: a signal only asks."""
        report = Report.model_validate(value)
        made = Records(self.artifacts()).made(report)
        if made.manifest and isinstance(made.manifest.result, Report):
            return made.manifest.result
        self.log.warning("%s", made.missing)
        return report


class FeedbackRequestDataChangeOperator(ProductOperator):
    """Asks data engineering for a change of the data, with the evidence; stays silent where there is nothing to ask.

    The request is kept in the artifact root, once however often the task is tried, and sent as the ``data_change``
    asset event. ``airflow mlops feedback`` lists those that wait for an answer.

    :param search: reference to a search's report, which says what it needs.
    :param what: what is asked for, in place of what the report says.
    :param to: who is asked, in place of the product's data engineer.
    """

    template_fields: Sequence[str] = ("search", "what", "to", *ProductOperator.template_fields)

    def __init__(
        self,
        *,
        product: MLProduct | str,
        search: Any = None,
        what: Any = None,
        to: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(product=product, outlets=[assets.alias(product, REQUESTS)], **kwargs)
        self.needs(to=to)
        self.to = to or self.product.owner("data_engineer")
        self.search = search
        self.what = what

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Return the request; None if nothing is asked."""
        request = self.request(context)
        if request is None:
            self.log.info("nothing is asked of data engineering")
            return None
        name = self.kept_under(context)
        kept = ChangeRequests(self.artifacts(), name).add(request)
        if kept.state == "closed":
            self.log.info("request %s has been answered: %s", kept.key, kept.answer)
            return kept.to_json()
        self.log.warning("asked %s (request %s): %s", kept.to, kept.key, kept.what)
        rests_on = [parse_reference(self.search)] if self.search else []
        extra = {"key": kept.key, **kept.to_json(), "lineage": origin(rests_on, RunIdentity.of(context["ti"]))}
        context["outlet_events"][assets.alias(name, REQUESTS)].add(assets.data_change(name), extra=extra)
        return kept.to_json()

    def request(self, context: Context) -> feedback.DataChangeRequest | None:
        """Return what is to be asked."""
        report, run = Report.model_validate(self.search) if self.search else None, RunIdentity.of(context["ti"])
        facts = report.facts if report else {}
        what = " ".join(str(self.what or facts.get("needs_data_change") or "").split())
        if not what:
            return None
        pages = [f"{report.uri}/{report.page}"] if report and report.page else []
        return feedback.DataChangeRequest(
            product=self.kept_under(context),
            to=self.to,
            what=what,
            evidence=(*pages, *filter(None, [facts.get("page_url")])),
            study=facts.get("study"),
            by=run.path,
            at=datetime.now(UTC),
        )
