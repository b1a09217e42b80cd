"""Data to look at: real sets that lie on this machine, and a team's customers, with leaks and late labels to plant."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from airflow_mlops_provider.backends.profiles.whole import Look
from airflow_mlops_provider.backends.tables.undeclared import look, look_at_rows
from airflow_mlops_provider.lifecycle.initiation.problem import Problem
from airflow_mlops_provider.lifecycle.initiation.profile import Profile, Suspect
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.initiation.propose import Answers, propose

#: Of statsmodels: those with rows enough to learn from, and without a column that is made of another.
STATSMODELS = (
    *("anes96", "cancer", "co2", "danish_data", "elnino", "engel", "fair", "grunfeld", "heart", "interest_inflation"),
    *("macrodata", "modechoice", "nile", "randhie", "star98", "statecrime", "strikes", "sunspots"),
)
SKLEARN = ("iris", "wine", "breast_cancer", "diabetes", "digits")


def vega(name: str) -> Path:
    """Return a file of the package vega_datasets."""
    spec = find_spec("vega_datasets")
    assert spec and spec.submodule_search_locations, "install vega_datasets"
    return Path(spec.submodule_search_locations[0]) / "_data" / name


def looked(data: pd.DataFrame | Path, name: str = "data.csv") -> Look:
    """Return a look at a frame, or a file."""
    if isinstance(data, Path):
        return Look(*look([(data.name, data)], data.name))
    return Look(*look_at_rows([pa.Table.from_pandas(data, preserve_index=False)], name))


def profiled(data: pd.DataFrame | Path, **named: Any) -> tuple[Profile, Problem]:
    """Return the profile of some data, and the kind of problem."""
    return looked(data).profile(**named)


def proposed(data: pd.DataFrame | Path, **named: Any) -> tuple[Profile, Proposal]:
    """Return profile and proposal."""
    seen, problem = profiled(data, **named)
    return seen, propose(seen, problem, Answers(), "me")


def suspects(data: pd.DataFrame, **named: Any) -> dict[str, Suspect]:
    """Return the columns that may give the label away."""
    return {suspect.column: suspect for suspect in profiled(data, **named)[0].suspects}


@cache
def sklearn(name: str) -> pd.DataFrame:
    """Return a set of scikit-learn's."""
    module = importlib.import_module("sklearn.datasets")
    frame: pd.DataFrame = getattr(module, f"load_{name}")(as_frame=True).frame
    return frame


@cache
def statsmodels(name: str) -> pd.DataFrame:
    """Return a set of statsmodels'."""
    frame: pd.DataFrame = importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data
    return frame.reset_index(names="date") if name == "co2" else frame


def clean_sets() -> Iterator[tuple[str, pd.DataFrame | Path]]:
    """Yield real sets in which no column gives away what is proposed as the label."""
    yield from ((name, sklearn(name)) for name in SKLEARN)
    yield from ((name, statsmodels(name)) for name in STATSMODELS)
    files = ("barley.json", "cars.json", "iowa-electricity.csv", "iris.json", "la-riots.csv", "ohlc.json")
    temps = ("seattle-temps.csv", "seattle-weather.csv", "sf-temps.csv", "stocks.csv", "us-employment.csv")
    yield from ((name, vega(name)) for name in (*files, *temps))


def customers(rows: int = 3000, seed: int = 1) -> pd.DataFrame:
    """Return customers of whom some left, by two of their columns; nothing gives that away."""
    random = np.random.default_rng(seed)
    x, plan = random.normal(size=rows), random.choice(["basic", "pro", "team"], rows)
    left = random.random(rows) < 1 / (1 + np.exp(1 - x - (plan == "basic")))
    return pd.DataFrame(
        {
            "opened_at": pd.date_range("2024-01-01", periods=rows, freq="3h", tz="UTC"),
            "customer_id": random.integers(1, 400, rows),
            "usage": x,
            "plan": plan,
            "spent": random.gamma(2, 3, rows),
            "churned": left.astype(int),
        }
    )


def late(frame: pd.DataFrame, days: np.ndarray) -> pd.DataFrame:
    """Return the same as it is seen at its end, where labels come so many days after their row."""
    age = (frame["opened_at"].max() - frame["opened_at"]).dt.total_seconds() / 86400
    known = (frame["opened_at"] + pd.to_timedelta(days, unit="D")).where(days <= age)
    return frame.assign(churned=frame["churned"].astype(float).where(days <= age), known_at=known)
