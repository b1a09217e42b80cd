"""A table of anybody's is split by the column of its time, or refused with what is wrong with that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider import problems
from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.jobs.experimentation.holdout import columns, split
from airflow_mlops_provider.jobs.experimentation.study import code_of
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Target, TimedTarget
from airflow_mlops_provider.lifecycle.trainer import Function
from airflow_mlops_provider.problems.anomaly_detection import AnomalyDetection

PROBLEM = problems.find("binary_classification")
TARGET = TimedTarget(problem="binary_classification", column="late", leave_out=("at",), time="at")


def table(at: Any) -> pd.DataFrame:
    """Return eight rows, latest first, of which every other is late."""
    return pd.DataFrame({"late": [0, 1] * 4, "at": pd.Series(at)[::-1].to_numpy()})


@pytest.mark.parametrize(
    "at",
    [
        pd.date_range("2026-01-01", periods=8, tz="Europe/Berlin"),
        [stamp.date() for stamp in pd.date_range("2026-01-01", periods=8)],
        range(8),
    ],
    ids=["times", "days", "numbers"],
)
def test_later_rows_judge(at: Any) -> None:
    """Whatever the order in which they lie; a truth counts as known at its row's time."""
    earlier, later = split(table(at), 0.25, PROBLEM, *columns(TARGET))
    assert (len(earlier), len(later)) == (6, 2)
    assert earlier["at"].max() < later["at"].min()


@pytest.mark.parametrize(
    ("at", "target", "said"),
    [
        ([f"{hour}:00" for hour in range(8)], TARGET, "'at' has values that are string; name a column of times"),
        ([*pd.date_range("2026-01-01", periods=7), pd.NaT], TARGET, "'at' has 1 of 8 rows without one"),
        (range(8), TARGET.model_copy(update={"time": "when"}), "no column 'when'; there are: late, at"),
        (range(8), TARGET.model_copy(update={"column": "delay"}), "no column 'delay'; there are: late, at"),
    ],
)
def test_what_has_no_order_is_refused(at: Any, target: TimedTarget, said: str) -> None:
    """Text sorts as text, a gap nowhere: neither is guessed."""
    with pytest.raises(SourceDataError, match=said):
        split(table(at), 0.25, PROBLEM, *columns(target))


def test_who_learns_without_labels_is_judged_by_those_there_are() -> None:
    """Earlier rows are all there, without labels that were not known yet; later ones are those with a label."""
    anomalies, label = AnomalyDetection(), LabelColumns(column="odd", known_at="known")
    rows = pd.DataFrame({"at": range(12), "odd": [0.0, None, 1.0] * 4, "known": [1, None, 9] * 4})
    earlier, later = split(rows, 0.5, anomalies, label, "at")
    assert list(earlier["at"]) == [*range(6)] and list(later["at"]) == [6, 8, 9, 11]
    assert list(earlier["odd"].fillna(-1)) == [0.0, -1, -1, 0.0, -1, -1]
    with pytest.raises(SourceDataError, match="6 rows to judge on have no label in 'odd'; nothing can be judged"):
        split(rows.assign(odd=None), 0.5, anomalies, label, "at")
    with pytest.raises(SourceDataError, match="have labels of one class only in 'odd'"):
        split(rows.assign(odd=0), 0.5, anomalies, label, "at")


def test_a_training_takes_no_time() -> None:
    """What follows a search or a retuning is specified as any other training of that table."""
    assert TARGET.untimed() == Target(problem="binary_classification", column="late", leave_out=("at",))


def test_a_function_of_a_dag_file_counts_as_code() -> None:
    """An edit to it between a search's opening and a trial is noticed, as one to a module is."""
    first, second = (
        code_of(SimpleNamespace(settings=SimpleNamespace(algorithms=(algorithm,), scoring=TARGET)))
        for algorithm in (
            Algorithm(name="trees", code=Function(name="fit", source=f"def fit(*_):\n    return {number}\n"))
            for number in (1, 2)
        )
    )
    assert first.keys() == second.keys() == {"fit"}
    assert first != second
