"""The first read: deliveries are waited for until they are whole, taken as they are, and their rows counted."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.lifecycle.records.manifest import Failure
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.sensors.features import SourceDeliverySensor
from airflow_mlops_provider.triggers.base import NOTHING
from airflow_mlops_provider.triggers.deliveries import DeliveryTrigger
from tests.factories.tiny import DAY, TinyWorld

COLUMNS = {"shop": "string", "amount": "float64", "returned": "int64", "open": "bool", "at": "timestamp"}
HEADER = "shop,amount,returned,open,at\n"
AT = "2024-01-01T08:00:00Z"
GOOD = f"north,1.5,1,true,{AT}\n"
ROWS = HEADER + GOOD * 3


class Shop(TinyWorld):
    """A product with one source, extracted in this process."""

    def __init__(self, folder: Path, **declared: Any) -> None:
        super().__init__(folder)
        fields = {"time": "at", "settle_seconds": 0, "columns": COLUMNS, **declared}
        text = (self.package / "product.py").read_text()
        start, end = text.index('                time="at"'), text.index("            ),\n        ),\n        clean=")
        given = "".join(f"                {name}={value!r},\n" for name, value in fields.items())
        self.write("product.py", text[:start] + given + text[end:])

    def refusal(self, delivery: str | bytes | None = None) -> Failure:
        """Return why a delivery, or what lies there in its place, is refused."""
        if delivery is not None:
            self.deliver(delivery)
        failure = run(self.spec("extract")).failure
        assert failure is not None
        return failure


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Return a function that makes the product, its source declared with the given fields."""
    made: list[Shop] = []

    def make(**declared: Any) -> Shop:
        made.append(Shop(tmp_path / str(len(made)), **declared))
        return made[-1]

    yield make
    for one in made:
        one.close()


STRAYS = {"2023-12-31T23:59:59Z": 2, "2024-01-02T00:00:00Z": 1, "": 2}
COUNTED = {"sales": {"before the interval": 2, "after the interval": 1, "without a time": 2}}


def stray(days: int) -> str:
    """Return a delivery of some rows of the day and five that are not."""
    others = "".join(GOOD.replace(AT, at) * count for at, count in STRAYS.items())
    return HEADER + GOOD * days + others


def test_rows_left_out_are_counted(shop: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """Late rows, early ones and those without a time are counted by reason in log, facts, manifest and snapshot."""
    world = shop(max_left_out=0.5)
    world.deliver(stray(5))
    manifest = run(world.spec("extract"))
    assert isinstance(manifest.result, Dataset)
    assert manifest.result.facts["left_out"] == COUNTED
    assert manifest.result.facts["rows"] == {"sales": 5}
    kept = Path(manifest.result.uri.removeprefix("file://"))
    assert json.loads((kept / "left_out.json").read_text()) == COUNTED
    assert "left out 2 before the interval, 1 after the interval, 2 without a time of 10 rows" in caplog.text


@pytest.mark.parametrize(
    ("days", "declared"), [(1, {}), (44, {}), (4, {"max_left_out": 0.5}), (0, {"max_left_out": 1})]
)
def test_rows_left_out_have_a_limit(shop: Callable[..., Shop], days: int, declared: dict[str, Any]) -> None:
    """More than the declared share, a tenth by default, is refused with the counts; so is a delivery without a row."""
    failure = shop(**declared).refusal(stray(days))
    assert (failure.error, failure.retryable) == ("SourceDataError", False)
    assert "left out: 2 before the interval, 1 after the interval, 2 without a time" in failure.message


def test_a_whole_delivery_leaves_nothing_to_tell(shop: Callable[..., Shop]) -> None:
    """Without stray rows, and without a time column, neither facts nor snapshot speak of rows left out."""
    for declared in ({}, {"time": None}):
        world = shop(**declared)
        world.deliver(ROWS)
        result = run(world.spec("extract")).result
        assert result is not None
        assert "left_out" not in result.facts
        assert [file.name for file in Path(result.uri.removeprefix("file://")).iterdir()] == ["sales.parquet"]


def _link(file: Path) -> None:
    (file.parent / "elsewhere.csv").write_text(ROWS)
    file.symlink_to(file.parent / "elsewhere.csv")


def _linked_folder(file: Path) -> None:
    outside = file.parents[2] / "outside"
    outside.mkdir()
    (outside / file.name).write_text(ROWS)
    file.parent.rmdir()
    file.parent.symlink_to(outside)


def _socket(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # the whole path may be too long for a socket
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(file.name)
    os.chdir(here)


STRANGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "link": (_link, "is a link or lies behind one"),
    "link to nothing": (lambda file: file.symlink_to("nowhere"), "is a link or lies behind one"),
    "link to itself": (lambda file: file.symlink_to(file.name), "is a link"),
    "link to a device": (lambda file: file.symlink_to("/dev/zero"), "is a link or lies behind one"),
    "folder behind a link": (_linked_folder, "is a link or lies behind one"),
    "folder": (lambda file: file.mkdir(), "is a folder"),
    "pipe": (os.mkfifo, "is a pipe"),
    "socket": (_socket, "is a socket"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_plain_file_is_refused(shop: Callable[..., Shop], name: str) -> None:
    """Links, folders, pipes and sockets are refused by name where one looks and where one reads; nobody waits."""
    lay, said = STRANGE[name]
    world = shop()
    file = world.deliver("")
    file.unlink()
    lay(file)
    failure = world.refusal()
    assert (failure.error, failure.retryable) == ("SourceDataError", False)
    assert re.search(rf"sales/2024-01-01.csv {said}; deliver a plain file", failure.message)
    with pytest.raises(SourceDataError, match=said):
        waiting(world.landing, "sales/2024-01-01.csv", 0).look()


def test_the_landing_root_itself_may_be_a_link(shop: Callable[..., Shop]) -> None:
    """Whoever set up the root as a link meant it."""
    world = shop()
    world.deliver(ROWS)
    world.landing.rename(world.landing.with_name("moved"))
    world.landing.symlink_to(world.landing.with_name("moved"))
    assert world.extracted().facts["rows"] == {"sales": 3}


def test_what_is_not_there_can_be_waited_for(shop: Callable[..., Shop]) -> None:
    """A missing file, a missing folder and a file in the folder's place are not there yet; a retry helps."""
    world = shop()
    file = world.deliver("")
    for change in (file.unlink, file.parent.rmdir, file.parent.touch):
        change()
        failure = world.refusal()
        assert (failure.error, failure.retryable) == ("SourceError", True)
        assert "sales/2024-01-01.csv has not been delivered yet" in failure.message


def test_a_file_that_was_just_written_is_not_whole_yet(shop: Callable[..., Shop]) -> None:
    """Half the lines flushed and the writer still busy: neither sensor nor extract takes it before it lay still."""
    world = shop(settle_seconds=60)
    file = world.deliver(ROWS)
    key = "sales/2024-01-01.csv"
    failure = world.refusal()
    assert (failure.error, failure.retryable) == ("SourceError", True)
    assert re.search(rf"{key} was changed .* s ago, and counts as whole when it has not been for 60 s", failure.message)
    assert waiting(world.landing, key).look().state is None
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 61))
    assert waiting(world.landing, key).look().state == "delivered"
    assert world.extracted().facts["rows"] == {"sales": 3}


@pytest.mark.parametrize("more", [GOOD, ""], ids=["grows", "touched"])
def test_a_file_that_changes_while_it_is_read_is_not_taken(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    """A writer who goes on between the first byte and the last is noticed, and a retry helps."""
    world = shop()
    file = world.deliver(ROWS)
    real, opened = os.fdopen, []

    class Busy(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            count = super().readinto(buffer)
            if not opened:
                opened.append(file)
                file.write_text(file.read_text() + more)
                os.utime(file, ns=(1, 1))
            return count

    monkeypatch.setattr(os, "fdopen", lambda fd, mode: io.BufferedReader(Busy(fd)) if mode == "rb" else real(fd, mode))
    failure = world.refusal()
    assert opened
    assert (failure.error, failure.retryable) == ("SourceError", True)
    assert "sales/2024-01-01.csv changed while it was read" in failure.message


def waiting(root: Path, key: str, settle_seconds: float = 60, seconds: float = 0.01) -> DeliveryTrigger:
    """Return the trigger that waits for one file below a root."""
    return DeliveryTrigger(root=str(root), keys=[key], settle_seconds=settle_seconds, seconds=seconds, since=NOTHING)


def events(trigger: DeliveryTrigger) -> list[Any]:
    """Return what a trigger fires, once."""

    async def first() -> Any:
        return (await anext(trigger.run())).payload

    return [asyncio.run(asyncio.wait_for(first(), 30))]


def test_the_trigger_waits_until_a_delivery_is_whole(tmp_path: Path) -> None:
    """It goes on looking while a file is not there or not whole, fires then, and survives being made again."""
    kind, arguments = waiting(tmp_path, "a.csv").serialize()
    assert kind.endswith("DeliveryTrigger")
    trigger = DeliveryTrigger(**arguments)
    looks = iter(
        [lambda: None, lambda: (tmp_path / "a.csv").write_text("x"), lambda: os.utime(tmp_path / "a.csv", (0, 0))]
    )
    seen = []

    async def pause(seconds: float) -> None:
        seen.append(trigger.look().text.split()[1:3])
        next(looks)()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", pause)
        assert events(trigger) == [{"state": "delivered", "delivered": ["a.csv"]}]
    assert seen == [["has", "not"], ["has", "not"], ["was", "changed"]]


def test_the_trigger_tells_what_can_never_be_read(tmp_path: Path) -> None:
    """A folder in the delivery's place ends a task's waiting, by name."""
    (tmp_path / "a.csv").mkdir()
    trigger = waiting(tmp_path, "a.csv")
    trigger.task_instance = SimpleNamespace(task_id="wait")
    with pytest.raises(SourceDataError, match=r"a\.csv is a folder"):
        events(trigger)


@pytest.fixture
def sensor(shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> tuple[SourceDeliverySensor, Path, Any]:
    """Return the sensor of a product whose files need a minute to settle, its delivery, and a run of that day."""
    world = shop(settle_seconds=60)
    monkeypatch.setenv("AIRFLOW__MLOPS__LANDING_ROOT", str(world.landing))
    ti = SimpleNamespace(get_previous_dagrun=lambda state: None, start_date=datetime.now(UTC))
    context = {"data_interval_start": DAY.start, "data_interval_end": DAY.end, "ti": ti}
    return SourceDeliverySensor(task_id="wait", product=world.product), world.deliver(ROWS), context


def test_the_sensor_waits_for_whole_files(sensor: tuple[SourceDeliverySensor, Path, Any]) -> None:
    """A file that was just written is waited for, as long as its source says; one that lay still is not."""
    task, file, context = sensor
    with pytest.raises(TaskDeferred) as waiting:
        task.execute(context)
    assert isinstance(waiting.value.trigger, DeliveryTrigger)
    assert waiting.value.trigger.settle_seconds == 60
    os.utime(file, (0, 0))
    task.execute(context)
    assert task.resume(context, {"state": "delivered"}) == {"delivered": ["sales/2024-01-01.csv"]}


def test_the_sensor_does_not_wait_for_what_can_never_be_read(sensor: tuple[SourceDeliverySensor, Path, Any]) -> None:
    """A pipe in the delivery's place fails the task at once, by name; also when the trigger came upon it."""
    task, file, context = sensor
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(AirflowFailException, match=r"sales/2024-01-01\.csv is a pipe"):
        task.execute(context)
    with pytest.raises(AirflowFailException, match="is a pipe"):
        task.resume_execution("__fail__", {"error": "Trigger failure", "traceback": ["it is a pipe"]}, context)
