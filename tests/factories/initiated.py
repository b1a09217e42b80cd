"""Public data as files of three formats, and products that ``airflow mlops init`` writes of them."""

from __future__ import annotations

import os
import random
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from airflow_mlops_provider.cli.commands import init
from tests.factories.looked_at import sklearn, statsmodels, vega

ARGUMENTS: Mapping[str, Any] = {
    **dict.fromkeys(("query", "label", "time", "problem", "report"), None),
    "yes": True,
    "json": False,
}


class Public(NamedTuple):
    """Public data: a table, how it is written, and what is said of it."""

    table: Callable[[], pd.DataFrame]
    ending: str = "csv"
    said: Mapping[str, str] = {}


#: Sets in which something can be learned, of several kinds of problem.
PUBLIC: Mapping[str, Public] = {
    "iris_flowers": Public(lambda: sklearn("iris"), "csv"),
    "wine": Public(lambda: sklearn("wine"), "parquet"),
    "breast_cancer": Public(lambda: sklearn("breast_cancer"), "jsonl"),
    "diabetes": Public(lambda: sklearn("diabetes"), "parquet"),
    "digits": Public(lambda: sklearn("digits"), "parquet"),
    "cars": Public(lambda: pd.read_json(vega("cars.json")), "jsonl", {"label": "Miles_per_Gallon"}),
    "seattle_weather": Public(lambda: pd.read_csv(vega("seattle-weather.csv")), "csv"),
    "seattle_temps": Public(lambda: pd.read_csv(vega("seattle-temps.csv")), "csv"),
    "mauna_loa": Public(lambda: statsmodels("co2"), "csv"),
    "anes": Public(lambda: statsmodels("anes96"), "csv"),
    "us_employment": Public(lambda: pd.read_csv(vega("us-employment.csv")), "csv"),
    "visits": Public(lambda: statsmodels("randhie"), "parquet"),
}

#: Where this is set, five are tried, else two.
ALL = "MLOPS_TEST_PRODUCTS"
#: Another number, or MLOPS_TEST_SETS, takes others.
_FIVE = random.Random(os.environ.get("MLOPS_TEST_SEED", "6")).sample([*PUBLIC], 5)
CHOSEN = os.environ.get("MLOPS_TEST_SETS", ",".join(_FIVE[: None if os.environ.get(ALL) else 2])).split(",")


def write(name: str, folder: Path) -> Path:
    """Write a public set as a file, and return it."""
    table, ending, _ = PUBLIC[name]
    file = folder / f"{name}.{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    if ending == "csv":
        table().to_csv(file, index=False)
    elif ending == "parquet":
        table().to_parquet(file, index=False)
    else:
        table().to_json(file, orient="records", lines=True, date_format="iso")
    return file


def initiated(data: Path | str, folder: Path, **said: Any) -> None:
    """Run ``init``: the product goes to ``products``, its history to ``landing``."""
    where = {"to": folder / "products", "landing": str(folder / "landing")}
    init(Namespace(**{**ARGUMENTS, **where, "data": str(data), **said}))
