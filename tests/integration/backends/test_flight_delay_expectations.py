"""The reference product's expectations, held by real Great Expectations against real months and their faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from airflow_mlops_provider.backends.validation.great_expectations.report import validate
from airflow_mlops_provider.exceptions import UnknownNameError
from flight_delay import examples, features, replay, rules
from flight_delay.expectations import expectations
from flight_delay.product import product
from tests.factories.flight import read_raw

Tables = dict[str, pd.DataFrame]
Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """One real month as delivered: September, the most punctual and so the furthest out."""
    return read_raw(tmp_path_factory.mktemp("landing"), replay.month("2013-09"))


@pytest.fixture(scope="module")
def training(raw: Tables) -> pd.DataFrame:
    """That month's examples, each with the last features known when it was asked."""
    month = replay.month("2013-09")
    tables = rules.clean(raw, month)
    views, asked = features.compute(tables, month), examples.examples(tables, month)
    by = ["origin", "carrier", "flight", "sched_dep"]
    rows = asked.merge(tables["outcomes"], on=by).sort_values("event_time", ignore_index=True)
    for view in product.features.views:
        rows = pd.merge_asof(rows, views[view.name], on="event_time", by=list(view.keys))
    return rows


@pytest.mark.parametrize("source", [source.name for source in product.data.sources])
def test_a_real_delivery_passes(raw: Tables, source: str, tmp_path: Path) -> None:
    """Nothing in the data as it really is breaks what is expected of it."""
    assert validate(raw[source], expectations(source), source, tmp_path).broken == ()


def test_a_real_training_set_passes(training: pd.DataFrame, tmp_path: Path) -> None:
    """A training set made from real data is as expected."""
    assert validate(training, expectations("training"), "training", tmp_path).broken == ()


_FAULTS: dict[str, tuple[str, Spoil, str]] = {
    "negative distance": ("flights", lambda rows: rows.assign(distance=-rows["distance"]), "distance"),
    "misspelt origin": ("flights", lambda rows: rows.assign(origin=rows["origin"].str.lower()), "origin"),
    "kilometres for miles": ("flights", lambda rows: rows.assign(distance=rows["distance"] * 1.6), "distance"),
    "seconds for minutes": ("flights", lambda rows: rows.assign(dep_delay=rows["dep_delay"] * 60), "dep_delay"),
    "half a delivery": ("flights", lambda rows: rows.head(len(rows) // 2), "rows"),
    "a column gone": ("flights", lambda rows: rows.drop(columns="tailnum"), "tailnum"),
    "labels missing": (
        "flights",
        lambda rows: rows.assign(arr_delay=rows["arr_delay"].mask(rows.index % 5 == 0)),
        "arr_delay",
    ),
    "Celsius": ("weather", lambda rows: rows.assign(temp=(rows["temp"] - 32) / 1.8), "temp"),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_a_plausible_fault_breaks_it(raw: Tables, fault: str, tmp_path: Path) -> None:
    """Each fault that a data system could make is named, by the column it is in."""
    source, spoil, named = _FAULTS[fault]
    verdict = validate(spoil(raw[source]), expectations(source), source, tmp_path)
    assert not verdict.passed
    assert any(named in line for line in verdict.broken)


def test_labels_of_one_kind_only_break_training(training: pd.DataFrame, tmp_path: Path) -> None:
    """A training set in which every flight was punctual is refused before anything is trained."""
    verdict = validate(training.assign(late=0), expectations("training"), "training", tmp_path)
    assert any("late" in line for line in verdict.broken)


def test_an_unknown_dataset_is_refused() -> None:
    """Nothing passes for want of expectations."""
    with pytest.raises(UnknownNameError, match="flights"):
        expectations("hotels")
