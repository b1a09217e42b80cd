"""A tiny product that really learns, in a git repository of its own: two days of sales, one version of its model."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.runtime.runner import run
from tests.factories.tiny import TinyWorld

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = [Interval(start=START + timedelta(days=n), end=START + timedelta(days=n + 1)) for n in range(2)]
SHOPS = ("north", "south", "east", "west")
RULES = """
from PACKAGE.limits import LEAST


def clean(raw, interval):
    sales = raw["sales"]
    return {"sales": sales[sales["amount"] > LEAST].reset_index(drop=True)}
"""
FEATURES = """
def compute(tables, interval):
    sales = tables["sales"].rename(columns={"at": "event_time"})
    sales["mean_amount"] = sales.groupby("shop")["amount"].transform(lambda one: one.rolling(5, min_periods=1).mean())
    sales["event_time"] += __import__("pandas").Timedelta(minutes=1)
    return {"takings": sales[["shop", "event_time", "mean_amount"]]}
"""
EXAMPLES = """
import pandas as pd


def examples(tables, interval):
    sales = tables["sales"]
    sales = sales[(sales["at"] >= interval.start) & (sales["at"] < interval.end)]
    rows = {"shop": sales["shop"], "event_time": sales["at"], "much": (sales["amount"] > 50).astype("int64")}
    return pd.DataFrame({**rows, "known_at": sales["at"] + pd.Timedelta(minutes=1)})
"""
ASSEMBLE = """
def assemble(rows):
    return rows[["mean_amount"]].assign(hour=rows["event_time"].dt.hour)
"""
TRAINER = """
def train(features, label, settings, seed):
    import lightgbm

    repeatable = {"deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}
    return lightgbm.train({**settings, **repeatable}, lightgbm.Dataset(features, label=label), num_boost_round=5)
"""
SETTINGS = 'settings={"objective": "binary", "min_data_in_leaf": 5, "num_leaves": 4}'


class ShopWorld(TinyWorld):
    """A product in a repository, its deliveries, and the version of its model that was made of them.

    :param lookback: how many earlier days the features look back on, :param lateness: how many days late a sale may be.
    """

    def __init__(self, folder: Path, lookback: int = 0, lateness: int = 0) -> None:
        super().__init__(folder, RULES)
        self.write("limits.py", "LEAST = 0\n")
        for module, text in (("features", FEATURES), ("examples", EXAMPLES), ("assemble", ASSEMBLE)):
            self.write(f"{module}.py", text)
        self.write("trainer.py", TRAINER)
        declared = (self.package / "product.py").read_text()
        declared = declared.replace('requires=("lightgbm", "numpy")', f'requires=("lightgbm", "numpy"), {SETTINGS}')
        late = f'time="at",\n                lateness=__import__("datetime").timedelta(days={lateness}),'
        declared = declared.replace('time="at",', late) if lateness else declared
        self.write("product.py", declared.replace("views=(View", f"lookback={lookback},\n        views=(View"))
        for number, day in enumerate(DAYS):
            self.deliver_day(number, day)
        self.git("init", "--quiet")
        self.first = self.commit("Sell")

    def git(self, *arguments: str) -> str:
        """Run git in the product's repository."""
        who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@shop.example")
        command = ["git", "-C", str(self.products), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, why: str) -> str:
        """Commit everything, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", why)
        return self.git("rev-parse", "HEAD")

    def deliver_day(self, number: int, day: Interval) -> Path:
        """Write a day's delivery: one sale every five minutes."""
        lines = ["shop,amount,at"]
        for sale in range(288):
            amount = (sale * 37 + number * 11) % 100 + (sale % 4) * 5 + 0.5
            lines.append(f"{SHOPS[sale % 4]},{amount},{day.start + timedelta(minutes=5 * sale):%Y-%m-%dT%H:%M:%SZ}")
        file = self.landing / "sales" / f"{day.start:%Y-%m-%d}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
        return file

    def job(self, name: str, interval: Interval | None = None, params: Any = None, **inputs: Any) -> Any:
        """Run one job here and now, and return its result."""
        manifest = run(self.spec(name, interval=interval, params=params or {}, inputs=inputs))
        assert manifest.state == "success", manifest.failure
        return manifest.result

    def learn(self) -> ModelVersion:
        """Make a version: one day to learn from, one to be judged on."""
        data = self.job("training_set", DAYS[-1], {"evaluate": 1}, features=tuple(map(self.engineer, DAYS)))
        model = self.job("train", DAYS[-1], training_set=data)
        evaluation = self.job("evaluate", DAYS[-1], model=model, training_set=data)
        version = self.job("register", params={"cause": "first", "reason": "first"}, model=model, evaluation=evaluation)
        assert isinstance(version, ModelVersion)
        return version

    def engineer(self, day: Interval) -> Dataset:
        """Take one day from its delivery to the feature store."""
        raw = self.job("extract", day)
        features = self.job("compute", day, clean=(self.job("clean", day, raw=raw),))
        self.job("load", day, features=features)
        assert isinstance(features, Dataset)
        return features
