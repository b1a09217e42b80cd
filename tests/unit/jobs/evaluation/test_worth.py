"""What contenders would have brought on the window that they are judged on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from airflow_mlops_provider.jobs.evaluation.evaluate import Settings, worth
from airflow_mlops_provider.lifecycle.problem import metric_of
from airflow_mlops_provider.lifecycle.sections import Value
from airflow_mlops_provider.lifecycle.shape import Target

WINDOW = pd.DataFrame({"late": [1, 0, 1, 0]})
SCORED = {"challenger": np.array([0.9, 0.1, 0.6, 0.4]), "champion": np.array([0.9, 0.9, 0.1, 0.1])}


def settings(kind: str, value: Value | None) -> Settings:
    """Return how late flights are judged."""
    return Settings(scoring=Target(problem=kind, column="late"), metric=metric_of(kind), value=value)


def test_by_hits_and_false_alarms() -> None:
    """Alarms from the probability on from which one pays: two hits, against a hit and a false alarm."""
    known = worth(settings("binary_classification", Value(per_hit=10, per_false_alarm=10)), WINDOW, SCORED)
    assert known
    assert str(known) == "challenger 20 USD, champion 0 USD"


def test_nothing_is_made_up() -> None:
    """Without a declared value, or with one that is of alarms where there are none, there is no figure."""
    assert worth(settings("binary_classification", None), WINDOW, SCORED) is None
    assert worth(settings("regression", Value(per_hit=10)), WINDOW, SCORED) is None
