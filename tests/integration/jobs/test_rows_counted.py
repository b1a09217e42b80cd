"""Rows that a step leaves out are counted by it, in facts and log."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.runtime.runner import run
from tests.factories.shop import DAYS, ShopWorld
from tests.factories.tiny import TinyWorld


def test_cleaning_tells_rows_in_and_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that the rules drop, even in place, and a table that they forget, are counted in facts and log."""
    caplog.set_level("INFO")
    world = TinyWorld(
        tmp_path,
        "def clean(raw, interval):\n    raw['sales'].drop(index=1, inplace=True)\n    return {'few': raw['sales']}\n",
    )
    try:
        result = run(world.cleaning()).result
    finally:
        world.close()
    assert result is not None
    assert {name: result.facts[name] for name in ("rows", "rows_in")} == {"rows": {"few": 1}, "rows_in": {"sales": 2}}
    assert "sales: the rules return no table of this name; its 2 rows end here" in caplog.text


@pytest.mark.parametrize("shop", ["NA", "None"])
def test_a_key_that_looks_missing_is_a_key(tmp_path: Path, shop: str) -> None:
    """Text in a key's column is a key, whatever it says: its rows are loaded like all others."""
    world = ShopWorld(tmp_path)
    try:
        facts = world.job("load", DAYS[0], features=computed(world, shop).result).facts
    finally:
        world.close()
    assert (facts["left_out"], facts["rows"]) == ({}, {"takings": 288})


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    """Feature rows without a key could never be asked for: the step that makes them says which they are."""
    world = ShopWorld(tmp_path)
    try:
        failure = computed(world, "").failure
    finally:
        world.close()
    assert failure is not None
    assert (failure.error, failure.retryable) == ("SourceDataError", False)
    assert "column 'shop' is declared string, but <NA>" in failure.message


def computed(world: ShopWorld, shop: str) -> Manifest:
    """Return how the features of a day are computed in which two rows have another shop."""
    file = world.deliver_day(0, DAYS[0])
    file.write_text(file.read_text().replace("north,", f"{shop},", 2))
    raw = world.job("extract", DAYS[0])
    clean = world.job("clean", DAYS[0], raw=raw)
    return run(world.spec("compute", interval=DAYS[0], inputs={"clean": (clean,)}))
