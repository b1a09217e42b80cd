"""The ledger: it only grows, and of two movers that can't both be right one wins."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConflictError, IntegrityError, TransitionError
from airflow_mlops_provider.lifecycle.release.registry import Status, aliases, newest_ready, status_of
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import TRIES, Ledger
from tests.factories.ledger import (
    PRODUCT,
    TO_READY,
    bring,
    check_unbroken,
    race_processes,
    race_threads,
    run_together,
    version,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """An artifact root in an empty folder."""
    return FolderStore(tmp_path / "root")


@pytest.fixture
def ledger(store: FolderStore) -> Ledger:
    """An empty ledger."""
    return Ledger(store, PRODUCT)


def test_a_move_is_kept_with_all_it_rests_on(ledger: Ledger) -> None:
    """An entry reads back as it was made: version, both statuses, reason, evidence, by whom and when."""
    before = datetime.now(UTC)
    made = ledger.move(version(1), Status.REGISTERED, reason="trained", by="dag/run/task", evidence={"model": "abc"})
    assert ledger.entries() == [made]
    assert (made.sequence, made.was, made.status) == (0, None, Status.REGISTERED)
    assert (made.version, made.reason, made.by) == (version(1), "trained", "dag/run/task")
    assert made.evidence == {"model": "abc"}
    assert before <= made.at <= datetime.now(UTC)


def test_it_only_grows(ledger: Ledger, store: FolderStore) -> None:
    """A new move adds one file and leaves every byte of the earlier ones; other products' ledgers are apart."""
    bring(ledger, 1, *TO_READY)
    Ledger(store, "shop_b").move(version(9), Status.REGISTERED, reason="", by="")
    before = {key: store.read(key) for key in store.list(f"{PRODUCT}/ledger")}
    bring(ledger, 1, Status.LIVE)
    after = {key: store.read(key) for key in store.list(f"{PRODUCT}/ledger")}
    assert len(after) == len(before) + 1
    assert before.items() < after.items()
    check_unbroken(ledger.entries())


def test_a_refused_move_leaves_nothing(ledger: Ledger, store: FolderStore) -> None:
    """A move around the gates is refused and not entered."""
    bring(ledger, 1, Status.REGISTERED)
    with pytest.raises(TransitionError, match="version 1 is registered and cannot become live"):
        ledger.move(version(1), Status.LIVE, reason="", by="")
    assert len(store.list("")) == 1


def test_the_same_move_again_changes_nothing(ledger: Ledger) -> None:
    """A retried task that finds its move made gets the entry of then, and makes no second."""
    made = bring(ledger, 1, Status.REGISTERED, Status.STAGING)
    bring(ledger, 2, Status.REGISTERED)
    again = ledger.move(version(1), Status.STAGING, reason="another", by="another")
    assert again == made
    assert len(ledger.entries()) == 3


def test_more_than_nine_entries_stay_in_order(ledger: Ledger) -> None:
    """The twelfth entry comes after the second."""
    for number in range(12):
        bring(ledger, number, Status.REGISTERED)
    assert [entry.version.version for entry in ledger.entries()] == list(range(12))


def test_who_is_live(ledger: Ledger) -> None:
    """The live version is none, then the first, then, over the hand-over, the second."""
    assert ledger.live() is None
    bring(ledger, 1, *TO_READY, Status.LIVE)
    assert ledger.live() == version(1)
    bring(ledger, 2, *TO_READY, Status.LIVE)
    assert ledger.live() == version(2)
    bring(ledger, 1, Status.RETIRED)
    assert ledger.live() == version(2)


def test_of_two_threads_one_wins(store: FolderStore) -> None:
    """Two threads that move one version in ways that exclude each other: one wins, and no number is left out."""
    race_threads(store, rounds=20)


def test_of_two_processes_one_wins(tmp_path: Path) -> None:
    """The same with two processes that share nothing but the folder."""
    race_processes(str(tmp_path / "root"), rounds=20, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_moves_that_do_not_conflict_all_succeed(store: FolderStore, ledger: Ledger) -> None:
    """Six movers of six versions all get in, in some order, without a gap."""
    run_together([lambda number=number: bring(Ledger(store, PRODUCT), number, *TO_READY) for number in range(6)])
    entries = ledger.entries()
    check_unbroken(entries)
    assert len(entries) == 6 * len(TO_READY)
    assert {status_of(entries, number) for number in range(6)} == {Status.PRODUCTION_READY}


def test_a_mover_that_never_gets_in_says_so(
    store: FolderStore, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is overtaken each time gives up with an error that a retry can mend, not an endless loop."""
    others, write = iter(range(100, 200)), store.write_new

    def overtaken(key: str, data: bytes) -> None:
        with monkeypatch.context() as undisturbed:
            undisturbed.setattr(store, "write_new", write)
            bring(Ledger(store, PRODUCT), next(others), Status.REGISTERED)
        write(key, data)

    monkeypatch.setattr(store, "write_new", overtaken)
    with pytest.raises(ConflictError, match=f"changed {TRIES} times while version 1 was to move") as told:
        ledger.move(version(1), Status.REGISTERED, reason="", by="")
    assert told.value.retryable
    check_unbroken(ledger.entries())


def test_a_move_names_the_registered_model(ledger: Ledger) -> None:
    """A move under a version's number with another hash, URI or product is refused, and leaves nothing."""
    bring(ledger, 1, Status.REGISTERED, Status.STAGING)
    for change in ({"hash": "f" * 64}, {"uri": "file:///elsewhere"}, {"name": "shop_b"}):
        for to in (Status.PRODUCTION_READY, Status.STAGING):
            with pytest.raises(TransitionError, match=f"registered with {next(iter(change))} "):
                ledger.move(version(1).model_copy(update=change), to, reason="", by="")
    assert len(ledger.entries()) == 2


def test_a_retired_version_comes_back_by_a_rollback_only(ledger: Ledger) -> None:
    """A retired version can't become live; once it is production-ready again by an entry of its own it can."""
    bring(ledger, 1, *TO_READY, Status.LIVE, Status.RETIRED)
    with pytest.raises(TransitionError, match="is retired and cannot become live; from there: production-ready"):
        bring(ledger, 1, Status.LIVE)
    bring(ledger, 1, Status.PRODUCTION_READY, Status.LIVE)
    assert ledger.live() == version(1)


Damage = Callable[[Path], None]


def edit(**fields: Any) -> Damage:
    """Return what changes some fields of a file's JSON."""
    return lambda file: file.write_text(json.dumps({**json.loads(file.read_text()), **fields}, indent=1)) and None


DAMAGE: dict[str, tuple[int, Damage, int]] = {  # the entry that is damaged, how, and the one that the message names
    "removed": (1, lambda file: file.unlink(), 2),
    "first removed": (0, lambda file: file.unlink(), 1),
    "emptied": (2, lambda file: file.write_text(""), 2),
    "blank": (2, lambda file: file.write_text(" \n"), 2),
    "cut": (1, lambda file: file.write_bytes(file.read_bytes()[:40]), 1),
    "no JSON": (1, lambda file: file.write_text("what?"), 1),
    "another JSON": (1, lambda file: file.write_text("[1, 2]"), 1),
    "not text": (1, lambda file: file.write_bytes(b"\xff\xfe\x00"), 1),
    "edited": (0, edit(reason="of course"), 1),
    "one byte more": (1, lambda file: file.write_bytes(file.read_bytes() + b"\n"), 2),
    "promoted": (1, edit(status="production-ready"), 2),
    "another number": (1, edit(sequence=7), 1),
    "unchained": (2, edit(previous=None), 2),
    "another product": (1, edit(version=version(1).model_copy(update={"name": "other"}).to_json()), 1),
    "another model": (1, edit(version=version(1).model_copy(update={"hash": "e" * 64}).to_json()), 1),
    "another past": (2, edit(was="registered"), 2),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_entry_is_named(ledger: Ledger, store: FolderStore, what: str) -> None:
    """Whatever was done to an entry, every reading and every move says so and names the file; other products go on."""
    bring(ledger, 1, *TO_READY)
    number, damage, named = DAMAGE[what]
    damage(store.path(ledger.file(number)))
    for act in (ledger.entries, ledger.live, lambda: bring(ledger, 1, Status.LIVE)):
        with pytest.raises(IntegrityError, match=re.escape(ledger.file(named))) as told:
            act()
        assert not told.value.retryable
    other = Ledger(store, "shop_b")
    other.move(version(1).model_copy(update={"name": "shop_b"}), Status.REGISTERED, reason="", by="")
    assert len(other.entries()) == 1


@pytest.mark.parametrize("name", ["00000009.json", "notes.txt", "00000001.json~", "0/00000003.json", "a.json"])
def test_a_foreign_file_is_named(ledger: Ledger, store: FolderStore, name: str) -> None:
    """A file that is no entry of this ledger is named, wherever it sorts."""
    bring(ledger, 1, *TO_READY)
    store.write(f"{PRODUCT}/ledger/{name}", b"{}")
    with pytest.raises(IntegrityError, match=re.escape(f"{PRODUCT}/ledger/{name}")):
        ledger.entries()


def test_a_head_kept_elsewhere_shows_what_a_chain_cannot(ledger: Ledger, store: FolderStore) -> None:
    """Against an earlier head: what came since is told; a changed last entry or a missing tail is refused by name."""
    bring(ledger, 1, Status.REGISTERED, Status.STAGING)
    head = ledger.head()
    assert ledger.since(head) == (ledger.entries(), [])
    made = bring(ledger, 1, Status.PRODUCTION_READY)
    assert ledger.since(head)[1] == [made]
    assert ledger.since(None) == (ledger.entries(), ledger.entries())
    newer = ledger.head()
    last = store.path(ledger.file(2))
    whole = last.read_bytes()
    edit(reason="because")(last)
    with pytest.raises(IntegrityError, match=r"00000002\.json or an entry before it is not the one"):
        ledger.since(newer)
    last.unlink()
    with pytest.raises(IntegrityError, match=r"00000002\.json is missing"):
        ledger.since(newer)
    last.write_bytes(whole)
    assert ledger.since(newer) == (ledger.entries(), [])
    for nonsense in ("", "x:y", "-1:a", "99999999999:b"):
        with pytest.raises(IntegrityError):
            ledger.since(nonsense)


def test_entries_of_older_releases_are_read_and_then_held(ledger: Ledger, store: FolderStore) -> None:
    """Entries without a chain are read; the first one of this release pins them all, to the first byte."""
    bring(ledger, 1, *TO_READY)
    for number in range(3):
        entry = json.loads(store.read(ledger.file(number)))
        del entry["previous"]
        store.write(ledger.file(number), json.dumps(entry).encode())
    assert [entry.previous for entry in ledger.entries()] == [None] * 3
    bring(ledger, 1, Status.LIVE)
    assert ledger.live() == version(1)
    edit(by="somebody else")(store.path(ledger.file(0)))
    with pytest.raises(IntegrityError, match=re.escape(ledger.file(3))):
        ledger.entries()


def test_what_a_newer_release_wrote_hides_nothing(ledger: Ledger) -> None:
    """Unknown fields are kept; an unknown status leaves that version unmovable, by name, and all others as they are."""
    bring(ledger, 1, *TO_READY, Status.LIVE)
    bring(ledger, 2, Status.REGISTERED)
    quarantined = bring(ledger, 2, Status.STAGING)
    raw = {**quarantined.to_json(), "status": "quarantined", "witness": {"name": "somebody"}}
    store = ledger.store
    store.write(ledger.file(quarantined.sequence), json.dumps(raw).encode())
    *_, last = ledger.entries()
    assert (last.status.value, last.to_json()["witness"]) == ("quarantined", {"name": "somebody"})
    assert ledger.live() == version(1)
    with pytest.raises(TransitionError, match=r"version 2 is quarantined .* does not know.* cannot become rejected"):
        bring(ledger, 2, Status.REJECTED)
    bring(ledger, 3, *TO_READY)
    assert newest_ready(ledger.entries()) == version(3)
    assert aliases(ledger.entries()) == {"champion": 1, "challenger": 3}
