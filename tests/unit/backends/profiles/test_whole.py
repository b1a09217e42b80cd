"""Real data sets are understood: label, time and kind of problem; what can't be learned is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, UnknownNameError
from tests.factories.looked_at import customers, looked, profiled, proposed, sklearn, statsmodels, vega

RANDOM = np.random.default_rng(9)
RANKED = pd.DataFrame(
    {
        "query_id": np.repeat(range(100), 10),
        "match": RANDOM.normal(size=1000),
        "relevance": RANDOM.integers(0, 5, 1000),
    }
)
LISTED = pd.DataFrame(
    {
        "minutes": RANDOM.integers(50, 200, 500),
        "genres": ["|".join(RANDOM.choice(["drama", "war", "crime"], 1 + n % 3, replace=False)) for n in range(500)],
    }
)


@pytest.mark.parametrize(
    ("data", "time", "label", "kind"),
    [
        (vega("iris.json"), None, "species", "multiclass_classification"),
        (vega("barley.json"), None, "yield", "regression"),
        (vega("stocks.csv"), "date", "price", "forecasting"),
        (vega("us-employment.csv"), "month", "nonfarm_change", "forecasting"),
        (vega("seattle-weather.csv"), "date", "weather", "multiclass_classification"),
        (vega("sf-temps.csv"), "date", "temp", "forecasting"),
        (vega("cars.json"), "Year", "Origin", "multiclass_classification"),
        (vega("iowa-electricity.csv"), "year", "net_generation", "forecasting"),
        (sklearn("iris"), None, "target", "multiclass_classification"),
        (sklearn("wine"), None, "target", "multiclass_classification"),
        (sklearn("breast_cancer"), None, "target", "binary_classification"),
        (sklearn("diabetes"), None, "target", "regression"),
        (sklearn("digits"), None, "target", "multiclass_classification"),
        (statsmodels("co2"), "date", "co2", "forecasting"),
        (statsmodels("nile"), "year", "volume", "forecasting"),
        (statsmodels("sunspots"), "YEAR", "SUNACTIVITY", "forecasting"),
        (statsmodels("fair"), None, "affairs", "regression"),
        (customers(), "opened_at", "churned", "binary_classification"),
        (RANKED, None, "relevance", "ranking"),
        (LISTED, None, "genres", "multilabel_classification"),
    ],
)
def test_what_nobody_said(data: pd.DataFrame | Path, time: str | None, label: str, kind: str) -> None:
    """All three are proposed as a person would say them."""
    seen, problem = profiled(data)
    assert (seen.time and seen.time.column, seen.label and seen.label.column, problem.kind) == (time, label, kind)
    assert problem.reason and seen.guessed


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ({"label": "Miles_per_Gallon"}, "regression"),
        ({"label": "Cylinders"}, "multiclass_classification"),
        ({"label": "Cylinders", "problem": "regression"}, "regression"),
        ({"label": "none"}, "anomaly_detection"),
        ({"problem": "anomaly_detection"}, "anomaly_detection"),
    ],
)
def test_what_is_said_counts(named: dict[str, str], kind: str) -> None:
    """A label, and a kind of problem, are taken as they are named."""
    seen, problem = profiled(vega("cars.json"), **named)
    assert problem.kind == kind
    assert seen.label is None if kind == "anomaly_detection" else seen.label and seen.label.column == named["label"]


def test_another_time_may_be_named() -> None:
    """It is the time then, and what was proposed is not."""
    frame = customers().assign(updated_at=lambda each: each["opened_at"] + pd.Timedelta(days=1))
    assert profiled(frame)[0].time.column == "opened_at"  # type: ignore[union-attr]
    seen, _ = profiled(frame, time="updated_at")
    assert seen.time and seen.time.column == "updated_at"


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        ({"label": "prize"}, UnknownNameError, "prize.*known: date, price, symbol"),
        ({"time": "when"}, UnknownNameError, "when.*known: date, price, symbol"),
        ({"time": "price"}, ConfigurationError, "'price' holds float64, not times; date may"),
        ({"label": "date"}, ConfigurationError, "'date' can't be the label: it holds times"),
        ({"problem": "clustering"}, UnknownNameError, "clustering.*known: anomaly_detection, binary"),
        ({"label": "symbol", "problem": "regression"}, ConfigurationError, "regression: the label is no number"),
        ({"label": "price", "problem": "binary_classification"}, ConfigurationError, "it has 549 values"),
        ({"label": "price", "problem": "multilabel_classification"}, ConfigurationError, "lists several"),
        ({"label": "none", "problem": "regression"}, ConfigurationError, "learns from a label"),
    ],
)
def test_what_can_not_be_is_refused(named: dict[str, str], error: type[Exception], words: str) -> None:
    """The message names the column and what there is."""
    with pytest.raises(error, match=words):
        profiled(vega("stocks.csv"), **named)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1] * 100, "same value in all rows"),
        ([None] * 100, "it has no value"),
        ([f"text {number}" for number in range(100)], "text of 100 different values in 100 rows"),
    ],
)
def test_a_label_that_nobody_can_learn_is_refused(values: list[object], words: str) -> None:
    """Constant, empty, or prose."""
    with pytest.raises(ConfigurationError, match=words):
        profiled(pd.DataFrame({"x": RANDOM.normal(size=100), "y": values}), label="y")


def test_one_column_is_no_table() -> None:
    """Also where the others can't be looked at."""
    with pytest.raises(SourceDataError, match=r"only one column to look at \(a\)"):
        looked(pd.DataFrame({"a": [1, 2], "tags": [["x"], ["y"]]}))


def test_rows_that_come_twice_and_persons_are_named() -> None:
    """Both are for a person to decide on, and who can be named is no input."""
    frame = customers(500).assign(email=[f"user{number}@shop.example" for number in range(500)], first_name="Ada")
    seen, proposal = proposed(pd.concat([frame, frame[:100]]))
    assert seen.duplicates == pytest.approx(1 / 6)
    assert {column.name for column in seen.columns if column.personal} == {"email", "first_name"}
    assert not {"email", "first_name"} & {*proposal.inputs}
    assert {"email, first_name may name persons", "16.7% of the rows are the same"} <= {
        line.partition(":")[0].removesuffix(" as another") for line in proposal.decide
    } | {line.partition(" as another")[0] for line in proposal.decide}


def test_the_naive_prediction_is_what_it_says() -> None:
    """Worked anew by pandas: the last month's price of each stock, on the newest fifth of the rows."""
    frame = pd.read_csv(vega("stocks.csv"))
    frame["date"] = pd.to_datetime(frame["date"])
    frame = frame.sort_values(["symbol", "date"])
    errors = (frame["price"] - frame.groupby("symbol")["price"].shift()).abs()
    newest = frame["date"] > frame["date"].quantile(0.8)
    seen, _ = profiled(vega("stocks.csv"))
    assert seen.naive and seen.naive.name == "the last value"
    assert seen.naive.value == pytest.approx(errors[newest].mean(), rel=0.01)


def test_a_second_look_is_the_same() -> None:
    """Nothing depends on chance."""
    assert profiled(customers()) == profiled(customers())
