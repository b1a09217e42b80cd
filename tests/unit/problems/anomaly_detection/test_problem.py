"""Anomalies: labels may be late or never, scores are any numbers, and what is judged is which rows are the oddest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from pydantic import ValidationError

from airflow_mlops_provider import AnomalyDetection, Value
from airflow_mlops_provider.exceptions import ConfigurationError, DataValidationError, SourceDataError
from airflow_mlops_provider.lifecycle.figures import Curve
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth

PROBLEM = AnomalyDetection(alert_rate=0.1)
DECIDED = AnomalyDetection(threshold=2.0)


def case(rows: int = 1000, decimals: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which one in ten is an anomaly, and scores; few decimals make ties."""
    random = np.random.default_rng(3)
    label = (random.random(rows) < 0.1).astype(float)
    return label, random.normal(2 * label, 1).round(decimals)


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize("metric", ["average_precision", "roc_auc"])
def test_equals_scikit_learn(metric: str, decimals: int) -> None:
    """With ties, without, and with weights."""
    label, score = case(decimals=decimals)
    weight = np.random.default_rng(4).choice([0.0, 0.5, 2.0], len(label))
    theirs = getattr(sklearn.metrics, f"{metric}_score")
    assert statistics.measure(PROBLEM, metric, label, score) == pytest.approx(theirs(label, score), abs=1e-12)
    mine = statistics.measure(PROBLEM, metric, Truth(label, weight=weight), score)
    assert mine == pytest.approx(theirs(label, score, sample_weight=weight), abs=1e-12)


def test_precision_among_alerts() -> None:
    """Of the oddest tenth the share that were anomalies; with weights, of the oddest tenth of the weight."""
    label, score = case(decimals=12)
    oddest = np.argsort(-score)[:100]
    assert statistics.measure(PROBLEM, "precision_at_alert_rate", label, score) == pytest.approx(label[oddest].mean())
    every = AnomalyDetection(alert_rate=1.0)
    assert statistics.measure(every, "precision_at_alert_rate", label, score) == pytest.approx(label.mean())
    weight = np.where(label == 1, 2.0, 1.0)
    rows = np.repeat(np.arange(1000), weight.astype(int))
    mine = statistics.measure(PROBLEM, "precision_at_alert_rate", Truth(label, weight=weight), score)
    assert mine == pytest.approx(statistics.measure(PROBLEM, "precision_at_alert_rate", label[rows], score[rows]))


def test_equal_scores_are_alerted_by_lot() -> None:
    """What is alerted of them is what all of them are like, in whatever order the rows come."""
    label, score = case(decimals=0)
    values = {
        statistics.measure(PROBLEM, "precision_at_alert_rate", label[order], score[order]).__round__(12)
        for order in (np.arange(1000), np.argsort(label), np.argsort(-label))
    }
    assert len(values) == 1
    random, lots = np.random.default_rng(5), []
    for _ in range(2000):
        order = np.lexsort([random.random(1000), -score])
        lots.append(label[order[:100]].mean())
    assert values.pop() == pytest.approx(np.mean(lots), abs=0.003)
    assert statistics.measure(PROBLEM, "precision_at_alert_rate", [1, 0, 0, 0], [5.0] * 4) == 0.25


def test_labels_may_be_missing_to_learn_from() -> None:
    """A trainer is given NaN for them, all of them perhaps; another label than 0 and 1 is refused all the same."""
    for values in ([1, None, 0], [None, None, None], [True, False, True]):
        learnable = PROBLEM.numbers(PROBLEM.learnable(pd.Series(values, name="odd"), "May"))
        assert learnable.dtype == "float64"
        assert [None if pd.isna(value) else value for value in learnable] == values
    with pytest.raises(SourceDataError, match="label 'odd' holds 2"):
        PROBLEM.learnable(pd.Series([2, None], name="odd"), "May")


def test_without_an_anomaly_nothing_is_judged() -> None:
    """Counts are said, as for any two classes."""
    with pytest.raises(DataValidationError, match="the rows hold 0 positive and 3 negative labels"):
        statistics.measure(PROBLEM, "average_precision", [0, 0, 0], [1.0, 2.0, 3.0])
    assert PROBLEM.unfit(pd.Series([0, 0])) == "labels of one class only"


def test_the_baseline_finds_all_rows_as_odd() -> None:
    """Its average precision is the share of anomalies; by a column, what is known of its values counts."""
    train = pd.DataFrame({"shop": [*"aabb"], "odd": [1.0, None, 0.0, None]})
    rows = pd.DataFrame({"shop": ["a", "b", "c"]})
    assert list(PROBLEM.baseline(train, rows, "odd", None)) == [0.5] * 3
    assert list(PROBLEM.baseline(train, rows, "odd", "shop")) == [1.0, 0.0, 0.5]
    nothing = train.assign(odd=pd.array([None] * 4, dtype="Int64"))
    for by in (None, "shop"):
        naive = PROBLEM.baseline(nothing, rows, "odd", by)
        assert list(naive) == [0.0] * 3
    assert statistics.measure(PROBLEM, "average_precision", [1, 0, 0], naive) == pytest.approx(1 / 3)


def test_only_a_threshold_decides() -> None:
    """Without one a score is all that is said; with one an answer says what follows, row by row."""
    scores = np.array([1.5, 2.0])
    assert PROBLEM.answers(scores) == [{"score": 1.5}, {"score": 2.0}]
    assert DECIDED.answers(scores) == [{"score": 1.5, "anomaly": False}, {"score": 2.0, "anomaly": True}]
    assert list(DECIDED.decisions(scores)) == [0.0, 1.0]
    with pytest.raises(ConfigurationError, match=r"nobody declares: AnomalyDetection\(threshold=…\)"):
        PROBLEM.decisions(scores)
    assert PROBLEM.checked(np.array([-1e9, 1e9])).shape == (2,)
    with pytest.raises(ConfigurationError, match="no finite number; let the trainer give one for each row, the higher"):
        PROBLEM.checked(np.array([1.0, np.inf]))
    for rate in (0.0, 1.1):
        with pytest.raises(ValidationError, match="alert_rate"):
            AnomalyDetection(alert_rate=rate)


def test_alarms_and_classes_have_a_worth() -> None:
    """From the threshold on an alarm is given; where there is none, no declared value is of anything but a function."""
    rows = pd.DataFrame({"odd": [1, 0, 1], "prediction": [3.0, 2.0, 1.0]})
    by_alarm, by_class = Value(per_hit=10, per_false_alarm=4), Value(matrix={"1": {"1": 10, "0": -5}})
    alarms = DECIDED.realised_value(by_alarm, rows, "odd")
    assert alarms == {"hits": 1, "recall": 0.5, "false_alarms": 1, "amount": 6.0, "currency": "USD"}
    assert DECIDED.realised_value(by_class, rows, "odd") == {"rows": 3, "amount": 5.0, "currency": "USD"}
    for value in (by_alarm, by_class):
        assert "value is of decisions" in PROBLEM.worthless(value)
        with pytest.raises(ConfigurationError, match="AnomalyDetection"):
            PROBLEM.realised_value(value, rows, "odd")
    assert PROBLEM.worthless(Value(function="somewhere:worth")) == ""


def test_what_alert_rates_would_bring() -> None:
    """The precision at each rate of which a row is alerted."""
    label, score = case(decimals=12)
    (figure,) = PROBLEM.figures(Truth(label), score)
    assert isinstance(figure, Curve)
    points = dict(figure.lines["model"])
    assert [*points] == [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    assert points[0.1] == pytest.approx(statistics.measure(PROBLEM, "precision_at_alert_rate", label, score))
    (few,) = PROBLEM.figures(Truth(label[:50]), score[:50])
    assert isinstance(few, Curve) and min(dict(few.lines["model"])) == 0.02
