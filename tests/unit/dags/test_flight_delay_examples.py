"""Model inputs of the reference product: by column what pandas would make of a frame, to the bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.scoring.inputs import conform, model_inputs, stored_types
from flight_delay.examples import CARRIERS, LONG_AGO, ORIGINS, STORED
from flight_delay.product import product

ROWS = 20_000
SCORING = product.scoring


def by_pandas(rows: pd.DataFrame) -> pd.DataFrame:
    """The same inputs by means of a frame."""
    leaves = rows["sched_dep"]
    block = _minutes(rows["sched_arr"] - leaves)
    ground = _minutes(leaves - pd.Timestamp(0, tz="UTC")) - rows["aircraft_landed_minute"]
    inputs = {
        "origin": pd.Categorical(rows["origin"], categories=ORIGINS),
        "carrier": pd.Categorical(rows["carrier"], categories=CARRIERS),
        "hour": rows["hour"].astype("float64"),
        "weekday": leaves.dt.tz_convert("America/New_York").dt.dayofweek.astype("float64"),
        "distance": rows["distance"],
        "block_minutes": block,
        "miles_per_minute": rows["distance"] / block,
        **{feature: rows[feature] for feature in STORED},
        "ground_minutes": ground.clip(upper=LONG_AGO),
        # Most aircraft fly out and straight back; below zero, this one cannot be back in time.
        "slack_minutes": (ground - rows["aircraft_air_time"]).clip(upper=LONG_AGO),
    }
    return pd.DataFrame(inputs, index=rows.index)


def _minutes(spans: pd.Series) -> pd.Series:
    return spans / pd.Timedelta(minutes=1)


def flights() -> pd.DataFrame:
    """Return flights of a year, one in a few without a value, of unknown places, or all at once."""
    rng = np.random.default_rng(3)
    leaves = pd.Timestamp("2013-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 366 * 86_400_000, ROWS), unit="ms")
    request = {
        "origin": rng.choice([*ORIGINS, "XXX", None], ROWS),
        "dest": rng.choice(["SFO", None], ROWS),
        "carrier": rng.choice([*CARRIERS, "ZZ", None], ROWS),
        "tailnum": "N1",
        "flight": rng.integers(1, 9_999, ROWS),
        "distance": np.where(rng.random(ROWS) < 0.1, np.nan, rng.integers(0, 3_000, ROWS)),
        "hour": rng.integers(0, 24, ROWS),
        "sched_dep": pd.Series(leaves).where(rng.random(ROWS) > 0.1),
        "sched_arr": pd.Series(leaves + pd.to_timedelta(rng.integers(0, 600, ROWS), unit="min")),
        "event_time": leaves,
    }
    stored = {
        name: np.where(rng.random(ROWS) < 0.2, np.nan, rng.normal(size=ROWS) * 99) for name in stored_types(SCORING)
    }
    landed = leaves.asi8 / 6e10 - rng.integers(-500, 20_000, ROWS)
    stored["aircraft_landed_minute"] = np.where(rng.random(ROWS) < 0.2, np.nan, landed)
    return conform(pd.DataFrame({**request, **stored}), {**SCORING.row_columns, **stored_types(SCORING)})


def test_inputs_are_those_of_pandas_to_the_bit() -> None:
    """Numbers, what is missing, categories and their types."""
    rows = flights()
    expected, made = by_pandas(rows), model_inputs(SCORING, rows)
    pd.testing.assert_frame_equal(made, expected, check_exact=True)
    for name in made.select_dtypes("float64"):
        there = made[name].notna().to_numpy()
        bits, wanted = (frame[name].to_numpy()[there].view("int64") for frame in (made, expected))
        np.testing.assert_array_equal(bits, wanted)
        assert there.sum() > ROWS / 3


def test_a_row_alone_has_the_same_inputs() -> None:
    """As serving gets it."""
    rows = flights().iloc[:50]
    together = model_inputs(SCORING, rows)
    alone = [model_inputs(SCORING, rows.iloc[[number]]) for number in range(50)]
    pd.testing.assert_frame_equal(pd.concat(alone), together, check_exact=True)


@pytest.mark.parametrize("moments", [("1680-01-01", "2260-01-01"), ("2260-01-01", "1680-01-01")])
def test_moments_centuries_apart_are_an_error(moments: tuple[str, str]) -> None:
    """Nanoseconds would wrap, and give a flight of minus two hundred years."""
    leaves, arrives = (pd.Timestamp(moment, tz="UTC").as_unit("ns") for moment in moments)
    rows = flights().iloc[:1].assign(sched_dep=leaves, sched_arr=arrives)
    with pytest.raises(OverflowError, match="centuries apart"):
        model_inputs(SCORING, rows)
