"""A product's declaration: what it refuses, and that it says what is allowed instead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from flight_delay.product import product
from tests.factories.declared import changed

DECLARED = product.model_dump()
REQUEST = DECLARED["features"]["request"]


def test_a_declaration_survives_json() -> None:
    """A declaration read back from its JSON is the same value."""
    assert MLProduct.model_validate_json(product.model_dump_json()) == product


def test_what_is_derived_keeps_the_views_order() -> None:
    """Entities come once each, features one view after another."""
    assert product.shape.entity_columns == ("origin", "carrier", "dest", "tailnum")
    features = [*product.shape.feature_types]
    assert (features[0], features[-1]) == ("origin_delay_3h", "aircraft_seats")
    assert len(features) == sum(len(view.features) for view in product.features.views)


def test_deliveries_follow_the_interval() -> None:
    """A source's placeholder takes the interval; a static source is the same file for each."""
    march = Interval(start=datetime(2013, 3, 1, tzinfo=UTC), end=datetime(2013, 4, 1, tzinfo=UTC))
    assert product.data.source("flights").delivery(march) == "flights/2013-03.csv"
    assert product.data.source("planes").delivery(march) == "planes.csv"


def test_an_unknown_source_names_the_known_ones() -> None:
    """Asking for a source that nobody declared lists those that are."""
    with pytest.raises(
        ValueError, match="unknown source 'trains'; known: airports, flights, outcomes, planes, weather"
    ):
        product.data.source("trains")


VIEW = DECLARED["features"]["views"][0]
SOURCE = DECLARED["data"]["sources"][0]
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "metric": (
        {"evaluation.metric": "accuracy"},
        "unknown metric 'accuracy'; known: average_precision, balanced",
    ),
    "a limit out of its metric's range": (
        {"evaluation.gates": {"min_metric": 70}},
        r"evaluation\.gates\.min_metric=70 .*from 0 to 1",
    ),
    "problem": ({"problem": "clustering"}, "unknown problem 'clustering'; known: .*binary_classification"),
    "problem elsewhere": ({"problem": "nowhere:ALL"}, "problem 'nowhere:ALL' can't be loaded: ModuleNotFoundError"),
    "a path that can't be filled in": (
        {"data.sources": [{**SOURCE, "path": "{day:%Y}.csv"}]},
        r"path '\{day:%Y\}.csv' can",
    ),
    "type": (
        {"features.request": {**REQUEST, "hour": "int32"}},
        "'string', 'int64', 'float64', 'bool' or 'timestamp'",
    ),
    "key": (
        {"features.views": [{**VIEW, "keys": ["airport"]}]},
        "unknown view key 'airport'; known: carrier, dest, distance",
    ),
    "slice": ({"evaluation.slices": ["airline", "city"]}, "unknown slice 'airline, city'; known: carrier, dest"),
    "baseline": ({"evaluation.baseline": "dep_delay"}, "unknown baseline 'dep_delay'; known: carrier"),
    "revealed later": (
        {"features.request": {**REQUEST, "dep_delay": "float64"}},
        r"\['dep_delay'\] are known only after",
    ),
    "label asked for": ({"features.request": {**REQUEST, "late": "int64"}}, r"request columns \['late'\]"),
    "view twice": ({"features.views": [VIEW, VIEW]}, "view declared twice: origin_traffic"),
    "feature twice": (
        {"features.views": [VIEW, {**VIEW, "name": "other"}]},
        "feature declared twice: origin_delay_24h",
    ),
    "source twice": ({"data.sources": [SOURCE, SOURCE]}, "source declared twice: flights"),
    "source's time": ({"data.sources": [{**SOURCE, "time": "when"}]}, "time column 'when' is not among .*'time_hour'"),
    "late without a time": (
        {"data.sources": [{**SOURCE, "time": None, "lateness": "P1D"}]},
        "source 'flights': lateness is a span of time from 0 on, of a source with a time column",
    ),
    "late before its time": ({"data.sources": [{**SOURCE, "lateness": "-P1D"}]}, "lateness is a span of time from 0"),
    "truth without keys": ({"label.by": []}, "give truth and by"),
    "keys without truth": ({"label.truth": None}, "give truth and by"),
    "delay without truth": ({"label.truth": None, "label.by": []}, "delay is its delay"),
    "truth by an unknown column": (
        {"label.truth": "landed", "label.by": ["number"]},
        "unknown label.by column 'number'; known: .*carrier.*event_time",
    ),
    "key as feature": (
        {"features.views": [{**VIEW, "features": {"origin": "string"}}]},
        "'origin_traffic': key or feature declared twice: origin",
    ),
    "view without keys": ({"features.views": [{**VIEW, "keys": []}]}, "at least 1 item"),
    "code": ({"data.clean": "flight_delay.rules.clean"}, r"data\.clean\n.*pattern.*flight_delay\.rules\.clean"),
    "name": ({"name": "Flight Delay"}, r"name\n.*pattern.*'Flight Delay'"),
    "field": ({"featurez": "x:y"}, r"featurez\n.*not permitted"),
    "share": ({"monitoring": {"drift_share": 60}}, r"drift_share\n.*less than or equal to 1"),
    "worth of no class": (
        {"business.value": {"matrix": {"late": {"1": 5}}}},
        r"business\.value\.matrix names 'late'; classes are '0', '1'",
    ),
    "worth of alarms that nobody gives": (
        {"problem": "anomaly_detection", "search": None, "evaluation.metric": None},
        r"business\.value is of decisions, and .*AnomalyDetection\(threshold=…\)",
    ),
    "owners": ({"business.owners": {}}, r"business\.owners\.business_stakeholder\n.*required"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_declaration_is_refused(name: str) -> None:
    """The message names the bad value, and what would be allowed."""
    changes, said = BAD[name]
    with pytest.raises(ValidationError, match=said):
        changed(product, changes)
