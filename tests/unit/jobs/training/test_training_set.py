"""A training set is of one truth: no part of it stands on what an interval was before its correction."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops_provider.runtime.runner import run
from tests.factories.shop import DAYS, ShopWorld


def test_features_of_two_truths_are_refused(tmp_path: Path) -> None:
    """Both intervals, the corrected one and what lists the rest are named; once all is made anew it is built."""
    world, (first, second) = ShopWorld(tmp_path, lookback=1), DAYS
    before, after = (world.job("clean", day, raw=world.job("extract", day)) for day in DAYS)
    world.job("load", first, features=world.job("compute", first, clean=(before,)))
    later = world.job("compute", second, clean=(before, after))
    world.job("load", second, features=later)
    world.deliver_day(7, first)
    before = world.job("clean", first, raw=world.job("extract", first))
    earlier = world.job("compute", first, clean=(before,))
    world.job("load", first, features=earlier)
    failure = run(
        world.spec("training_set", interval=second, params={"evaluate": 1}, inputs={"features": (earlier, later)})
    ).failure
    assert failure and (failure.error, failure.retryable) == ("IntegrityError", False)
    named = (f"features of {first} and {second}", first.key, "airflow mlops stale")
    assert all(words in failure.message for words in named), failure.message
    later = world.job("compute", second, clean=(before, after))
    world.job("load", second, features=later)
    assert world.job("training_set", second, {"evaluate": 1}, features=(earlier, later)).facts["rows"]["train"] > 0
