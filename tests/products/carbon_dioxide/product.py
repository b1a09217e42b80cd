"""The declaration and its functions: the truth arrives week by week, for each row that it was predicted in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from airflow_mlops_provider import (
    Business,
    Data,
    Features,
    Forecasting,
    Interval,
    Kpi,
    Label,
    MLProduct,
    Owners,
    Schedule,
    Source,
    Trainer,
    Training,
    Windows,
)

if TYPE_CHECKING:
    import lightgbm

WEEK = {"week": "timestamp", "ppm": "float64"}
QUARTER, YEAR = timedelta(weeks=13), timedelta(weeks=52)
HERE = "carbon_dioxide.product"

product = MLProduct(
    name="carbon_dioxide",
    goal="How much carbon dioxide will be in the air over Mauna Loa in one, two and three quarters of a year?",
    problem=Forecasting(horizon=QUARTER, horizons="quarters", season=YEAR),
    data=Data(
        sources=(Source(name="weeks", path="weeks/{start:%Y}.csv", time="week", columns=WEEK, settle_seconds=0),),
        clean=f"{HERE}:clean",
    ),
    features=Features(request={"quarters": "int64", "now": "float64", "year_ago": "float64", "season_ago": "float64"}),
    label=Label(column="ppm", examples=f"{HERE}:examples", truth="truth", by=("event_time", "quarters"), delay=1),
    training=Training(
        trainer=Trainer(code=f"{HERE}:train", settings={"num_leaves": 2}), windows=Windows(train=6, evaluate=2)
    ),
    schedule=Schedule(cron="0 0 1 1 *", start=datetime(1984, 1, 1, tzinfo=UTC), end=datetime(2002, 1, 1, tzinfo=UTC)),
    business=Business(
        kpi=Kpi(name="error", target=1.0, unit="ppm"), owners=Owners(data_scientist="air@observatory.example")
    ),
)


def clean(raw: dict[str, pd.DataFrame], interval: Interval) -> dict[str, pd.DataFrame]:
    """Return the weeks, and what each says of the rows that were to foresee it."""
    weeks = raw["weeks"].dropna(subset="ppm")
    rows = [weeks.assign(quarters=ahead, event_time=weeks["week"] - ahead * QUARTER) for ahead in (1, 2, 3)]
    return {"weeks": weeks, "truth": pd.concat(rows, ignore_index=True).assign(label_known_at=lambda row: row["week"])}


def examples(tables: dict[str, pd.DataFrame], interval: Interval) -> pd.DataFrame:
    """Return each week with what is known of it then: this week, a year ago, and a year before what is to come."""
    ppm = tables["weeks"].set_index("week")["ppm"]
    now = ppm[ppm.index >= interval.start].rename_axis("event_time").reset_index(name="now")
    rows = [now.assign(quarters=ahead, season_ago=_at(ppm, now, ahead * QUARTER - YEAR)) for ahead in (1, 2, 3)]
    return pd.concat(rows, ignore_index=True).assign(year_ago=lambda row: _at(ppm, row, -YEAR))


def _at(ppm: pd.Series, rows: pd.DataFrame, later: timedelta) -> Any:
    return ppm.reindex(rows["event_time"] + later).array


def train(features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> lightgbm.Booster:
    """Return trees with a line in each leaf: what rises every year is more than any year before."""
    import lightgbm

    tried = {"linear_tree": True, "deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}
    return lightgbm.train({**settings, **tried}, lightgbm.Dataset(features, label=label), num_boost_round=60)
