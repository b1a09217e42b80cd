"""Records that can't be read: named once, and nothing but themselves is hidden; who needs one is told which."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.experimentation.study import load_stop
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.search.declaration import Criteria
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import judgements
from airflow_mlops_provider.storage.record_files import Reread, read_all, read_kept, read_record
from airflow_mlops_provider.storage.stores.base import Mark

WHOLE = Interval(start=datetime(2024, 1, 1, tzinfo=UTC), end=datetime(2024, 2, 1, tzinfo=UTC))
DAMAGED = {"empty": b"", "cut": WHOLE.to_file()[:20], "bytes": b"\xff\xfe", "other": b'{"start": "2024-01-01"}'}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """Return a root with one record that can be read among some that can't, and a folder in a record's place."""
    store = FolderStore(tmp_path)
    for name, data in {**DAMAGED, "whole": WHOLE.to_file()}.items():
        store.write(f"records/{name}.json", data)
    store.write("records/folder.json/inside", b"x")
    return store


def test_the_others_are_read(store: FolderStore, caplog: pytest.LogCaptureFixture) -> None:
    """Each damaged file is named in one warning, however often it is met; one that is gone is nothing to tell."""
    keys = [f"records/{name}.json" for name in (*DAMAGED, "folder", "gone", "whole")]
    for _ in range(3):
        assert read_all(store, keys, Interval) == [WHOLE]
    named = sorted(record.getMessage().partition(" ")[0] for record in caplog.records)
    assert named == sorted(f"{store.uri}/records/{name}.json" for name in (*DAMAGED, "folder"))


@pytest.mark.parametrize("name", [*DAMAGED, "folder"])
def test_who_needs_it_is_told_which(store: FolderStore, name: str) -> None:
    """A decision that rests on a damaged record ends in an error with the file's name, and says what is wrong."""
    with pytest.raises(IntegrityError, match=f"records/{name}.json (is|can't be read)"):
        read_record(store, f"records/{name}.json", Interval)


def test_a_missing_record_is_no_damaged_one(store: FolderStore) -> None:
    """Nothing under a key, or a file where the key names a folder, is nothing there, as in a bucket."""
    for key in ("records/gone.json", "records/whole.json/inside"):
        with pytest.raises(FileNotFoundError):
            read_record(store, key, Interval)
        assert read_kept(store, key, Interval) is None


def test_a_damaged_judgement_hides_no_other(store: FolderStore, caplog: pytest.LogCaptureFixture) -> None:
    """It counts as not made: its interval is judged anew."""
    store.write("shop/judged/20240101T000000Z.json", b"{")
    assert judgements(store, "shop") == []
    assert "shop/judged/20240101T000000Z.json" in caplog.text


def test_a_damaged_stop_record_is_an_error(store: FolderStore) -> None:
    """A search whose end can't be read neither goes on nor ends on a guess."""
    criteria = Criteria(trials=3)
    assert load_stop(store, "shop", "study", criteria) is None
    key = f"shop/searches/study/{digest(criteria.to_json())[:16]}.json"
    store.write(key, b"{}")
    with pytest.raises(IntegrityError, match=f"{key} is no StopRecord: study"):
        load_stop(store, "shop", "study", criteria)


# --- read again and again ---------------------------------------------------------------------------------------------


class Counted(FolderStore):
    """A folder that notes what is read of it."""

    def __init__(self, root: Path, *, tells: bool = True) -> None:
        super().__init__(root)
        self.reads: list[str] = []
        self._tells = tells

    def read(self, key: str) -> bytes:
        self.reads.append(key)
        return super().read(key)

    def marks(self, prefix: str) -> dict[str, Mark | None]:
        return super().marks(prefix) if self._tells else dict.fromkeys(self.list(prefix))

    def taken(self) -> list[str]:
        """Return what was read since this was last asked."""
        taken, self.reads = sorted(self.reads), []
        return taken


@pytest.fixture
def counted(store: FolderStore) -> Counted:
    """Return the same root, whose reads are counted, with two records more."""
    for day in (1, 2):
        store.write(f"records/{day}.json", day_of(day).to_file())
    return Counted(store.root)


def day_of(day: int) -> Interval:
    return Interval(start=datetime(2024, 1, day, tzinfo=UTC), end=datetime(2024, 1, day + 1, tzinfo=UTC))


def of(store: FolderStore) -> dict[str, Mark | None]:
    """Return the marks of all records, but of the folder in one's place."""
    return {key: mark for key, mark in store.marks("records").items() if "inside" not in key}


def days(store: FolderStore) -> dict[str, Mark | None]:
    """Return those of the days."""
    return {key: mark for key, mark in of(store).items() if Path(key).stem.isdigit()}


def test_a_file_is_read_again_when_it_has_changed(counted: Counted) -> None:
    """Also if it has as many bytes as before; and one that is gone is in no answer."""
    files, errors = Reread(Interval, 10), list[str]()

    def read() -> dict[str, Interval]:
        return files.read(counted, days(counted), lambda key, _: errors.append(key))

    assert read() == {"records/1.json": day_of(1), "records/2.json": day_of(2)}
    assert counted.taken() == ["records/1.json", "records/2.json"]
    assert read() == {"records/1.json": day_of(1), "records/2.json": day_of(2)}
    assert counted.taken() == []
    counted.write("records/1.json", day_of(3).to_file())
    assert read() == {"records/1.json": day_of(3), "records/2.json": day_of(2)}
    assert counted.taken() == ["records/1.json"]
    counted.remove("records/2.json")
    assert read() == {"records/1.json": day_of(3)}
    assert errors == []


def test_what_cannot_be_read_is_reported_each_time(counted: Counted) -> None:
    """In the order of the keys, and until it can."""
    files = Reread(Interval, 10)
    for _ in range(2):
        errors = dict[str, Exception]()  # in the order in which they came
        read = files.read(counted, of(counted), errors.__setitem__)
        assert [*errors] == [f"records/{name}.json" for name in sorted(DAMAGED)]
        assert [*read] == ["records/1.json", "records/2.json", "records/whole.json"]
    for name in DAMAGED:
        counted.write(f"records/{name}.json", WHOLE.to_file())
    assert len(files.read(counted, of(counted), pytest.fail)) == 3 + len(DAMAGED)


def test_no_more_are_kept_than_may_be(counted: Counted) -> None:
    """Beyond it the oldest is read again, and every answer is whole."""
    files = Reread(Interval, 1)
    assert len(files.read(counted, days(counted), pytest.fail)) == 2
    assert len(files.read(counted, days(counted), pytest.fail)) == 2
    assert counted.taken() == ["records/1.json", "records/1.json", "records/2.json"]


def test_two_roots_are_not_mixed_up(counted: Counted, tmp_path: Path) -> None:
    files, other = Reread(Interval, 10), Counted(tmp_path / "other")
    other.write("records/1.json", WHOLE.to_file())
    assert len(files.read(counted, days(counted), pytest.fail)) == 2
    assert files.read(other, days(other), pytest.fail) == {"records/1.json": WHOLE}


def test_a_store_that_cannot_tell_is_read_each_time(counted: Counted) -> None:
    files, store = Reread(Interval, 10), Counted(counted.root, tells=False)
    for _ in range(2):
        assert len(files.read(store, days(store), pytest.fail)) == 2
        assert store.taken() == ["records/1.json", "records/2.json"]
