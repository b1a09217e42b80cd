"""A product's functions take and return tables of the library that their annotations name, with the same result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories.shop import DAYS, ShopWorld

PANDAS = {
    "rules": """
def clean(raw, interval):
    return {"sales": raw["sales"][raw["sales"]["amount"] > 20].reset_index(drop=True)}
""",
    "features": """
def compute(tables, interval):
    sales = tables["sales"].rename(columns={"at": "event_time"})
    return {"takings": sales.assign(mean_amount=sales["amount"] * 2)[["shop", "event_time", "mean_amount"]]}
""",
    "examples": """
import pandas as pd

def examples(tables, interval):
    sales = tables["sales"]
    rows = {"shop": sales["shop"], "event_time": sales["at"], "much": (sales["amount"] > 50).astype("Int64")}
    return pd.DataFrame({**rows, "known_at": sales["at"]})
""",
}
POLARS = {
    "rules": """
import polars as pl

def clean(raw: dict[str, pl.DataFrame], interval):
    return {"sales": raw["sales"].filter(pl.col("amount") > 20)}
""",
    "features": """
import polars as pl

def compute(tables: dict[str, pl.DataFrame], interval) -> dict[str, pl.DataFrame]:
    columns = ["shop", pl.col("at").alias("event_time"), (pl.col("amount") * 2).alias("mean_amount")]
    return {"takings": tables["sales"].select(columns)}
""",
    "examples": """
import polars as pl

def examples(tables: dict[str, pl.DataFrame], interval):
    at, much = pl.col("at"), (pl.col("amount") > 50).cast(pl.Int64).alias("much")
    return tables["sales"].select("shop", at.alias("event_time"), much, at.alias("known_at"))
""",
}
ARROW = {
    "rules": """
import pyarrow as pa
import pyarrow.compute as pc

def clean(raw: dict[str, pa.Table], interval):
    return {"sales": raw["sales"].filter(pc.greater(raw["sales"]["amount"], 20))}
""",
    "features": """
import pyarrow as pa
import pyarrow.compute as pc

def compute(tables: dict[str, pa.Table], interval):
    sales = tables["sales"]
    values = {"shop": sales["shop"], "event_time": sales["at"], "mean_amount": pc.multiply(sales["amount"], 2)}
    return {"takings": pa.table(values)}
""",
}


def features(folder: Path, modules: dict[str, str]) -> tuple[str, dict[str, int]]:
    """Return the hash of a day's features, and how many clean rows there are, with some functions of the product."""
    world = ShopWorld(folder)
    try:
        for name, text in modules.items():
            world.write(f"{name}.py", text)
        clean = world.job("clean", DAYS[0], raw=world.job("extract", DAYS[0]))
        return world.job("compute", DAYS[0], clean=(clean,)).hash, clean.facts["rows"]
    finally:
        world.close()


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_the_library_makes_no_difference(tmp_path: Path, library: str) -> None:
    """The same rows are kept, and the features are the same, bit for bit."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    expected = features(tmp_path / "pandas", PANDAS)
    assert features(tmp_path / library, PANDAS | (POLARS if library == "polars" else ARROW)) == expected
    assert expected[1]["sales"] < 288
