"""The leakage probe: it passes honest features and catches those that know the future."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import LeakageError
from airflow_mlops_provider.jobs.features.leakage import Compute, hide, probe
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from flight_delay import features, rules
from flight_delay.product import product
from tests.factories.flight import read_raw

WEEK = Interval(start=datetime(2013, 7, 1, tzinfo=UTC), end=datetime(2013, 7, 8, tzinfo=UTC))
CUTOFFS = [WEEK.start + (WEEK.end - WEEK.start) * part / 5 for part in range(1, 5)]
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Clean tables of one real week."""
    return rules.clean(read_raw(tmp_path_factory.mktemp("landing"), WEEK), WEEK)


def probe_often(compute: Compute, tables: Tables) -> None:
    """Probe at several moments, off the full hour more often than on it."""
    for cutoff in CUTOFFS:
        probe(compute, tables, product.data.known_later, cutoff, compute(tables))


def test_hiding_takes_the_later_and_leaves_the_earlier(tables: Tables) -> None:
    """What was revealed after the cutoff is null, what was revealed before stays, and the schedule stays whole."""
    cutoff = CUTOFFS[1]
    before, after = tables["flights"], hide(tables, product.data.known_later, cutoff)["flights"]
    landed = before["arr_at"] <= cutoff
    assert after["arr_delay"].notna().equals(landed)
    assert after.loc[landed, "arr_delay"].equals(before.loc[landed, "arr_delay"])
    assert after["sched_dep"].equals(before["sched_dep"])
    assert before["arr_delay"].notna().sum() > landed.sum() > 0


def test_the_real_features_know_no_future(tables: Tables) -> None:
    """The product's own features give the same rows whether or not the later is hidden."""
    assert all(len(rows) for rows in features.compute(tables, WEEK).values())
    probe_often(partial(features.compute, interval=WEEK), tables)


@pytest.mark.parametrize("column", ["dep_delay", "arr_delay"])
def test_a_flights_own_outcome_is_caught(tables: Tables, column: str) -> None:
    """A feature that carries the flight's own departure or arrival two hours ahead is named."""

    def peek(tables: Tables) -> Tables:
        flights = tables["flights"]
        asked = flights["sched_dep"] - pd.Timedelta(hours=2)
        rows = pd.DataFrame({"event_time": asked, "tailnum": flights["tailnum"], "own_delay": flights[column]})
        return {"own": rows}

    with pytest.raises(LeakageError, match=r"view 'own', row .*tailnum=.*'own_delay'"):
        probe_often(peek, tables)


def test_a_leg_that_has_not_landed_is_caught(tables: Tables) -> None:
    """An aircraft's leg used from its departure on, before it has landed, is named."""

    def airborne(tables: Tables) -> Tables:
        left = tables["flights"][lambda flights: flights["dep_at"].notna()]
        rows = left[["tailnum", "arr_delay"]].assign(event_time=left["dep_at"])
        return {"aircraft": rows}

    with pytest.raises(LeakageError, match="'arr_delay'"):
        probe_often(airborne, tables)


def test_a_row_that_only_hindsight_has_is_caught(tables: Tables) -> None:
    """Which rows exist may not depend on the future either."""

    def survivors(tables: Tables) -> Tables:
        flown = tables["flights"][lambda flights: flights["arr_at"].notna()]
        return {"schedule": flown[["tailnum", "distance"]].assign(event_time=flown["sched_dep"])}

    with pytest.raises(LeakageError, match="exists or not"):
        probe_often(survivors, tables)


def test_the_hour_being_observed_is_caught(tables: Tables) -> None:
    """Weather filed under an hour is not known at the start of that hour."""

    def early(tables: Tables) -> Tables:
        weather = tables["weather"]
        return {"weather": weather[["origin", "visib"]].assign(event_time=weather["time_hour"])}

    with pytest.raises(LeakageError, match="'visib'"):
        probe_often(early, tables)


def test_a_request_may_not_ask_for_the_future() -> None:
    """A product whose callers would have to know the departure delay cannot be declared."""
    declared = product.model_dump()
    declared["features"]["request"]["dep_delay"] = "float64"
    with pytest.raises(ValueError, match="dep_delay"):
        MLProduct(**declared)
