"""A real Redis stream lands as files: each entry in one of them, whoever was killed, raced or trimmed it meanwhile."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from airflow_mlops_provider.backends.streams.base import Address, Batch
from airflow_mlops_provider.backends.streams.landing import Plan, Step, StreamLanding
from airflow_mlops_provider.backends.streams.redis import Redis
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, SourceDataError, SourceError
from airflow_mlops_provider.storage.artifacts import ArtifactStore, BucketStore, FolderStore
from airflow_mlops_provider.triggers.streams import CronCalendar
from tests.factories import redis
from tests.factories.bucket import s3_server

START = datetime(2024, 1, 1, tzinfo=UTC)
PLAN = Plan(stream="orders", path="orders/{start:%Y-%m-%d}/", marker="_COMPLETE", since=START, most=3)


def milliseconds(at: timedelta) -> int:
    """Return the first part of an id, so long after the start."""
    return int((START + at).timestamp() * 1000)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a Redis listens."""
    with redis.server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@dataclass
class World:
    """A stream, its landing root, and a clock that stands still."""

    server: Redis
    store: ArtifactStore
    now: datetime

    def add(self, *hours: float, **fields: Any) -> list[str]:
        """Add an entry so many hours after the start, for each, and return their ids."""
        ids = []
        for hour in hours:
            record = {"number": str(hour), **fields}
            name = f"{milliseconds(timedelta(hours=hour))}-*"
            ids.append(self.server.client.xadd("orders", record, id=name).decode())
        return ids

    def landing(self, store: ArtifactStore | None = None, **changes: Any) -> StreamLanding:
        """Return a consumer as a new process would have it."""
        world = self

        class Clocked(Redis):
            def read(self, *given: Any, **more: Any) -> Batch:
                return replace(super().read(*given, **more), now=world.now)

        plan = replace(PLAN, **changes)
        return StreamLanding(Clocked(self.server.address), store or self.store, CronCalendar("0 0 * * *", "UTC"), plan)

    def land(self, **changes: Any) -> list[Step]:
        """Land all that is there."""
        return drain(self.landing(**changes))

    def landed(self) -> list[str]:
        """Return the ids of what lies there, in the order of the files' names."""
        return [record["_entry_id"] for record in self.records()]

    def records(self) -> list[dict[str, Any]]:
        """Return what lies there."""
        files = [key for key in self.store.list("orders") if key.endswith(".jsonl")]
        return [json.loads(line) for key in files for line in self.store.read(key).splitlines()]

    def files(self) -> list[str]:
        """Return what lies there, by name."""
        return [key.removeprefix("orders/2024-01-") for key in self.store.list("orders")]


def drain(landing: StreamLanding) -> list[Step]:
    """Land until there is nothing more."""
    steps = []
    while step := landing.step():
        steps.append(step)
    return steps


@pytest.fixture
def world(port: int, tmp_path: Path) -> World:
    """A stream that nobody has added to yet."""
    server = Redis(Address("127.0.0.1", port, None, redis.PASSWORD, {"db": "1"}))
    server.client.flushdb()
    return World(server, FolderStore(tmp_path / "landing"), START + timedelta(hours=36))


def test_each_entry_goes_to_its_interval(world: World) -> None:
    """In their order, so many to a file; a marker once the clock has passed the interval's end, no sooner."""
    ids = world.add(1, 2, 2, 23, 24, 25)
    steps = world.land()
    assert world.files() == ["01/00000000.jsonl", "01/00000001.jsonl", "01/_COMPLETE", "02/00000000.jsonl"]
    assert [step.entries for step in steps] == [3, 1, 0, 2]
    assert world.landed() == ids
    assert world.records()[4] == {"_entry_id": ids[4], "_entry_number": 5, "number": "24"}
    assert world.land() == []
    world.now += timedelta(hours=12)
    assert [step.key for step in world.land()] == ["orders/2024-01-02/_COMPLETE"]
    assert world.land() == []


def test_an_interval_without_entries_is_complete_all_the_same(world: World) -> None:
    """It has a marker and no file, and those behind it go on from the entries before it."""
    ids = world.add(1)
    world.now = START + timedelta(days=3, hours=1)
    world.land()
    assert world.files() == ["01/00000000.jsonl", "01/_COMPLETE", "02/_COMPLETE", "03/_COMPLETE"]
    ids += world.add(73)
    world.land()
    assert (world.files()[-1], world.landed()) == ("04/00000000.jsonl", ids)


def test_what_comes_late_or_early_is_landed_as_well(world: World) -> None:
    """An entry with an older id of its own goes to the open interval; one of tomorrow completes today."""
    world.add(1)
    world.land()
    late = world.add(2)
    early = world.add(60, 61)
    world.land()
    assert world.landed()[1:] == late + early
    assert "02/00000000.jsonl" in world.files()
    assert "02/_COMPLETE" in world.files()
    assert "03/00000000.jsonl" in world.files()
    assert world.land() == []


class Dies(FolderStore):
    """A root whose writer is killed at its nth write: before it, or after."""

    def __init__(self, root: Path, write: int, after: bool) -> None:
        super().__init__(root)
        self.left, self.after = write, after

    def write_new(self, key: str, data: bytes) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise KeyboardInterrupt
        super().write_new(key, data)
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_kill_at_any_point(world: World, write: int, after: bool) -> None:
    """Between reading and writing, and between a file and what comes next: nothing is lost, and nothing is twice."""
    ids = world.add(1, 2, 3, 4, 25)
    assert isinstance(world.store, FolderStore)
    with pytest.raises(KeyboardInterrupt):
        drain(world.landing(Dies(world.store.root, write, after)))
    ids += world.add(26)
    world.land()
    assert world.landed() == ids
    assert [record["_entry_number"] for record in world.records()] == [*range(1, len(ids) + 1)]
    assert "01/_COMPLETE" in world.files()


def test_who_comes_second_goes_on_behind_the_first(world: World) -> None:
    """One has read, and lands only after the other has landed more, and has completed the interval."""
    ids = world.add(1, 2)
    slow, quick = world.landing(), world.landing()
    write = world.store.write_new
    slow.store = FolderStore(world.store.root)  # type: ignore[attr-defined]

    def later(key: str, data: bytes) -> None:
        slow.store.write_new = write  # type: ignore[method-assign]
        ids.extend(world.add(3, 25))
        drain(quick)
        write(key, data)

    slow.store.write_new = later  # type: ignore[method-assign]
    drain(slow)
    ids += world.add(26)
    drain(slow)
    drain(quick)
    assert world.landed() == ids


def test_who_completes_an_interval_while_another_lands_in_it(world: World) -> None:
    """One saw nothing more of a day that is over, and before it says so, another lands what a clock that lags adds."""
    ids, world.now = world.add(1), START + timedelta(hours=12)
    world.land()
    world.now = START + timedelta(hours=24)
    slow, quick = world.landing(FolderStore(world.store.root)), world.landing()  # type: ignore[attr-defined]
    write = slow.store.write_new

    def later(key: str, data: bytes) -> None:
        slow.store.write_new = write  # type: ignore[method-assign]
        ids.extend(world.add(2))
        quick.step()
        write(key, data)

    slow.store.write_new = later  # type: ignore[method-assign]
    drain(slow)
    ids += world.add(3)
    drain(quick)
    drain(slow)
    assert world.landed() == ids
    assert world.files() == ["01/00000000.jsonl", "01/00000001.jsonl", "01/_COMPLETE", "02/00000000.jsonl"]


def check_many(world: World, consumers: int, entries: int, most: int) -> None:
    """Hold what many consumers land at once, while entries come in, against what was added."""
    ids = world.add(1)

    def consume(_: int) -> None:
        landing = world.landing(most=most)
        while len(ids) < entries or landing.step():
            landing.step()

    with ThreadPoolExecutor(consumers) as pool:
        working = [pool.submit(consume, number) for number in range(consumers)]
        while len(ids) < entries:
            ids += world.add(1 + 30 * len(ids) / entries)
        for work in working:
            work.result(120)
    world.land(most=most)
    assert world.landed() == ids
    assert [record["_entry_number"] for record in world.records()] == [*range(1, entries + 1)]


def test_consumers_that_race(world: World) -> None:
    """Four at once, in a folder."""
    check_many(world, 4, 400, 7)


def test_consumers_that_race_in_a_bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three at once, with S3's conditional writes."""
    with s3_server() as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="lake")
        world.store = BucketStore("s3://lake/landing")
        check_many(world, 3, 60, 5)


@pytest.mark.parametrize("most", [2, 100])
def test_a_stream_that_was_trimmed_too_early(world: World, most: int) -> None:
    """How many are lost, and between which, is said each time, until it is said that this is known."""
    ids = world.add(1, 2, 3)
    world.land(most=most)
    ids += world.add(4, 5, 6, 7)
    world.server.client.xtrim("orders", maxlen=3, approximate=False)  # 4 was never read
    world.server.client.xadd("other", {"a": 1})
    with pytest.raises(SourceDataError, match=f"trimmed: 1 entries between {ids[2]} and {ids[4]} are gone"):
        world.land(most=most)
    with pytest.raises(SourceDataError, match=f"lost_through='{ids[4]}'"):
        world.land(most=most, lost_through=ids[3])
    world.land(most=most, lost_through=ids[4])
    assert world.landed() == [*ids[:3], *ids[4:]]
    ids += world.add(8)
    world.land(most=most)
    assert world.records()[-1]["_entry_number"] == 8


def test_a_stream_that_was_trimmed_rightly(world: World) -> None:
    """What was landed may go: all of it, at once, with what came later still there."""
    ids = world.add(1, 2, 3)
    world.land()
    world.server.client.xtrim("orders", maxlen=0, approximate=False)
    assert world.land() == []
    ids += world.add(4)
    world.land()
    ids += world.add(5)
    world.server.client.xtrim("orders", maxlen=1, approximate=False)
    world.land()
    assert world.landed() == ids


def test_an_entry_that_was_deleted_unread(world: World) -> None:
    """By its id; one that was landed may be deleted."""
    ids = world.add(1, 2)
    world.land()
    world.server.client.xdel("orders", ids[1])
    ids += world.add(3, 4)
    world.land()
    ids += world.add(5, 6)
    world.server.client.xdel("orders", ids[4])
    with pytest.raises(SourceDataError, match=f"{ids[4]} was deleted before it was read"):
        world.land()
    world.land(lost_through=ids[4])
    assert world.landed() == [*ids[:4], ids[5]]
    ids += world.add(7)
    world.server.client.xtrim("orders", maxlen=1, approximate=False)
    world.land()
    assert world.landed()[-1] == ids[-1]


def test_a_stream_that_was_made_anew(world: World) -> None:
    """It is not taken for the one that was landed."""
    ids = world.add(1, 2, 3)
    world.land()
    world.server.client.delete("orders")
    with pytest.raises(SourceError, match=f"is gone, and what came after {ids[-1]} with it"):
        world.land()
    world.add(0.5)
    with pytest.raises(SourceDataError, match="another stream has its name"):
        world.land()
    world.server.client.delete("orders")
    world.add(4)
    with pytest.raises(SourceDataError, match="was made anew: it had 3 entries up to"):
        world.land()
    world.land(lost_through=world.add(5)[0])
    assert len(world.landed()) == 5


def test_where_landing_begins(world: World) -> None:
    """What came before the first interval is counted and left; what may be of it and is gone is named."""
    world.add(-30, -2, -1)
    world.server.client.xtrim("orders", maxlen=2, approximate=False)
    ids = world.add(1)
    world.land()
    assert [(record["_entry_id"], record["_entry_number"]) for record in world.records()] == [(ids[0], 4)]
    world.store.remove("orders")
    world.server.client.xtrim("orders", maxlen=1, approximate=False)
    with pytest.raises(SourceDataError, match=r"trimmed: 3 entries before .*, maybe of .* or later"):
        world.land()


def test_a_stream_that_is_not_there_yet(world: World) -> None:
    """It is waited for, and no interval is complete without it; a name of something else is refused."""
    with pytest.raises(SourceError, match=r"stream 'orders' of Redis at 127\.0\.0\.1:\d+ is not there yet"):
        world.land()
    assert world.files() == []
    world.server.client.set("orders", "1")
    with pytest.raises(ConfigurationError, match="WRONGTYPE"):
        world.land()


def test_a_file_that_was_taken_away(world: World) -> None:
    """Is missed, and so is what one says."""
    world.add(1, 2, 3, 4)
    world.now = START + timedelta(hours=12)
    world.land()
    world.store.write("orders/2024-01-01/00000001.jsonl", b"else\n")
    with pytest.raises(IntegrityError, match=r"00000001\.jsonl does not say up to which entry"):
        world.land()
    (world.store.root / "orders/2024-01-01/00000000.jsonl").unlink()  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError, match=r"00000000\.jsonl is missing"):
        world.land()


def test_fifty_thousand_entries_need_no_memory(world: World) -> None:
    """A file's entries are held, not the stream's."""
    client, number = world.server.client, 50_000
    for begin in range(0, number, 5000):
        together = client.pipeline(transaction=False)
        for entry in range(begin, begin + 5000):
            together.xadd("orders", {"number": entry, "text": "x" * 100}, id=f"{milliseconds(timedelta())}-{entry + 1}")
        together.execute()

    def peak(most: int) -> int:
        world.store.remove("orders")
        tracemalloc.start()
        world.land(most=most)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    small = peak(1000)
    assert [record["_entry_number"] for record in world.records()] == [*range(1, number + 1)]
    assert len([name for name in world.files() if name.endswith(".jsonl")]) == 50
    assert small * 5 < peak(number)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"path": "orders/"}, "no folder for each interval"),
        ({"path": "orders/{start:%Y-%m-%d}"}, "no folder for each interval"),
        ({"path": "../{start:%Y-%m-%d}/"}, "leaves the artifact root"),
        ({"marker": "COMPLETE"}, "must begin with _ or a dot"),
        ({"marker": "_/x"}, "must begin with _ or a dot"),
        ({"lost_through": "all"}, "'all' is no id of an entry"),
    ],
)
def test_plans_that_can_not_work(world: World, changes: dict[str, Any], wrong: str) -> None:
    """Are refused before anything is landed."""
    world.add(-1, 1)
    world.server.client.xtrim("orders", maxlen=1, approximate=False)
    with pytest.raises(ConfigurationError, match=wrong):
        world.land(**changes)
    assert world.files() == []


def test_days_of_a_zone(world: World) -> None:
    """The day on which the clock is put forward has 23 hours, as in Airflow's own timetable."""
    calendar = CronCalendar("@daily", "Europe/Berlin")
    day = calendar.containing(datetime(2024, 3, 31, 12, tzinfo=UTC))
    assert (day.end - day.start, day.end) == (timedelta(hours=23), datetime(2024, 3, 31, 22, tzinfo=UTC))
    assert calendar.behind(calendar.before(day)) == day == calendar.before(calendar.behind(day))
    assert calendar.containing(day.start) == day
    for schedule, zone in (("never", "UTC"), ("0 0 * * *", "Europe/Atlantis")):
        with pytest.raises(ConfigurationError, match="cuts no time"):
            CronCalendar(schedule, zone)
