"""``airflow mlops forget``: whom it takes out of what, whom it asks first, and what it prints."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider.cli.forget import run
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.erasures import Erasures
from tests.factories.shop import DAYS, ShopWorld


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShopWorld]:
    """A day of a shop, with its features, in the root that is configured."""
    world = ShopWorld(tmp_path)
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(world.root))
    monkeypatch.setenv("AIRFLOW__MLOPS__PRODUCTS_FOLDERS", str(world.products))
    world.engineer(DAYS[0])
    yield world
    world.close()


def args(*entities: str, **options: Any) -> Namespace:
    """Return what the command line would give."""
    given = {"file": None, "product": [], "reason": None, "log": None, "yes": True, "json": False}
    return Namespace(entities=entities, **{**given, **options})


def shops_in(world: ShopWorld) -> set[str]:
    """Return the shops that any table has."""
    tables = map(pd.read_parquet, (world.root / world.name).rglob("*.parquet"))
    return {name for table in tables if "shop" in table for name in table["shop"]}


def test_rows_are_taken_out_and_counted(shop: ShopWorld, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every product with such a column; the page is named, and the value is not."""
    assert run(args("shop=north", reason="a letter"))
    shown = capsys.readouterr().out
    assert "nothing is left" in shown
    assert "forgotten.html" in shown
    assert "sales/2024-01-01.csv" in shown
    assert "north" not in shown
    assert shops_in(shop) == {"south", "east", "west"}
    (request,) = Erasures(open_store(str(shop.root)), shop.name).all()
    assert request.reason == "a letter"
    assert run(args())
    assert request.key in capsys.readouterr().out
    assert run(args(json=True))
    assert json.loads(capsys.readouterr().out)[0]["product"] == shop.name


def test_a_file_names_many(shop: ShopWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each, also of standard input; empty ones are nobody."""
    file = tmp_path / "leavers.txt"
    file.write_text("shop=north\n\nshop=south\n")
    assert run(args(file=str(file), json=True))
    assert shops_in(shop) == {"east", "west"}
    monkeypatch.setattr("sys.stdin", io.StringIO("shop=east\n"))
    assert run(args(file="-"))
    assert shops_in(shop) == {"west"}


def test_nobody_is_forgotten_by_mistake(shop: ShopWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that no product declares, a product that is not there, and a question that nobody answers."""
    with pytest.raises(UnknownNameError, match="unknown column 'stop'; known: amount, at, shop"):
        run(args("stop=north"))
    with pytest.raises(UnknownNameError, match="unknown product 'shoop'"):
        run(args("shop=north", product=["shoop"]))
    with pytest.raises(ConfigurationError, match="say --yes"):
        run(args("shop=north", yes=False))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert not run(args("shop=north", yes=False))
    assert "north" in shops_in(shop)
    assert not run(args("stop=north", product=[shop.name])), "no table has it"
    assert Erasures(open_store(str(shop.root)), shop.name).all() == []
