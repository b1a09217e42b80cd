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
from airflow_mlops_provider.storage.record_files import read_all, read_kept, read_record

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
