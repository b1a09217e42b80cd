"""A delivery is complete once all of it is there and lies still, or its marker is there."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.backends.tables.landing import matches, split_path
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.sensors.features import SourceDeliverySensor
from airflow_mlops_provider.triggers.deliveries import DeliveryTrigger
from tests.factories.waiting import context, fired, waits


def put(file: Path, text: str = "x", age: float = 3600) -> Path:
    """Write a file that was changed a while ago."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    then = file.stat().st_mtime - age
    os.utime(file, (then, then))
    return file


def sensor(path: str, **settings: Any) -> SourceDeliverySensor:
    """Return a sensor for a path."""
    return SourceDeliverySensor(task_id="wait", path=path, poke_seconds=0.01, **settings)


def test_a_file_that_is_still_written(tmp_path: Path) -> None:
    """Not there, then growing, then at rest: it is waited for until the last, deferred by default."""
    trigger = waits(sensor(f"{tmp_path}/a.csv", settle_seconds="60"), context())
    events = fired(trigger, lambda: put(tmp_path / "a.csv", age=0), lambda: put(tmp_path / "a.csv", "xy", age=61))
    assert [(event["delivered"], event["files"], event["bytes"]) for event in events] == [(["a.csv"], 1, 2)]
    assert sensor(f"{tmp_path}/a.csv", deferrable=False).execute(context())["delivered"] == ["a.csv"]


@pytest.mark.parametrize("path", ["{0}/day/", "{0}/day/*.csv", "{0}/*/?.csv", "{0}/**/[ab].csv"])
def test_many_files_are_complete_together(tmp_path: Path, path: str) -> None:
    """As long as one of them was changed lately, none counts; none at all is no delivery."""
    wanted = sensor(path.format(tmp_path), settle_seconds=60)
    assert waits(wanted, context()).look().text.endswith("has not been delivered yet")
    put(tmp_path / "day" / "a.csv")
    put(tmp_path / "day" / "b.csv", "xyz", age=0)
    assert re.search(r"has 2 file\(s\), of which (day/)?b\.csv was changed", waits(wanted, context()).look().text)
    put(tmp_path / "day" / "b.csv", "xyz")
    done = wanted.execute(context())
    assert (done["files"], done["bytes"]) == (2, 4)


def test_a_marker_stands_for_all(tmp_path: Path) -> None:
    """Who writes a marker last need not wait until anything settles, and without it nothing is complete."""
    put(tmp_path / "day" / "a.csv")
    wanted = sensor(f"{tmp_path}/day/", marker="_SUCCESS", settle_seconds=3600)
    assert waits(wanted, context()).look().text.endswith("_SUCCESS has not been delivered yet")
    put(tmp_path / "day" / "_SUCCESS", "", age=0)
    assert wanted.execute(context())["delivered"] == ["_SUCCESS"]


def test_a_watcher_waits_for_the_marker_of_each_folder(tmp_path: Path) -> None:
    """A day whose marker is not there yet is no delivery."""
    put(tmp_path / "1" / "_SUCCESS")
    watcher = DeliveryTrigger(path=f"{tmp_path}/*/", marker="_SUCCESS")
    events = fired(
        watcher, lambda: put(tmp_path / "2" / "a.csv"), lambda: put(tmp_path / "2" / "_SUCCESS", age=0), lambda: None
    )
    assert [event["delivered"] for event in events] == [["1/_SUCCESS", "2/_SUCCESS"]]


def test_a_watcher_sees_each_delivery_once(tmp_path: Path) -> None:
    """What lies there at first is known; a new file, a changed one and one that is still written are told apart."""
    put(tmp_path / "a.csv")
    watcher = DeliveryTrigger(path=f"{tmp_path}/*.csv", settle_seconds=60)
    changes = [
        lambda: None,
        lambda: put(tmp_path / "b.csv", age=0),
        lambda: put(tmp_path / "b.csv"),
        lambda: None,
        lambda: put(tmp_path / "a.csv", "changed", age=1800),
        lambda: None,
    ]
    assert [event["delivered"][-1] for event in fired(watcher, *changes)] == ["b.csv", "a.csv"]


def test_a_path_below_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection it lies below the landing root, with one below its root."""
    monkeypatch.setenv("AIRFLOW__MLOPS__LANDING_ROOT", str(tmp_path / "landing"))
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", f'{{"conn_type": "mlops_artifact_store", "host": "{tmp_path}/lake"}}')
    put(tmp_path / "landing" / "a.csv", "1")
    put(tmp_path / "lake" / "a.csv", "22")
    assert sensor("a.csv").execute(context())["bytes"] == 1
    assert sensor("a.csv", conn_id="lake").execute(context())["bytes"] == 2


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """A link among the files of a pattern fails the task by name, as it does below a product's landing root."""
    put(tmp_path / "elsewhere")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AirflowFailException, match=r"in/a\.csv is a link"):
        sensor(f"{tmp_path}/in/*.csv").execute(context())


def test_what_cannot_be_meant_is_refused() -> None:
    """By the name of the field, before a DAG that holds it is used."""
    with pytest.raises(ConfigurationError, match="path, or product"):
        SourceDeliverySensor(task_id="wait")
    with pytest.raises(ConfigurationError, match="names no file"):
        split_path("s3://bucket")
    with pytest.raises(ConfigurationError, match="settle_seconds is 'x'"):
        DeliveryTrigger(path="/in/", settle_seconds="x")  # type: ignore[arg-type]  # as a template may render
    assert sensor("/in/").timeout > timedelta(days=365).total_seconds()


@pytest.mark.parametrize(
    ("path", "root", "name", "meant", "not_meant"),
    [
        ("/in/a.csv", "/in", "a.csv", "a.csv", "aXcsv"),
        ("/in/", "/in", "**/*", "x/y/a.csv", None),
        ("s3://lake/day=*/p?.csv", "s3://lake", "day=*/p?.csv", "day=1/p1.csv", "day=1/x/p1.csv"),
        ("s3://lake/a/**/x.csv", "s3://lake/a", "**/x.csv", "x.csv", "x.csv/y"),
        ("/in/[ab]*.csv", "/in", "[ab]*.csv", "b1.csv", "c1.csv"),
    ],
)
def test_patterns(path: str, root: str, name: str, meant: str, not_meant: str | None) -> None:
    """``*`` stays within a folder, ``**`` goes through any number of them."""
    assert split_path(path) == (root, name)
    assert matches(name, meant)
    assert not_meant is None or not matches(name, not_meant)
