"""Replay and cleaning rules of the reference product, on real deliveries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from flight_delay import replay, rules
from tests.factories.flight import read_raw

MARCH = replay.month("2013-03")  # holds the change to summer time
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """One real month as delivered."""
    return read_raw(tmp_path_factory.mktemp("landing"), MARCH)


def test_a_delivery_is_whole_repeatable_and_leaves_nothing_else(tmp_path: Path) -> None:
    """Delivering twice gives the same bytes, and no half-written file stays behind."""
    first = {path: path.read_bytes() for path in replay.deliver(tmp_path, MARCH)}
    second = {path: path.read_bytes() for path in replay.deliver(tmp_path, MARCH)}
    assert first == second
    assert sorted(first) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert (tmp_path / "flights/2013-03.csv") in first


def test_the_command_line_delivers_the_months_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each month named gets its own file, and the files are listed."""
    replay.main([str(tmp_path), "2013-01", "2013-12"])
    assert (tmp_path / "flights/2013-12.csv").exists()
    assert str(tmp_path / "flights/2013-01.csv") in capsys.readouterr().out
    with pytest.raises(SystemExit):
        replay.main([str(tmp_path), "January"])


def test_every_flight_of_the_year_is_delivered_once(tmp_path: Path) -> None:
    """Months neither overlap nor leave a gap: their flights add up to the archive's, save 88 of 2014 in UTC."""
    rows = 0
    for number in range(1, 13):
        replay.deliver(tmp_path, replay.month(f"2013-{number:02d}"))
        with (tmp_path / f"flights/2013-{number:02d}.csv").open() as file:
            rows += sum(1 for _ in file) - 1
    assert rows == 336_776 - 88


def test_arrivals_in_utc_agree_with_the_clock_at_the_destination(tmp_path: Path) -> None:
    """The arrival computed in UTC shows, on the destination's clock, the arrival time that the airline wrote down."""
    path = replay.deliver(tmp_path, MARCH)[0]
    columns = ["carrier", "flight", "origin", "time_hour", "arr_time"]
    written = pd.read_csv(path, usecols=columns, parse_dates=["time_hour"])
    flights = rules.clean(read_raw(tmp_path, MARCH), MARCH)["flights"].merge(written, on=columns[:4])
    in_chicago = flights[flights["dest"].isin(["ORD", "IAH", "MSP"]) & flights["arr_at"].notna()]
    clock = in_chicago["arr_at"].dt.tz_convert("America/Chicago")
    assert len(in_chicago) > 1000
    agrees = (clock.dt.hour * 100 + clock.dt.minute) == in_chicago["arr_time"] % 2400
    assert agrees.mean() > 0.999


def test_every_flight_lands_after_it_leaves(raw: Tables) -> None:
    """Schedules and real times run forward, the Caribbean's included, which the airports table does not know."""
    flights = rules.clean(raw, MARCH)["flights"]
    block = (flights["sched_arr"] - flights["sched_dep"]) / pd.Timedelta(hours=1)
    assert block.between(0.5, 13).all()
    assert not (flights["arr_at"] <= flights["dep_at"]).any()
    assert flights["dest"].isin(rules.CARIBBEAN).sum() > 100


def test_duplicates_and_strays_are_dropped(raw: Tables) -> None:
    """The same rows again, and a neighbour month's, change nothing."""
    once = rules.clean(raw, MARCH)
    flights = raw["flights"]
    stray = flights.head(5).assign(time_hour=MARCH.end)
    again = rules.clean({**raw, "flights": pd.concat([flights, flights.head(100), stray], ignore_index=True)}, MARCH)
    pd.testing.assert_frame_equal(again["flights"], once["flights"])


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [("flights", "arr_delay", 9999.0), ("flights", "distance", -5), ("weather", "wind_speed", 1048.4)],
)
def test_impossible_values_become_null(raw: Tables, table: str, column: str, value: float) -> None:
    """What cannot be is unknown, and so is the arrival that would follow from it; other rows stay as they are."""
    spoilt = raw[table].copy()
    spoilt.loc[spoilt.index[:50], column] = value
    clean = rules.clean({**raw, table: spoilt}, MARCH)[table]
    before = rules.clean(raw, MARCH)[table][column]
    assert not (clean[column] == value).any()
    assert 45 <= clean[column].isna().sum() - before.isna().sum() <= 50
    if column == "arr_delay":
        assert clean["arr_at"].isna().equals(clean["arr_delay"].isna())


def test_an_unreadable_schedule_is_dropped_not_guessed(raw: Tables) -> None:
    """A flight whose timetable makes no sense has no row."""
    spoilt = raw["flights"].copy()
    spoilt.loc[spoilt.index[0], "sched_arr_time"] = 2575
    assert len(rules.clean({**raw, "flights": spoilt}, MARCH)["flights"]) == len(raw["flights"]) - 1


def test_an_empty_interval_is_empty_not_an_error(raw: Tables) -> None:
    """Rows of another time only: the tables are there, with their columns and no rows."""
    later = Interval(start=MARCH.end, end=replay.month("2013-04").end)
    clean = rules.clean(raw, later)
    assert len(clean["flights"]) == len(clean["weather"]) == 0
    assert {"sched_dep", "dep_at", "sched_arr", "arr_at"} <= set(clean["flights"])
    assert np.issubdtype(clean["flights"]["arr_delay"].dtype, np.floating)
