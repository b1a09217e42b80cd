"""Features, examples, model inputs and the trainer of the reference product."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.scoring.inputs import model_inputs
from flight_delay import examples as asked
from flight_delay import features, rules, trainer
from flight_delay.product import product
from tests.factories.flight import read_raw

WEEK = Interval(start=datetime(2013, 7, 8, tzinfo=UTC), end=datetime(2013, 7, 15, tzinfo=UTC))
BEFORE = Interval(start=WEEK.start - timedelta(days=7), end=WEEK.start)
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Clean tables of a real week and the one before it."""
    landing = tmp_path_factory.mktemp("landing")
    both = [rules.clean(read_raw(landing, interval), interval) for interval in (BEFORE, WEEK)]
    joined = {
        name: pd.concat([one[name] for one in both], ignore_index=True) for name in ("flights", "weather", "outcomes")
    }
    return {**joined, "planes": both[1]["planes"]}


@pytest.fixture(scope="module")
def views(tables: Tables) -> Tables:
    """Feature rows of the week."""
    return features.compute(tables, WEEK)


@pytest.fixture(scope="module")
def rows(tables: Tables, views: Tables) -> pd.DataFrame:
    """The week's examples, each with the last features known when it was asked."""
    by = ["origin", "carrier", "flight", "sched_dep"]
    joined = asked.examples(tables, WEEK).merge(tables["outcomes"], on=by).sort_values("event_time", kind="stable")
    for view in product.features.views:
        joined = pd.merge_asof(joined, views[view.name], on="event_time", by=list(view.keys))
    return joined.reset_index(drop=True)


def test_declaring_the_product_loads_no_pandas() -> None:
    """A DAG file may import the declaration: it pulls in neither pandas nor a vendor's SDK."""
    program = "import sys; import flight_delay.product; print({'pandas', 'numpy', 'lightgbm'} & set(sys.modules))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "set()"


def test_views_hold_what_they_declare_once_for_each_moment(views: Tables) -> None:
    """Each view has its declared columns, one row for entity and moment, all inside the interval."""
    for view in product.features.views:
        frame = views[view.name]
        assert set(frame) == {*view.keys, *view.features, "event_time"}
        assert len(frame) and not frame.duplicated([*view.keys, "event_time"]).any()
        assert frame["event_time"].between(WEEK.start, WEEK.end, inclusive="left").all()
        assert all(frame[feature].dtype == kind for feature, kind in view.features.items())
        assert frame[list(view.features)].notna().any().all()


@pytest.mark.parametrize("hours", [3, 24])
def test_origin_windows_agree_with_a_plain_loop(tables: Tables, views: Tables, hours: int) -> None:
    """Rolling delays equal those counted the slow way, over departures that had left by then."""
    flights = tables["flights"]
    for row in views["origin_traffic"].iloc[::37].to_dict("records"):
        at, since = row["event_time"], row["event_time"] - pd.Timedelta(hours=hours)
        left = flights[(flights["origin"] == row["origin"]) & (flights["dep_at"] > since) & (flights["dep_at"] <= at)]
        assert row[f"origin_delay_{hours}h"] == pytest.approx(left["dep_delay"].mean(), nan_ok=True)
        late = (left["dep_delay"] > 15).mean() if len(left) else np.nan
        assert row[f"origin_late_{hours}h"] == pytest.approx(late, nan_ok=True)


def test_overdue_agrees_with_a_plain_loop(tables: Tables, views: Tables) -> None:
    """Overdue is the share of the last three hours' schedule, save its last 15 min, that has not left."""
    flights = tables["flights"]
    seen = 0
    for row in views["origin_traffic"].iloc[::37].to_dict("records"):
        at, sched = row["event_time"], flights["sched_dep"]
        due = (sched > at - pd.Timedelta(hours=3)) & (sched <= at - pd.Timedelta(minutes=15))
        here = flights[due & (flights["origin"] == row["origin"])]
        waits = (~(here["dep_at"] <= at)).mean() if len(here) else np.nan
        assert row["origin_overdue_3h"] == pytest.approx(waits, nan_ok=True)
        seen += len(here)
    assert seen > 100


@pytest.mark.parametrize("key", ["carrier", "dest"])
def test_records_agree_with_a_plain_loop(tables: Tables, views: Tables, key: str) -> None:
    """Late shares equal those counted the slow way, over flights that had landed by then."""
    flights = tables["flights"]
    for row in views[f"{key}_record"].iloc[:: len(views[f"{key}_record"]) // 20].to_dict("records"):
        at = row["event_time"]
        own = flights[(flights[key] == row[key]) & (flights["arr_at"] <= at)]
        for name, days in (("7d", 7), ("24h", 1)):
            landed = own[own["arr_at"] > at - pd.Timedelta(days=days)]
            late = (landed["arr_delay"] > 15).mean() if len(landed) else np.nan
            assert row[f"{key}_late_{name}"] == pytest.approx(late, nan_ok=True)


def test_an_aircraft_is_known_by_its_last_landing(tables: Tables, rows: pd.DataFrame) -> None:
    """What a flight is told of its aircraft is the last leg that had landed when it was asked, and never its own."""
    flights = tables["flights"]
    for row in rows[rows["aircraft_arr_delay"].notna()].iloc[::500].to_dict("records"):
        own = flights[(flights["tailnum"] == row["tailnum"]) & (flights["arr_at"] <= row["event_time"])]
        last = own.sort_values("arr_at").iloc[-1]
        assert row["aircraft_arr_delay"] == last["arr_delay"]
        assert row["aircraft_landed_minute"] * 60 == last["arr_at"].timestamp()


def test_examples_are_the_flights_that_arrived(tables: Tables) -> None:
    """One row a flown flight, asked two hours ahead, in a fixed order; how it turned out comes when it has landed."""
    flights = tables["flights"][lambda all_: all_["sched_dep"].between(WEEK.start, WEEK.end, inclusive="left")]
    one = asked.examples(tables, WEEK)
    shuffled = {**tables, "flights": tables["flights"].sample(frac=1, random_state=1)}
    pd.testing.assert_frame_equal(one, asked.examples(shuffled, WEEK))
    assert set(one) == {*product.features.request, "event_time"}
    assert len(one) == flights["arr_delay"].notna().sum() < len(flights)
    landed = one.merge(tables["outcomes"], on=["origin", "carrier", "flight", "sched_dep"])
    assert len(one) - len(landed) == (flights["arr_at"] >= WEEK.end).sum() > 0
    assert landed["late"].sum() == (flights["arr_delay"] > 15)[flights["arr_at"] < WEEK.end].sum()
    assert (one["sched_dep"] - one["event_time"] == pd.Timedelta(hours=2)).all()
    assert (landed["label_known_at"] > landed["event_time"]).all()
    assert one["tailnum"].notna().all()


def test_a_row_alone_gives_what_it_gives_among_a_thousand(rows: pd.DataFrame) -> None:
    """Model inputs depend on their own row only, categories included."""
    many = model_inputs(product.scoring, rows.head(1000))
    for place in (0, 500, 999):
        pd.testing.assert_frame_equal(model_inputs(product.scoring, rows.iloc[[place]]), many.iloc[[place]])


def test_a_stranger_is_answered(rows: pd.DataFrame) -> None:
    """An unknown carrier, and an aircraft and airport of which the store knows nothing, give a row all the same."""
    stranger = rows.head(1).assign(carrier="ZZ", tailnum="UNKNOWN")
    stranger[list(product.shape.feature_types)] = None
    inputs = model_inputs(product.scoring, stranger)
    assert inputs["carrier"].isna().all() and inputs["ground_minutes"].isna().all()
    assert inputs["distance"].notna().all()


def test_training_twice_gives_the_same_model_and_it_learned(rows: pd.DataFrame) -> None:
    """The same rows and seed give the same trees; they tell late from punctual better than chance on later days."""
    inputs, label = model_inputs(product.scoring, rows), rows["late"]
    half = len(rows) // 2
    settings = {**product.training.trainer.settings, "rounds": 20}
    first = trainer.train(inputs.head(half), label.head(half), settings, 13)
    assert first.model_to_string() == trainer.train(inputs.head(half), label.head(half), settings, 13).model_to_string()
    assert first.model_to_string() != trainer.train(inputs.head(half), label.head(half), settings, 14).model_to_string()
    scores = pd.Series(first.predict(inputs.tail(half)))
    ranks, late = scores.rank(), label.tail(half).to_numpy() == 1
    auc = (ranks[late].sum() - late.sum() * (late.sum() + 1) / 2) / (late.sum() * (~late).sum())
    assert auc > 0.6
