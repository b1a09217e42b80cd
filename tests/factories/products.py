"""Products on public data in reach of the tests, one of each kind of problem, and their deliveries."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.scoring.predictor import Predictor
from flight_delay.replay import deliver as deliver_flights

PRODUCTS = Path(__file__).parents[1] / "products"
#: How many intervals a product is taken through: two to learn and judge, one to predict, one to learn again.
BATCHES = 4


def product(name: str) -> MLProduct:
    """Return a product; the folder of all but the copy is put where Python looks."""
    if str(PRODUCTS) not in sys.path:
        sys.path.append(str(PRODUCTS))
    return load_product(name)


def deliver(name: str, landing: Path, interval: Interval) -> None:
    """Write what a product's sources bring in an interval below the landing folder, whole or not at all."""
    if name == "flight_minutes":
        deliver_flights(landing, interval)
        return
    (source,) = product(name).data.sources
    table = TABLES[name]()
    rows = table[(table["at"] >= interval.start) & (table["at"] < interval.end)]
    target = landing / source.delivery(interval)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    rows[[*source.columns]].to_csv(partial, index=False)
    os.utime(partial, (time.time() - 60,) * 2)  # it counts as whole once it has not been changed for some seconds
    partial.replace(target)


def same_answers(name: str, root: Path, live: ModelVersion, url: str, batch: pd.DataFrame, interval: Interval) -> None:
    """Ask the model server for predicted rows, together and one alone, and predict them with the offline store's."""
    scoring = product(name).scoring
    rows = batch.head(50).reset_index(drop=True)
    given = rows[[*scoring.row_columns]]
    predictor = Predictor.load(scoring, Path(live.uri.removeprefix("file://")), live)
    if scoring.views:  # those of now, as the online store has no others
        given = given.assign(event_time=pd.Timestamp(interval.end))
        features = FeatureStoreBackend(scoring, root / name / "feast").historical(given)[[*scoring.feature_types]]
    else:
        features = pd.DataFrame(index=given.index)
    scores = predictor.predict(given, features)
    if not scoring.views and (rows["version"] == live.version).all():
        assert (scores == predictor.problem.scores(rows)).all()
    expected = predictor.problem.answers(scores)
    asked_for = json.loads(given.to_json(orient="records", date_format="iso", date_unit="us"))
    for count in (len(rows), 1):
        answers = ask(url, asked_for[:count])
        assert answers["version"] == live.version
        assert [{key: row[key] for key in row if key != "id"} for row in answers["predictions"]] == expected[:count]


def ask(url: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a model server answers for some rows."""
    request = urllib.request.Request(f"{url}/predict", json.dumps({"rows": rows}).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        answers: dict[str, Any] = json.load(answer)
    return answers


@cache
def seattle() -> pd.DataFrame:
    """Return four years of Seattle's days: what was measured, and what the sky was like."""
    spec = find_spec("vega_datasets")
    assert spec and spec.submodule_search_locations, "the weather data is not installed; run: pip install vega_datasets"
    days = pd.read_csv(Path(spec.submodule_search_locations[0]) / "_data" / "seattle-weather.csv")
    days["date"] = pd.to_datetime(days["date"], utc=True)
    return days.assign(at=days["date"])


@cache
def travellers() -> pd.DataFrame:
    """Return 210 travellers between Sydney and Melbourne, each with four ways to go; from statsmodels' modechoice."""
    from statsmodels.datasets import modechoice

    trips = modechoice.load_pandas().data
    names = {1: "air", 2: "train", 3: "bus", 4: "car"}
    columns = {"ttme": "wait", "gc": "cost", "invt": "minutes", "hinc": "income", "psize": "party", "choice": "taken"}
    who = trips["individual"].astype(int)
    # The survey lists who flew first, who drove last: shuffled, each batch has some of all.
    batch = np.random.default_rng(4).permutation(int(who.max())) % BATCHES
    rows = trips.rename(columns=columns)[list(columns.values())]
    return rows.assign(traveller=who.map("T{:03}".format), mode=trips["mode"].map(names), at=_days(batch[who - 1]))


@cache
def slides() -> pd.DataFrame:
    """Return scikit-learn's breast cancer slides as they are in a screening: one in twelve is malignant."""
    from sklearn.datasets import load_breast_cancer

    loaded = load_breast_cancer(as_frame=True)
    rows = loaded.frame.rename(columns=lambda name: name.replace(" ", "_")).assign(malignant=1 - loaded.target)
    benign, malignant = rows[rows["malignant"] == 0], rows[rows["malignant"] == 1].sample(32, random_state=1)
    screened = pd.concat([benign, malignant]).sample(frac=1.0, random_state=2, ignore_index=True)
    wanted = product("odd_cells").data.sources[0].columns
    return screened[list(wanted)].assign(at=_days(np.arange(len(screened)) % BATCHES))


@cache
def people() -> pd.DataFrame:
    """Return the persons of the RAND health insurance experiment, who have no dates: they enrol by hundreds in turn."""
    from statsmodels.datasets import randhie

    given = randhie.load_pandas().data
    names = ("visits", "coinsurance", "individual_deductible", "payment_limit", "maximum", "limitation", "diseases")
    given.columns = [*names, "good", "fair", "poor"]
    month = np.arange(len(given)) // 100 % 6  # the years of one person lie together
    enrolled = pd.to_datetime([f"1974-{number + 1:02}-01T00:00:00Z" for number in month])
    return given.assign(enrolled=enrolled, at=enrolled)


@cache
def weeks() -> pd.DataFrame:
    """Return weekly carbon dioxide over Mauna Loa; some weeks have no value."""
    from statsmodels.datasets import co2

    given = co2.load_pandas().data["co2"]
    week = given.index.tz_localize("UTC")
    return pd.DataFrame({"week": week, "ppm": given.array, "at": week})


def _days(batch: np.ndarray) -> pd.Series:
    return pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(batch, unit="D"))


#: A copy of the product of counts that is to say between which numbers they will be, with another flavor.
RANGES = "visit_ranges"
_AS_RANGES = (
    ("doctor_visits", RANGES),
    ('Regression(loss="poisson")', "Regression(quantiles=(0.1, 0.5, 0.9))"),
    ("        trainer=Trainer(", "        trainer=Trainer(flavor='xgboost', "),
    ('{"num_leaves": 16, "learning_rate": 0.05, "rounds": 100}', '{"max_depth": 2, "learning_rate": 0.1}'),
    ("lightgbm.Booster", "object"),
    ("    import lightgbm\n\n    tried", "    import xgboost\n\n    tried"),
    ('"objective": "poisson"', '"quantile_alpha": [0.1, 0.5, 0.9], "objective": "reg:quantileerror"'),
    (', "deterministic": True, "num_threads": 1, "verbosity": -1,', ', "nthread": 1,'),
    ('    rounds = settings.pop("rounds")\n', ""),
    ("lightgbm.train({**settings, **tried}, lightgbm.Dataset(features, label=label), num_boost_round=rounds)",
     "xgboost.train({**settings, **tried}, xgboost.DMatrix(features, label=label), num_boost_round=60)"),
)  # fmt: skip


def ranges(folder: Path) -> None:
    """Write the copy into a folder of products."""
    text = (PRODUCTS / "doctor_visits" / "product.py").read_text()
    for old, new in _AS_RANGES:
        assert old in text, old
        text = text.replace(old, new)
    (folder / RANGES).mkdir(parents=True)
    (folder / RANGES / "product.py").write_text(text)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "sky_of_day": seattle,
    "wet_and_windy": seattle,
    "travel_mode": travellers,
    "odd_cells": slides,
    "doctor_visits": people,
    RANGES: people,
    "carbon_dioxide": weeks,
}
