"""Rows that a step leaves out are counted by it, in facts and log."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.jobs.runner import run
from tests.shop_world import DAYS, ShopWorld
from tests.tiny_world import TinyWorld


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
    assert result.facts == {"rows": {"few": 1}, "rows_in": {"sales": 2}}
    assert "sales: the rules return no table of this name; its 2 rows end here" in caplog.text


@pytest.mark.parametrize(("shop", "left_out"), [("", {"takings": 2}), ("NA", {})])
def test_loading_tells_rows_without_a_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shop: str, left_out: dict[str, int]
) -> None:
    """Feature rows whose key is missing cannot be asked for: they are counted. A key named NA is a key."""
    world = ShopWorld(tmp_path)
    file = world.deliver_day(0, DAYS[0])
    file.write_text(file.read_text().replace("north,", f"{shop},", 2))
    try:
        raw = world.job("extract", DAYS[0])
        features = world.job("compute", DAYS[0], clean=(world.job("clean", DAYS[0], raw=raw),))
        facts = world.job("load", DAYS[0], features=features).facts
    finally:
        world.close()
    assert (facts["left_out"], facts["rows"]) == (left_out, {"takings": 288 - sum(left_out.values())})
    assert ("without a key" in caplog.text) is bool(left_out)
