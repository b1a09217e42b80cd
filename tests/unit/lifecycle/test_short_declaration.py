"""A product says what its problem needs; all else follows, or has a default."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider import Business, Data, Kpi, Label, MLProduct, Owners, Source, Trainer, Training, Value
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.stages import Stage

TRIPS = Source(
    name="trips",
    path="trips/{start:%Y-%m-%d}.csv",
    time="started_at",
    columns={"started_at": "timestamp", "station": "string", "riders": "int64", "late": "bool", "paid": "float64"},
)
LEAST: dict[str, Any] = {
    "name": "bikes",
    "goal": "Will the trip end late?",
    "problem": "binary_classification",
    "data": Data(sources=(TRIPS,)),
    "label": Label(column="late"),
    "training": Training(trainer=Trainer(code="bikes.trainer:train")),
}


def test_the_least_that_a_product_says() -> None:
    """The rows are those of its source, and a caller gives what is known when a row is to be predicted."""
    product = MLProduct(**LEAST)
    assert product.features.request == {"station": "string", "riders": "int64", "paid": "float64"}
    assert (product.label.source, product.label.known_at, product.label.known_after) == (
        "trips",
        "label_known_at",
        timedelta(0),
    )
    assert (product.metric.name, product.evaluation.gates.min_metric) == ("roc_auc", None)
    assert (product.schedule.cron, product.schedule.start) == ("0 0 * * *", None)
    assert "request" not in product.features.model_fields_set  # nobody has said so
    assert MLProduct.model_validate(product.to_json()) == product


def test_what_is_known_later_is_asked_of_no_caller() -> None:
    """Neither a column that the leakage probe hides, nor the moment from which it shows it, nor a weight."""
    columns = {**TRIPS.columns, "ended_at": "timestamp", "times": "float64"}
    data = Data(
        sources=(TRIPS.model_copy(update={"columns": columns}),), known_later={"trips": {"ended_at": ("paid",)}}
    )
    product = MLProduct(**{**LEAST, "data": data, "label": Label(column="late", weight="times")})
    assert product.features.request == {"station": "string", "riders": "int64"}


def test_of_several_sources_one_has_the_rows() -> None:
    """Which, nobody can guess; a name that is none lists those that there are."""
    weather = TRIPS.model_copy(update={"name": "weather"})
    several = {**LEAST, "data": Data(sources=(TRIPS, weather))}
    with pytest.raises(ValidationError, match=r"label\.source: .*one of trips, weather"):
        MLProduct(**several)
    with pytest.raises(ValidationError, match="unknown source 'trip'; known: trips, weather"):
        MLProduct(**{**several, "label": Label(column="late", source="trip")})
    assert MLProduct(**{**several, "label": Label(column="late", source="trips")}).label.source == "trips"


def test_without_a_reason_only_data_are_prepared() -> None:
    """By which number it is judged and who answers for it is said before anything is trained."""
    product = MLProduct(**LEAST)
    for stage in Stage:
        if stage in (Stage.FEATURES, Stage.VALIDATION):
            product.check_initiated(stage)
        else:
            with pytest.raises(ConfigurationError, match=r"'bikes' does not say .* business=Business"):
                product.check_initiated(stage)
    business = Business(kpi=Kpi(name="late trips known", target=0.5, unit="share"), owners=Owners(ml_engineer="ann"))
    product = MLProduct(**LEAST, business=business)
    product.check_initiated(Stage.TRAINING)
    assert {product.owner(role) for role in Owners.model_fields} == {"ann"}


def test_owners_are_as_many_as_there_are() -> None:
    """A role that nobody is named for is the first one's; nobody at all is an error."""
    owners = Owners(data_engineer="dee", ml_engineer="ann")
    assert (owners.data_engineer, owners.ml_engineer, owners.business_stakeholder) == ("dee", "ann", "dee")
    with pytest.raises(ValidationError, match="business_stakeholder"):
        Owners()  # type: ignore[call-arg]


def test_a_value_is_told_in_one_way() -> None:
    """By alarm, by true class, or by a function."""
    assert str(Value(per_hit=300, per_false_alarm=60)) == "300 USD a hit, -60 a false alarm"
    for given in ({}, {"per_hit": 1, "function": "bikes.worth:worth"}):
        with pytest.raises(ValidationError, match="say what a prediction is worth by per_hit, matrix or function"):
            Value(**given)
