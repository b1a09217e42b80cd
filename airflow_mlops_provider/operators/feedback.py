"""Feedback: to the scheduler when monitoring saw a limit crossed, to data engineering when the data must change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring import feedback, limits
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.lifecycle.references import Dataset, Report, parse_reference
from airflow_mlops_provider.operators.base import ProductOperator
from airflow_mlops_provider.operators.lineage import origin, stamp
from airflow_mlops_provider.storage.change_requests import ChangeRequests
from airflow_mlops_provider.storage.intervals import judge
from airflow_mlops_provider.storage.records import Records

SIGNAL, REQUESTS = "feedback", "data_change_requests"


class FeedbackSendSignalOperator(ProductOperator):
    """Sends the ``drift`` asset event, with its evidence, if monitoring crossed a limit; otherwise stays silent."""

    template_fields: Sequence[str] = ("drift", "performance", "predictions")

    def __init__(self, *, product: MLProduct, drift: Any, performance: Any, predictions: Any, **kwargs: Any) -> None:
        super().__init__(product=product, outlets=[assets.alias(product, SIGNAL)], **kwargs)
        self.drift = drift
        self.performance = performance
        self.predictions = predictions

    def execute(self, context: Context) -> dict[str, Any]:
        """Keep and return the observation and the limits that it crosses, if any."""
        interval = Interval.model_validate(self.predictions["interval"])
        seen = limits.Observation.of(interval, self.recorded(self.drift), self.recorded(self.performance))
        lines = limits.crossed(seen, self.product.monitoring, self.product.metric)
        extra = {**seen.to_json(), "crossed": list(lines), "lineage": self.lineage(context)}
        # Kept before the event is sent: who is woken by it looks there, and takes no event's word.
        predictions = Dataset.model_validate(self.predictions)
        of = {"predictions": predictions.hash, "features": predictions.facts.get("features", "")}
        judge(self.artifacts(), self.product.name, limits.Judgement(observation=seen, crossed=lines, **of))
        if lines:
            self.log.warning("limits crossed in %s: %s", seen.interval, "; ".join(lines))
            context["outlet_events"][assets.alias(self.product, SIGNAL)].add(assets.drift(self.product), extra=extra)
        else:
            self.log.info("all limits held in %s", seen.interval)
        return extra

    def lineage(self, context: Context) -> dict[str, Any]:
        """Return what the signal rests on, and with what the drift report was made."""
        rests_on = [parse_reference(given) for given in (self.predictions, self.performance, self.drift)]
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

    :param product: the product's declaration; its data engineer is asked.
    :param search: reference to a search's report, which says what it needs.
    :param what: what is asked for, in place of what the report says.
    """

    template_fields: Sequence[str] = ("search", "what")

    def __init__(self, *, product: MLProduct, search: Any = None, what: Any = None, **kwargs: Any) -> None:
        super().__init__(product=product, outlets=[assets.alias(product, REQUESTS)], **kwargs)
        self.search = search
        self.what = what

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Return the request; None if nothing is asked."""
        request = self.request(context)
        if request is None:
            self.log.info("nothing is asked of data engineering")
            return None
        kept = ChangeRequests(self.artifacts(), self.product.name).add(request)
        if kept.state == "closed":
            self.log.info("request %s has been answered: %s", kept.key, kept.answer)
            return kept.to_json()
        self.log.warning("asked %s (request %s): %s", kept.to, kept.key, kept.what)
        rests_on = [parse_reference(self.search)] if self.search else []
        extra = {"key": kept.key, **kept.to_json(), "lineage": origin(rests_on, RunIdentity.of(context["ti"]))}
        context["outlet_events"][assets.alias(self.product, REQUESTS)].add(
            assets.data_change(self.product), extra=extra
        )
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
            product=self.product.name,
            to=self.product.business.owners.data_engineer,
            what=what,
            evidence=(*pages, *filter(None, [facts.get("page_url")])),
            study=facts.get("study"),
            by=run.path,
            at=datetime.now(UTC),
        )
