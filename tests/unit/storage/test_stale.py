"""What stands on data that came late or was corrected: each reason, and that it is gone once all is made anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime import custom_data
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, publish
from airflow_mlops_provider.storage.stale import OF, outdated, stale
from tests.factories.shop import DAYS, ShopWorld


class Shop(ShopWorld):
    """The shop, whose days are taken to the feature store step by step."""

    def __init__(self, folder: Path, **features: int) -> None:
        super().__init__(folder, **features)
        self.store = open_store(str(self.root))

    def correct(self, day: Interval) -> None:
        """Deliver a day again, with other amounts."""
        self.deliver_day(7, day)

    def cleaned(self, day: Interval, **later: Any) -> Dataset:
        """Take a day from its delivery to its clean tables."""
        made = self.job("clean", day, raw=self.job("extract", day, **later))
        assert isinstance(made, Dataset)
        return made

    def loaded(self, day: Interval, *clean: Dataset) -> Dataset:
        """Take clean tables to the feature store, and return the features."""
        features = self.job("compute", day, clean=clean)
        self.job("load", day, features=features)
        assert isinstance(features, Dataset)
        return features

    def own(self, like: Dataset, table: str, column: str) -> Dataset:
        """Return what a task of somebody's own makes of a dataset: a column doubled."""
        frame = pd.read_parquet(Path(like.uri.removeprefix("file://")) / f"{table}.parquet")
        spec = self.spec("clean", interval=like.interval, inputs={"raw": like})
        spec = spec.model_copy(update={"job": custom_data.CUSTOM, "inputs": {custom_data.LIKE: like}})
        return custom_data.keep(self.store, spec, {table: frame.assign(**{column: frame[column] * 2})})

    @property
    def reasons(self) -> dict[Interval, tuple[str, ...]]:
        """Why which days are stale."""
        return {entry.interval: entry.reasons for entry in stale(self.store, self.name)}


def test_a_corrected_delivery_is_followed_step_by_step(tmp_path: Path) -> None:
    """Each step that is behind the one before it is named, with its run; after the last nothing is stale."""
    world, (day, other) = Shop(tmp_path), DAYS
    world.loaded(day, world.cleaned(day))
    world.loaded(other, world.cleaned(other))
    assert world.reasons == {}
    world.correct(day)
    raw = world.job("extract", day)
    assert world.reasons == {day: ("its sources were read again since it was cleaned",)}
    (listed,) = stale(world.store, world.name)
    assert listed.run and (listed.run.dag_id, listed.run.run_id) == ("tests", "one")
    clean = world.job("clean", day, raw=raw)
    assert world.reasons == {day: (f"its features were computed of an older {day}",)}
    features = world.job("compute", day, clean=(clean,))
    assert world.reasons == {day: ("its features were computed and not loaded",)}
    world.job("load", day, features=features)
    assert world.reasons == {}


def test_features_that_look_back_are_stale_with_what_they_look_on(tmp_path: Path) -> None:
    """A day's correction reaches the day after it, until that is computed again."""
    world, (first, second) = Shop(tmp_path, lookback=1), DAYS
    before = world.cleaned(first)
    after = world.cleaned(second)
    world.loaded(first, before)
    world.loaded(second, before, after)
    assert world.reasons == {}
    world.correct(first)
    before = world.cleaned(first)
    world.loaded(first, before)
    assert world.reasons == {second: (f"its features were computed of an older {first}",)}
    world.loaded(second, before, after)
    assert world.reasons == {}


def test_late_rows_make_their_interval_stale(tmp_path: Path) -> None:
    """Until that has taken them; the interval that they came with is not stale."""
    world, (first, second) = Shop(tmp_path, lateness=1), DAYS
    world.loaded(first, world.cleaned(first))
    with world.deliver_day(1, second).open("a") as file:
        file.write(f"north,9.5,{first.start + timedelta(hours=3, minutes=2):%Y-%m-%dT%H:%M:%SZ}\n")
    world.loaded(second, world.cleaned(second))
    assert world.reasons == {first: (f"late rows of sales came with {second}",)}
    later = current(world.store, world.name, "raw")[-1]
    rows = world.loaded(first, world.cleaned(first, later=(later,))).facts["rows"]
    assert rows["takings"] == 289
    assert world.reasons == {}


def test_what_earlier_releases_made_is_not_stale(tmp_path: Path) -> None:
    """Facts that don't say of what a dataset was made are no reason to make it again."""
    world, (day, _) = Shop(tmp_path), DAYS
    world.loaded(day, world.cleaned(day))
    for name in ("clean", "features"):
        (dataset,) = current(world.store, world.name, name)
        facts = {fact: value for fact, value in dataset.facts.items() if fact != OF}
        publish(world.store, world.name, name, dataset.model_copy(update={"facts": facts}))
    world.correct(day)
    world.job("extract", day)
    assert world.reasons == {}


def test_a_task_of_ones_own_behind_cleaning_is_seen_through(tmp_path: Path) -> None:
    """Features of a custom table are those of the clean one below it: current with it, and stale with it."""
    world, (day, _) = Shop(tmp_path), DAYS
    clean = world.cleaned(day)
    mine = world.own(clean, "sales", "amount")
    assert mine.hash != clean.hash
    world.loaded(day, mine)
    assert world.reasons == {}
    world.correct(day)
    clean = world.cleaned(day)
    assert world.reasons == {day: (f"its features were computed of an older {day}",)}
    world.loaded(day, world.own(clean, "sales", "amount"))
    assert world.reasons == {}


def test_a_task_of_ones_own_behind_features_is_seen_through(tmp_path: Path) -> None:
    """What was loaded in place of the features, and was made of them, is loaded; of older ones it is not."""
    world, (day, _) = Shop(tmp_path), DAYS
    features = world.job("compute", day, clean=(world.cleaned(day),))
    own = world.own(features, "takings", "mean_amount")
    world.job("load", day, features=own)
    assert world.reasons == {}
    assert [data.hash for data in current(world.store, world.name, "features")] == [own.hash], "it counts from here on"
    world.job("compute", day, clean=(world.cleaned(day),))
    assert world.reasons == {}, "computed again it is the same, and so is what was made of it"
    world.correct(day)
    world.job("compute", day, clean=(world.cleaned(day),))
    assert world.reasons == {day: ("its features were computed and not loaded",)}


def test_a_table_of_nobodys_record_is_not_stale(tmp_path: Path) -> None:
    """Of what others made and handed on nothing is known that could be older."""
    world, (day, _) = Shop(tmp_path), DAYS
    clean = world.cleaned(day)
    (world.root / "mine").mkdir()
    frame = pd.read_parquet(Path(clean.uri.removeprefix("file://")) / "sales.parquet")
    frame.to_parquet(world.root / "mine" / "sales.parquet", index=False)
    world.loaded(day, clean.model_copy(update={"uri": f"{world.root.as_uri()}/mine"}))
    world.correct(day)
    world.cleaned(day)
    assert world.reasons == {}


@pytest.mark.parametrize("is_truth_given", [False, True], ids=["labels beside", "labels in tables"])
def test_what_a_version_learned_from_is_outdated_once_others_are_there(tmp_path: Path, is_truth_given: bool) -> None:
    """The interval is named, and no other; tables in which labels arrive are no features."""
    world, (first, second) = Shop(tmp_path), DAYS
    features = tuple(map(world.engineer, DAYS))
    truth = {"truth": tuple(current(world.store, world.name, "clean"))} if is_truth_given else {}
    data = world.job("training_set", second, {"evaluate": 1}, features=features, **truth)
    model = world.job("train", second, training_set=data)
    evaluation = world.job("evaluate", second, model=model, training_set=data)
    version = world.job("register", params={"cause": "first", "reason": "first"}, model=model, evaluation=evaluation)
    assert outdated(world.store, version) == []
    world.correct(first)
    world.engineer(first)
    assert outdated(world.store, version) == [f"version 1 learned from an older {first}"]
