"""The ledger: it only grows, and of two movers that can't both be right one wins."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.artifacts import FolderStore
from airflow_mlops_provider.backends.ledger import TRIES, Ledger
from airflow_mlops_provider.exceptions import ConflictError, TransitionError
from airflow_mlops_provider.lifecycle.registry import Status, status_of
from tests.ledger_world import (
    PRODUCT,
    TO_READY,
    bring,
    check_unbroken,
    race_processes,
    race_threads,
    run_together,
    version,
)

ROOT = Path(__file__).parents[2]


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
    before, as_of = datetime.now(UTC), datetime(2013, 4, 1, tzinfo=UTC)
    made = ledger.move(
        version(1), Status.REGISTERED, reason="trained", by="dag/run/task", evidence={"model": "abc"}, as_of=as_of
    )
    assert ledger.entries() == [made]
    assert (made.sequence, made.was, made.status) == (0, None, Status.REGISTERED)
    assert (made.version, made.reason, made.by, made.as_of) == (version(1), "trained", "dag/run/task", as_of)
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
