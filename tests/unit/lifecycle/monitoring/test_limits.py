"""What monitoring counts as a crossed limit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import (
    DriftLimits,
    Observation,
    crossed,
    crossed_between,
    crossed_by_metric,
)
from airflow_mlops_provider.lifecycle.problem import metric_of
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.sections import Monitoring

JANUARY = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))
ROC_AUC = metric_of("binary_classification", "roc_auc")


def seen(share: float = 0.0, moved: float = 0.0, metric: float | None = None) -> Observation:
    """Return an observation of January."""
    return Observation(interval=JANUARY, version=1, drift_share=share, prediction_drift=moved, metric=metric)


LIMITS = Monitoring(drift_share=0.6, prediction_drift=0.2, min_metric=0.69)


@pytest.mark.parametrize(
    ("observation", "lines"),
    [
        (seen(), ()),
        (seen(0.59, 0.199, 0.69), ()),
        (seen(share=0.6), ("60% of the model's inputs drifted, limit 60%",)),
        (seen(moved=0.2), ("predictions moved by 0.200, limit 0.2",)),
        (seen(metric=0.6899), ("metric on arrived labels fell to 0.6899, limit 0.69",)),
    ],
)
def test_each_limit_is_crossed_alone(observation: Observation, lines: tuple[str, ...]) -> None:
    """A limit that is reached gives its own line, one that is not gives none; labels still out are no bad news."""
    assert crossed(observation, LIMITS, ROC_AUC) == lines


def test_all_limits_are_told() -> None:
    """All crossed at once give a line each; a product without a least metric has one fewer."""
    everything = seen(1.0, 1.0, 0.1)
    assert len(crossed(everything, LIMITS, ROC_AUC)) == 3
    assert len(crossed(everything, LIMITS.model_copy(update={"min_metric": None}), ROC_AUC)) == 2


def test_a_loss_crosses_its_limit_upwards() -> None:
    """Where less is better, more is too much."""
    log_loss = metric_of("binary_classification", "log_loss")
    assert crossed_by_metric(0.5, 0.5, log_loss) == ()
    assert crossed_by_metric(0.51, 0.5, log_loss) == ("metric on arrived labels rose to 0.5100, limit 0.5",)


def test_an_observation_is_what_the_reports_say() -> None:
    """Drift and performance are read in one place; without labels there is no metric."""
    where = {"uri": "file:///r", "hash": "1" * 64}
    facts = {"version": 3, "share": 0.2, "prediction": 0.1, "drifted": ["hour"]}
    drift = Report(**where, about="drift", passed=True, page="drift.html", facts=facts)
    performance = Report(**where, about="performance", passed=True, page="p.html", facts={"metric": {"value": 0.7}})
    observed = Observation.of(JANUARY, drift, performance)
    assert (observed.version, observed.drift_share, observed.prediction_drift, observed.metric) == (3, 0.2, 0.1, 0.7)
    pages = {"drift": "file:///r/drift.html", "performance": "file:///r/p.html"}
    assert observed.evidence == {**pages, "drifted": ["hour"]}
    for early in (None, performance.model_copy(update={"facts": {"metric": None}})):
        assert Observation.of(JANUARY, drift, early).metric is None
    versions = {"metric": {"value": 0.7}, "versions": {"3": {"arrived": 200, "metric": 0.8}}}
    served = performance.model_copy(update={"facts": versions})
    assert Observation.of(JANUARY, drift, served, served=True).metric == 0.8
    other = drift.model_copy(update={"facts": {**facts, "version": 2}})
    assert Observation.of(JANUARY, other, served, served=True).metric is None


MOVED = {
    "fare": {"score": 0.7, "drifted": True, "method": "wasserstein", "threshold": 0.5},
    "city": {"score": 0.01, "drifted": False, "method": "jensenshannon", "threshold": 0.1},
}


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        (DriftLimits(), ("50% of 2 columns drifted, limit 50%",)),
        (DriftLimits(share=0.51), ()),
        (DriftLimits(share=None), ()),
        (DriftLimits(share=0.9, columns={"fare": 0.5}), ("fare moved by 0.700 (wasserstein), limit 0.5",)),
        (DriftLimits(share=None, columns={"city": 0.1, "gone": 0.1}), ()),
    ],
)
def test_limits_of_two_tables(limits: DriftLimits, lines: tuple[str, ...]) -> None:
    """A share is crossed from the limit on; a column that has a limit of its own is reason enough."""
    assert crossed_between(0.5, MOVED, limits) == lines


def test_of_no_column_no_share_is_crossed() -> None:
    """Not even one of nothing at all."""
    assert crossed_between(0.0, {}, DriftLimits(share=0.0)) == ()
