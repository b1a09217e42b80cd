"""Forecasts of one series and of many: Prophet's own numbers, each row's the same alone, whatever is missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import prophet
import pytest

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, UnknownNameError
from tests.factories.models import forecast_of, series

FRAME = series()
NORTH = FRAME.query("station == 'north'")
LATER = FRAME[["ds", "station", "warmth"]].assign(ds=FRAME["ds"] + 40 * 86400)


def own(model: prophet.Prophet, rows: pd.DataFrame) -> Any:
    """Return what Prophet itself forecasts."""
    return model.predict(rows.assign(ds=pd.to_datetime(rows["ds"], unit="s")))["yhat"].to_numpy()


@pytest.fixture(scope="module")
def both() -> dict[str, prophet.Prophet]:
    """A model for each of two stations."""
    return {name: forecast_of(rows) for name, rows in FRAME.groupby("station", observed=True)}


def test_forecasts_are_prophets_own(both: dict[str, prophet.Prophet], tmp_path: Path) -> None:
    """Of one series and of many, in the order of the rows."""
    features = NORTH[["ds", "warmth"]]
    loaded = models.save(both["north"], tmp_path / "one", "prophet", features)
    rows = LATER.query("station == 'north'")
    np.testing.assert_allclose(loaded.predict(rows), own(both["north"], rows), rtol=1e-9)
    of_both = models.save(both, tmp_path / "both", "prophet", FRAME.drop(columns="taken"))
    shuffled = LATER.sample(frac=1, random_state=1)
    given = pd.Series(of_both.predict(shuffled), shuffled.index)
    for name, model in both.items():
        mine = LATER[LATER["station"] == name]
        np.testing.assert_allclose(given[mine.index], own(model, mine), rtol=1e-9)


def test_what_is_missing_counts_as_the_mean(both: dict[str, prophet.Prophet], tmp_path: Path) -> None:
    """A regressor's, or that of all series; a row without a time is refused."""
    loaded = models.save(both, tmp_path, "prophet", FRAME.drop(columns="taken"))
    rows = LATER.head(5)
    warmth = {name: model.extra_regressors["warmth"]["mu"] for name, model in both.items()}
    np.testing.assert_array_equal(
        loaded.predict(rows.assign(warmth=None)), loaded.predict(rows.assign(warmth=warmth["north"]))
    )
    mean = (loaded.predict(rows.assign(station="north")) + loaded.predict(rows.assign(station="south"))) / 2
    for station in ("west", None):
        np.testing.assert_allclose(loaded.predict(rows.assign(station=station)), mean)
    with pytest.raises(SourceDataError, match="column 'ds' must hold the time of each row"):
        loaded.predict(rows.assign(ds=[*rows["ds"][:4], None]))


def test_bounds_and_conditions_are_inputs(tmp_path: Path) -> None:
    """A saturating trend takes its bounds, a seasonality its condition, a country its holidays."""
    logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
    features = NORTH[["ds"]].assign(cap=60.0, floor=1.0, summer=(NORTH["ds"] % 5 > 2).astype(float))
    model = prophet.Prophet(growth="logistic", weekly_seasonality=False, yearly_seasonality=False)
    model.add_seasonality("warm", 7, 3, condition_name="summer").add_country_holidays("US")
    rows = features.assign(
        ds=pd.to_datetime(features["ds"], unit="s"), y=NORTH["taken"], summer=features["summer"] == 1
    )
    model.fit(rows)
    loaded = models.save(model, tmp_path, "prophet", features)
    assert {entry["name"] for entry in loaded.model.inputs} == {"ds", "cap", "floor", "summer"}
    whole = loaded.predict(features)
    np.testing.assert_allclose(whole, model.predict(rows)["yhat"], rtol=1e-9)
    for row in range(0, len(features), 11):
        assert loaded.predict(features.iloc[[row]])[0] == whole[row]
    with pytest.raises(SourceDataError, match="Prophet can't forecast such rows: cap must be greater"):
        loaded.predict(features.assign(cap=0.0))


def test_what_could_not_be_given_again_is_refused(both: dict[str, prophet.Prophet], tmp_path: Path) -> None:
    """A series that no input names, a regressor that is no input, and a model without a fit."""
    for model, features, error, said in (
        (both, FRAME[["ds", "warmth"]], ConfigurationError, "series north, south, and 0 inputs that name them, .*none"),
        ({**both, "west": both["north"]}, FRAME, ConfigurationError, "categories station; let assemble give one"),
        (both, FRAME.assign(place=FRAME["station"]), ConfigurationError, "and 2 inputs that name them"),
        (both["north"], FRAME[["ds"]], UnknownNameError, "input of the trained model 'warmth'; known: ds"),
        (both["north"], FRAME[["warmth"]], UnknownNameError, "input of the trained model 'ds'"),
        ({**both, "south": prophet.Prophet()}, FRAME, ConfigurationError, "Prophet 'south' was not fitted"),
    ):
        with pytest.raises(error, match=said):
            models.save(model, tmp_path, "prophet", features)
    assert not list(tmp_path.iterdir())
