"""What is expected of data that comes, by what was seen, with room for what did not happen yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from airflow_mlops_provider.lifecycle.expectation import Expectation
from airflow_mlops_provider.lifecycle.initiation.profile import ColumnProfile, Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Delivery

#: Text of more different values is open: a new one is no surprise.
MOST_VALUES = 20


def expectations(profile: Profile, delivery: Delivery) -> Iterator[Expectation]:
    """Yield what is expected of the table and of each of its columns."""
    filled = (
        profile.time.filled[delivery.grain] * delivery.intervals
        if delivery.by == "time" and profile.time
        else delivery.intervals
    )
    rows = profile.reading.rows / max(filled, 1.0)
    low, high = max(1, math.floor(rows / 5)), math.ceil(rows * 5)
    yield _expect("expect_table_row_count_to_be_between", "warning", min_value=low, max_value=high)
    for column in profile.columns:
        if not column.constant or column.missing < 1:
            yield from _of_column(column, profile)


def _of_column(column: ColumnProfile, profile: Profile) -> Iterator[Expectation]:
    """Yield what is expected of a column: with room for what did not happen yet."""
    is_label = profile.label is not None and column.name == profile.label.column
    if column.missing < 0.5 and not (is_label and column.missing):
        mostly = 1.0 if not column.missing else round(max(0.0, 1 - 1.5 * column.missing - 0.05), 2)
        severity = "critical" if mostly == 1 else "warning"
        yield _expect("expect_column_values_to_not_be_null", severity, column=column.name, mostly=mostly)
    if column.is_key(profile.reading.sampled) and column.type != "float64":
        yield _expect("expect_column_values_to_be_unique", "warning", column=column.name)
    elif column.is_number and not column.written and column.low is not None and column.high is not None:
        room = 0.5 * (column.high - column.low) or abs(column.high) or 1.0
        low, high = column.low - room, column.high + room
        low = max(low, 0.0) if column.low >= 0 else low
        limits = {"min_value": _rounded(low, math.floor), "max_value": _rounded(high, math.ceil)}
        yield _expect("expect_column_values_to_be_between", "critical", column=column.name, mostly=0.99, **limits)
    elif column.type == "string" and column.distinct <= min(MOST_VALUES, len(column.frequent)):
        values = sorted(value for value, _ in column.frequent)
        yield _expect("expect_column_values_to_be_in_set", "warning", column=column.name, mostly=0.99, value_set=values)


def _expect(kind: str, severity: str, **kwargs: object) -> Expectation:
    return Expectation.model_validate({"type": kind, "severity": severity, "kwargs": kwargs})


def _rounded(value: float, to: Callable[[float], int]) -> float:
    """Return a limit with two digits that count, further out."""
    if not value:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    rounded = float(to(value / scale)) * scale
    return round(rounded, max(0, -math.floor(math.log10(scale))))
