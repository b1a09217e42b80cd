"""A label of what is forecast is not known before its own time, whatever its column says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from airflow_mlops_provider import Forecasting, Regression
from airflow_mlops_provider.jobs.features.compute import known_in_time

MOMENT, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
TIME = pa.timestamp("us", "UTC")
EXAMPLES = pa.table(
    {
        "event_time": pa.array([MOMENT] * 3, TIME),
        "sold": [1.0, 2.0, None],
        "known_at": pa.array([MOMENT, MOMENT + 9 * DAY, None], TIME),
    }
)


def test_it_is_known_a_horizon_later_or_when_it_came() -> None:
    """One that is missing stays so; types and columns are as they were."""
    made = known_in_time(EXAMPLES, Forecasting(horizon=2 * DAY), "known_at")
    assert made.schema == EXAMPLES.schema
    assert made.column("known_at").to_pylist() == [MOMENT + 2 * DAY, MOMENT + 9 * DAY, None]


def test_what_is_of_its_rows_own_time_stays() -> None:
    """Of any other kind of problem nothing is changed."""
    assert known_in_time(EXAMPLES, Regression(), "known_at") is EXAMPLES
