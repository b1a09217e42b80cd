"""Deliveries of a replay: made ready beforehand, seen only when it is their turn, and then whole."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_mlops_provider.demo.deliveries import Deliveries, Delivery
from airflow_mlops_provider.lifecycle.interval import Interval

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = [Interval(start=START + timedelta(number), end=START + timedelta(number + 1)) for number in range(3)]


def write(folder: Path, interval: Interval, *, gap: bool) -> list[Path]:
    """Write one day's file, and one that every delivery has."""
    if interval == DAYS[2]:
        raise OSError("the airline's disk is full")
    files = [folder / "days" / f"{interval.start:%d}", folder / "static"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{interval.start:%d} {gap}")
    return files


@pytest.fixture
def deliveries(tmp_path: Path) -> Deliveries:
    """The first day with a gap, the second, the first again and whole, and one that can't be written."""
    plan = [Delivery(DAYS[0], gap=True), Delivery(DAYS[1]), Delivery(DAYS[0]), Delivery(DAYS[2])]
    return Deliveries(f"{__name__}:write", plan, tmp_path / "landing", tmp_path / "ready")


def lies(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_each_is_there_in_its_turn_and_not_before(deliveries: Deliveries, tmp_path: Path) -> None:
    """The first waits for nobody; a later one is ready before, and is seen only when it arrives."""
    landing, end = tmp_path / "landing", time.monotonic() + 30
    while not (tmp_path / "ready" / "2" / "static").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert lies(landing) == {"01": "01 True", "static": "01 True"}
    deliveries.arrive()
    assert lies(landing) == {"01": "01 True", "static": "01 True"}
    deliveries.arrive()
    assert lies(landing) == {"01": "01 True", "02": "02 False", "static": "02 False"}
    deliveries.arrive()
    assert lies(landing) == {"01": "01 False", "02": "02 False", "static": "01 False"}
    with pytest.raises(OSError, match="disk is full"):
        deliveries.arrive()
    deliveries.close()
