"""An interval in which rightly nothing came goes the whole way, and holds up no other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import current, leading_to
from tests.factories.shop import DAYS, ShopWorld

SUNDAY = Interval(start=DAYS[1].end, end=DAYS[1].end + (DAYS[1].end - DAYS[1].start))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ShopWorld]:
    """A product with a version, whose source delivers only a header on a Sunday."""
    world = ShopWorld(tmp_path)
    world.write("expectations.py", "def expectations(name):\n    return []\n")
    (world.landing / "sales" / f"{SUNDAY.start:%Y-%m-%d}.csv").write_text("shop,amount,at\n")
    yield world
    world.close()


def allow(world: ShopWorld) -> None:
    """Declare that an interval may be empty."""
    text = (world.package / "product.py").read_text()
    world.write(
        "product.py", text.replace('                time="at",', '                time="at", may_be_empty=True,')
    )
    sys.modules.pop(f"{world.name}.product", None)


def test_nothing_is_refused_unless_it_may_be(world: ShopWorld) -> None:
    """An empty delivery is an error that says what to declare."""
    failure = run(world.spec("extract", interval=SUNDAY)).failure
    assert failure
    assert "has no rows in" in failure.message
    assert "declare may_be_empty" in failure.message


def test_an_empty_interval_goes_the_whole_way(world: ShopWorld) -> None:
    """Features, predictions, drift and performance of no rows; the chain of intervals is whole."""
    allow(world)
    version = world.learn()
    assert isinstance(version, ModelVersion)
    features = world.engineer(SUNDAY)
    store = FolderStore(world.root)
    assert len(leading_to(current(store, world.name, "features"), SUNDAY, 3)) == 3
    predictions = world.job("predict", SUNDAY, features=features, version=version)
    assert isinstance(predictions, Dataset)
    assert predictions.facts["rows"] == 0
    drift = world.job("drift", SUNDAY, predictions=predictions, version=version)
    performance = world.job("performance", SUNDAY, predictions=predictions, features=features)
    assert (drift.passed, performance.passed) == (True, True)


def test_rows_that_rules_drop_are_no_empty_interval(world: ShopWorld) -> None:
    """Where something came, rules that leave nothing are refused as ever."""
    allow(world)
    world.write("limits.py", "LEAST = 1000\n")
    failure = run(world.spec("clean", interval=DAYS[0], inputs={"raw": world.job("extract", DAYS[0])})).failure
    assert failure
    assert "left no rows of 'sales'" in failure.message
