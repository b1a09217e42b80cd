"""What the operators of a Feast repository take, and what they refuse while a DAG is parsed or before a job begins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.operators.feast import (
    FeastApplyOperator,
    FeastMaterializeOperator,
    FeastPushOperator,
    FeastRetrieveOperator,
)
from tests.factories.feast_repository import at, context


def materialize(**arguments: Any) -> FeastMaterializeOperator:
    """Return an operator for a repository."""
    return FeastMaterializeOperator(task_id="materialize", **arguments)


@pytest.mark.parametrize(
    ("arguments", "start", "end"),
    [
        ({}, at(1), at(2)),
        ({"end": "2026-01-09"}, at(1), at(9)),
        ({"start": "2025-12-31T23:00:00-01:00", "end": at(3, 4)}, at(1), at(3, 4)),
        ({"start": at(1, 5)}, at(1, 5), at(2)),
        ({"incremental": True}, None, at(2)),
        ({"incremental": True, "end": "2026-01-05 06:00:00+00:00"}, None, at(5, 6)),
    ],
)
def test_what_is_materialized(arguments: dict[str, Any], start: datetime | None, end: datetime) -> None:
    """The run's own interval, or what takes the place of its start and end; without a zone it is UTC."""
    operator = materialize(**arguments)
    given = context(operator, at(1), at(2))
    assert operator.span(given) == (start, end)
    assert operator.params_of(given) == {
        name: value.isoformat() for name, value in {"start": start, "end": end}.items() if value
    }
    assert operator.interval(given) == Interval(start=start or at(1), end=end if start else at(2))


@pytest.mark.parametrize("interval", [(), (at(1), at(1))], ids=["none", "empty"])
def test_a_run_without_interval(interval: Any) -> None:
    """Such is one of a plain cron schedule, and one that an asset started; the error says what to do."""
    operator = materialize()
    with pytest.raises(ConfigurationError, match=r"no data interval, .*; give start and end, or incremental=True"):
        operator.span(context(operator, *interval))
    assert materialize(start=at(1), end=at(2)).span(context(operator, *interval)) == (at(1), at(2))
    assert materialize(incremental=True, end=at(2)).span(context(operator, *interval)) == (None, at(2))


def test_an_incremental_one_needs_an_end_alone() -> None:
    """It may be that of an empty interval."""
    operator = materialize(incremental=True)
    assert operator.span(context(operator, at(1), at(1))) == (None, at(1))
    with pytest.raises(ConfigurationError, match="no data interval"):
        operator.span(context(operator))


def test_a_span_that_ends_before_it_begins() -> None:
    """What a template renders to is seen when the task runs."""
    operator = materialize(start="2026-01-03")
    with pytest.raises(ConfigurationError, match="nothing lies between"):
        operator.span(context(operator, at(1), at(2)))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"start": at(1), "incremental": True}, "leave start out"),
        ({"start": "yesterday"}, "start is 'yesterday'; give a moment, or text in ISO 8601"),
        ({"end": 5}, "end is 5"),
    ],
)
def test_spans_that_are_none(arguments: dict[str, Any], error: str) -> None:
    """They are refused while the DAG is parsed, a template not before it is rendered."""
    with pytest.raises(ConfigurationError, match=error):
        materialize(**arguments)
    assert materialize(start="{{ ds }}").start == "{{ ds }}"


@pytest.mark.parametrize("features", [{}, {"service": "shop_v1", "features": ["sales:sales"]}])
def test_one_of_service_and_features(features: dict[str, Any]) -> None:
    """Neither, or both, are refused."""
    with pytest.raises(ConfigurationError, match="service, or features as view:feature; one of the two"):
        FeastRetrieveOperator(task_id="rows", entities="/rows.parquet", **features)


def test_where_rows_may_be_pushed() -> None:
    """A store that is none lists the known ones."""
    with pytest.raises(ConfigurationError, match="to is 'both'; allowed: online, offline, online_and_offline"):
        FeastPushOperator(task_id="push", source="tills", rows={}, to="both")
    with pytest.raises(ConfigurationError, match="source is ''"):
        FeastPushOperator(task_id="push", source="", rows={})


def test_a_connection_without_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has only products' feature stores is told what is missing."""
    monkeypatch.setenv("AIRFLOW_CONN_FEAST_NOTHING", '{"conn_type": "feast"}')
    with pytest.raises(ConfigurationError, match=r"connection 'feast_nothing': has no repository; give the folder"):
        FeastApplyOperator(task_id="apply", conn_id="feast_nothing").sections()


def test_a_mapped_task_for_each_service() -> None:
    """Services may be mapped over like any argument."""
    with DAG("shops", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        partial = FeastRetrieveOperator.partial(task_id="rows", entities="/rows.parquet", conn_id="feast_team")
        mapped = partial.expand(service=["shop_v1", "shop_v2"])
    assert mapped.unmap({"service": "shop_v2"}).feature_service == "shop_v2"
