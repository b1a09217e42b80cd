"""What monitoring saw of an interval, or of two tables, and which limits that crosses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from airflow_mlops_provider.lifecycle.frozen import Frozen, Strict
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import Report, list_hash
from airflow_mlops_provider.lifecycle.sections import Monitoring


class DriftLimits(Strict):
    """Limits of how far one table may be from another, whoever's they are.

    :param share: share of drifted columns among those that are compared, 0 to 1; None for no such limit.
    :param columns: column to the distance from which it has drifted. With Evidently Wasserstein's for numbers, normed
        by the reference's standard deviation, and Jensen and Shannon's for others. One of these alone is reason enough.
    """

    share: float | None = Field(default=0.5, ge=0, le=1)
    columns: dict[str, Annotated[float, Field(gt=0)]] = {}


class Observation(Frozen):
    """What monitoring saw of one data interval: what :class:`Monitoring` limits; no metric while labels are few."""

    interval: Interval
    version: int
    drift_share: float
    prediction_drift: float
    metric: float | None = None
    evidence: dict[str, Any] = {}

    @classmethod
    def of(cls, interval: Interval, drift: Report, performance: Report | None, *, served: bool = False) -> Observation:
        """Return what the reports on an interval say, with links to them.

        :param served: over REST several versions may have answered: what counts is how good this one was.
        """
        reports = {"drift": drift, "performance": performance}
        pages = {name: f"{report.uri}/{report.page}" for name, report in reports.items() if report}
        facts = performance.facts if performance else {"metric": None}
        metric = facts["metric"]["value"] if facts["metric"] else None
        if served and performance:
            metric = performance.facts["versions"].get(str(drift.facts["version"]), {}).get("metric")
        return cls(
            interval=interval,
            version=drift.facts["version"],
            drift_share=drift.facts["share"],
            prediction_drift=drift.facts["prediction"],
            metric=metric,
            evidence={**pages, "drifted": drift.facts.get("drifted", [])},
        )


class Judgement(Frozen):
    """That monitoring judged an interval, which limits were crossed, and the hashes of the data that it judged.

    :param truth: the hash of the tables in which labels had arrived; that of none where they arrive with the features.
    :param served: it is of what one version answered over REST, not of what was predicted in batch.
    """

    observation: Observation
    crossed: tuple[str, ...] = ()
    predictions: str
    features: str
    truth: str = list_hash(())
    served: bool = False


def reached(value: float, limit: float) -> bool:
    """Say whether a drift, or a share of drifted inputs, is at its limit or beyond."""
    return value >= limit


def crossed_by_drift(share: float, prediction: float, limits: Monitoring) -> tuple[str, ...]:
    """Return a line for each limit that drift of inputs and predictions crosses."""
    lines = []
    if reached(share, limits.drift_share):
        lines.append(f"{share:.0%} of the model's inputs drifted, limit {limits.drift_share:.0%}")
    if reached(prediction, limits.prediction_drift):
        lines.append(f"predictions moved by {prediction:.3f}, limit {limits.prediction_drift}")
    return tuple(lines)


def crossed_between(share: float, columns: Mapping[str, Mapping[str, Any]], limits: DriftLimits) -> tuple[str, ...]:
    """Return a line for each limit that the drift between two tables crosses.

    :param columns: what was measured of each, as :class:`.backends.drift.base.Drift` holds it.
    """
    lines = []
    if limits.share is not None and columns and reached(share, limits.share):
        lines.append(f"{share:.0%} of {len(columns)} columns drifted, limit {limits.share:.0%}")
    for name in limits.columns:
        column = columns.get(name)
        if column and column["drifted"]:
            score, limit = column["score"], column["threshold"]
            lines.append(f"{name} moved by {score:.3f} ({column['method']}), limit {limit:.3g}")
    return tuple(lines)


def crossed_by_metric(value: float | None, least: float | None, metric: Metric) -> tuple[str, ...]:
    """Return a line if the metric does not meet its limit; too few labels (None) are no bad news."""
    if value is None or least is None or metric.meets(value, least):
        return ()
    went = "fell" if metric.higher_is_better else "rose"
    return (f"metric on arrived labels {went} to {value:.4f}, limit {least}",)


def crossed(seen: Observation, limits: Monitoring, metric: Metric) -> tuple[str, ...]:
    """Return a line for each limit that an observation crosses; none at all means all is well."""
    return (
        *crossed_by_drift(seen.drift_share, seen.prediction_drift, limits),
        *crossed_by_metric(seen.metric, limits.min_metric, metric),
    )
