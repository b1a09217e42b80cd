"""Freshness in a real Feast repository, kept by plain Feast code."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.backends.telemetry import without_typeguard
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.sensors.features import FeastFreshnessSensor
from airflow_mlops_provider.triggers.features import FeastFreshnessTrigger, freshness
from tests.factories.waiting import context, fired, waits

YAML = """
project: team
registry: registry.db
provider: local
online_store: {type: sqlite, path: online.db}
offline_store: {type: duckdb}
entity_key_serialization_version: 3
"""
NOW = datetime.now(UTC)  # it may be hours before a test runs


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The feature store of a team, with a view of which the newest row is a day old; connection ``feast_team``."""
    with without_typeguard():
        from feast import Entity, FeatureView, Field, FileSource
        from feast.types import Float64

    rows = {"driver": [1, 1], "rate": [0.1, 0.2], "at": [NOW - timedelta(days=3), NOW - timedelta(days=1)]}
    table = pd.DataFrame(rows).astype({"at": "datetime64[us, UTC]"})
    table.to_parquet(tmp_path / "stats.parquet")
    (tmp_path / "feature_store.yaml").write_text(YAML)
    feast = json.dumps({"conn_type": "feast", "extra": {"repository": str(tmp_path)}})
    monkeypatch.setenv("AIRFLOW_CONN_FEAST_TEAM", feast)
    monkeypatch.setenv("AIRFLOW_CONN_FEAST_NOTHING", json.dumps({"conn_type": "feast"}))
    driver = Entity(name="driver", join_keys=["driver"])
    source = FileSource(path=str(tmp_path / "stats.parquet"), timestamp_field="at")
    view = FeatureView(name="stats", entities=[driver], schema=[Field(name="rate", dtype=Float64)], source=source)
    store = FeastHook("feast_team").get_conn()
    store.apply([driver, view])
    return store


def sensor(**settings: Any) -> FeastFreshnessSensor:
    """Return a sensor for that view."""
    wanted = {"view": "stats", "within": timedelta(days=2), "conn_id": "feast_team", "deferrable": True, **settings}
    return FeastFreshnessSensor(task_id="fresh", **wanted)


def test_a_view_that_is_materialized(store: Any) -> None:
    """Never, long ago, and lately: only the last is fresh, deferred and in the worker."""
    trigger = waits(sensor(), context())
    old, new = NOW - timedelta(days=3), NOW - timedelta(minutes=1)
    events = fired(
        trigger,
        lambda: store.materialize(NOW - timedelta(days=9), old),
        lambda: store.materialize(old, new),
        lambda: None,
    )
    assert events == [{"state": new.isoformat(timespec="seconds"), "view": "stats", "until": events[0]["until"]}]
    assert sensor(deferrable=False).execute(context())["until"] == events[0]["until"]


def test_rows_tell_more_than_intervals(store: Any) -> None:
    """An interval without rows counts as materialized; by its rows the view is as old as the newest."""
    store.materialize(NOW - timedelta(hours=12), NOW - timedelta(minutes=1))
    day = (NOW - timedelta(days=1)).isoformat(timespec="seconds")
    assert sensor(within=timedelta(hours=8)).execute(context())
    assert waits(sensor(within=timedelta(hours=8), by="rows"), context()).look().state is None
    assert sensor(by="rows").execute(context()) == {"view": "stats", "until": day}


def test_what_is_not_there_is_named(store: Any) -> None:
    """A view, a repository, a folder: the error lists what there is, or says what to give."""
    with pytest.raises(AirflowFailException, match="unknown feature view 'none'; known: stats"):
        sensor(view="none").execute(context())
    with pytest.raises(AirflowFailException, match="'feast_nothing': has no repository"):
        sensor(conn_id="feast_nothing").execute(context())
    with pytest.raises(ConfigurationError, match="by is 'x'; allowed: materialized, rows"):
        sensor(by="x")
    with pytest.raises(ConfigurationError, match="within is -1"):
        FeastFreshnessTrigger(view="stats", within=-1)


def test_the_connection_is_tried(store: Any) -> None:
    """Its button reads the registry."""
    assert FeastHook("feast_team").test_connection() == (True, FeastHook("feast_team").probe())
    assert "1 feature view(s): stats" in FeastHook("feast_team").probe()


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (60, True), (61, False)])
def test_the_decision(age: float, fresh: bool) -> None:
    """As old as is allowed is fresh."""
    assert (freshness("stats", NOW - timedelta(seconds=age), NOW, 60).state is not None) is fresh
