"""Tables of every kind of problem, written as people write them, of which ``init`` makes products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from tests.factories.looked_at import customers, late


class Given(NamedTuple):
    """A table, what is said of it, and the kind of problem that it is."""

    table: Callable[[], pd.DataFrame]
    said: Mapping[str, str]
    kind: str


def _random(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def answers() -> pd.DataFrame:
    """A label of words with blanks around, numbers with a comma, truth values with gaps, another person's mail."""
    random = _random()
    x = random.normal(size=400)
    return pd.DataFrame(
        {
            "id": [f"c{number}" for number in range(400)],
            "mail": [f"me{number}@example.org" for number in range(400)],
            "price": [f"{abs(value) * 1000:,.2f}".translate(str.maketrans(",.", ".,")) for value in x],
            "member": pd.Series(np.where(random.random(400) < 0.1, None, x > 0.3), dtype=object),
            "a 'quoted' \"name\"": random.choice(["it's", 'said "no"', "plain"], 400),
            "bought": np.where(x + random.normal(size=400) > 1, " yes", " no"),
        }
    )


def two_numbers() -> pd.DataFrame:
    """A label of 1 and 2."""
    random = _random()
    x = random.normal(size=300)
    return pd.DataFrame({"x": x, "y": random.normal(size=300), "class": np.where(x > 0.5, 2, 1)})


def sorts() -> pd.DataFrame:
    """Several classes, at days in a format of their own."""
    random = _random()
    x = random.normal(size=600)
    days = pd.date_range("2023-01-01", periods=600, freq="D").strftime("%d.%m.%Y")
    sort = pd.cut(x, [-9, -0.5, 0.5, 9], labels=["it's low", "middle", "high"]).astype(str)
    return pd.DataFrame({"day": days, "x": x, "noise": random.normal(size=600), "sort": sort})


def amounts() -> pd.DataFrame:
    """An amount, at a time in three columns."""
    random, days = _random(), pd.date_range("2021-01-01", periods=900, freq="D")
    x = random.normal(size=900)
    parts = {"year": days.year, "month": days.month, "day": days.day}
    return pd.DataFrame(
        {**parts, "x": x, "place": random.choice(["here", "there"], 900), "cost": 3 * x + 7 + days.month}
    )


def series(keys: int = 1) -> pd.DataFrame:
    """Series of hours or days by so many keys."""
    days = pd.date_range("2024-01-01", periods=200, freq="D", tz="UTC")
    parts, random = [], _random()
    for shop in ("north", "south") if keys else ("",):
        for product in ("a", "b") if keys > 1 else ("",):
            wave = 10 + 3 * np.sin(np.arange(200) * 2 * np.pi / 7) + random.normal(size=200) * 0.3
            frame = pd.DataFrame({"day": days, "shop": shop, "product": product, "Visits %": wave * 2, "sales": wave})
            parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def lists() -> pd.DataFrame:
    """Labels that list several things, in more than one way."""
    random = _random()
    x = random.normal(size=(400, 4))
    names = np.array(["war", "love", "crime", "war and peace"])
    texts = [" ".join(("|".join(names[row > 0]) or "none").split()) for row in x]
    texts = [text.replace("|", "; ") if number % 3 == 0 else text for number, text in enumerate(texts)]
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "d": x[:, 3], "genres": texts})


def orders() -> pd.DataFrame:
    """Offers that are to be ordered for each search."""
    random = _random()
    price = random.gamma(2, 50, 800)
    best = pd.Series(price).groupby(np.arange(800) // 8).rank(method="first") <= 1
    return pd.DataFrame(
        {
            "search_id": np.arange(800) // 8,
            "price": price,
            "stars": random.integers(1, 5, 800),
            "clicked": best.astype(int),
        }
    )


def oddities() -> pd.DataFrame:
    """Rows of which a few are odd, and said to be."""
    random = _random()
    odd = random.random(500) < 0.06
    x = random.normal(size=(500, 2)) + 3 * odd[:, None]
    x[::50, 0] = np.nan
    return pd.DataFrame(
        {"x": x[:, 0], "y": x[:, 1], "sort": random.choice(["p", "q"], 500), "odd": np.where(odd, "yes", "no")}
    )


def _late() -> pd.DataFrame:
    frame = customers(2000)
    return late(frame, _random().gamma(2, 3, 2000))


TABLES: Mapping[str, Given] = {
    "answers": Given(answers, {"label": "bought"}, "binary_classification"),
    "two_numbers": Given(two_numbers, {"label": "class"}, "binary_classification"),
    "late_truth": Given(_late, {"label": "churned"}, "binary_classification"),
    "sorts": Given(sorts, {"label": "sort"}, "multiclass_classification"),
    "amounts": Given(amounts, {"label": "cost", "problem": "regression"}, "regression"),
    "one_series": Given(lambda: series(0).drop(columns=["shop", "product"]), {"label": "sales"}, "forecasting"),
    "shops": Given(lambda: series(1).drop(columns="product"), {"label": "sales"}, "forecasting"),
    "shops_and_products": Given(lambda: series(2), {"label": "sales"}, "forecasting"),
    "genres": Given(lists, {"label": "genres"}, "multilabel_classification"),
    "searches": Given(orders, {"label": "clicked"}, "ranking"),
    "oddities": Given(oddities, {"label": "odd", "problem": "anomaly_detection"}, "anomaly_detection"),
    "unlabelled": Given(lambda: oddities().drop(columns="odd"), {"label": "none"}, "anomaly_detection"),
}
