"""A ledger's rules, which hold in any artifact root: the folder's test and the bucket's run the same."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

from airflow_mlops_provider.exceptions import TransitionError
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.storage.artifacts import ArtifactStore, open_store
from airflow_mlops_provider.storage.ledger import Ledger

PRODUCT = "shop"
TO_READY = (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY)
_RACER = """
import sys
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.exceptions import TransitionError
from tests.factories.ledger import PRODUCT, version
from airflow_mlops_provider.lifecycle.release.registry import Status
ledger = Ledger(open_store(sys.argv[1]), PRODUCT)
ledger.entries()
print("ready", flush=True)
for line in sys.stdin:
    number, status = line.split()
    try:
        ledger.move(version(int(number)), Status(status), reason="race", by=sys.argv[2])
        print("moved", flush=True)
    except TransitionError:
        print("refused", flush=True)
"""


def version(number: int) -> ModelVersion:
    """Return a version's reference."""
    return ModelVersion(uri=f"file:///m/{number}", hash=f"{number:064d}", name=PRODUCT, version=number)


def bring(ledger: Ledger, number: int, *moves: Status) -> LedgerEntry:
    """Take a version through some moves and return the last one's entry."""
    entry = None
    for to in moves:
        entry = ledger.move(version(number), to, reason=f"now {to.value}", by="tests")
    assert entry is not None
    return entry


def check_unbroken(entries: list[LedgerEntry]) -> None:
    """Every entry has the next number, and says truly where its version stood before."""
    assert [entry.sequence for entry in entries] == list(range(len(entries)))
    stands: dict[int, Status] = {}
    for entry in entries:
        assert entry.was == stands.get(entry.version.version)
        stands[entry.version.version] = entry.status


def race_threads(store: ArtifactStore, rounds: int) -> None:
    """Two threads move each version in ways that exclude each other: exactly one wins, every time."""
    ledger = Ledger(store, PRODUCT)
    for number in range(rounds):
        bring(ledger, number, *TO_READY)
        together, outcomes = threading.Barrier(2), []

        def move(
            to: Status, number: int = number, gate: threading.Barrier = together, told: list[str] = outcomes
        ) -> None:
            mine = Ledger(store, PRODUCT)
            gate.wait()
            try:
                mine.move(version(number), to, reason="race", by=to.value)
                told.append("moved")
            except TransitionError:
                told.append("refused")

        run_together([lambda: move(Status.REJECTED), lambda: move(Status.RETIRED)])
        assert sorted(outcomes) == ["moved", "refused"]
    entries = ledger.entries()
    check_unbroken(entries)
    assert len(entries) == 4 * rounds


def race_processes(root: str, rounds: int, env: Mapping[str, str]) -> None:
    """As with threads, in two processes that share nothing but the root."""
    ledger = Ledger(open_store(root), PRODUCT)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, root, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(env),
        )
        for name in ("one", "two")
    ]
    try:
        assert [answer(racer) for racer in racers] == ["ready", "ready"]
        for number in range(rounds):
            bring(ledger, number, *TO_READY)
            for racer, to in zip(racers, (Status.REJECTED, Status.RETIRED), strict=True):
                assert racer.stdin is not None
                racer.stdin.write(f"{number} {to.value}\n")
                racer.stdin.flush()
            assert sorted(answer(racer) for racer in racers) == ["moved", "refused"]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
    check_unbroken(ledger.entries())
    assert len(ledger.entries()) == 4 * rounds


def answer(racer: subprocess.Popen[str]) -> str:
    """Return what a racer says next."""
    assert racer.stdout is not None
    return racer.stdout.readline().strip()


def run_together(work: list[Callable[[], None]]) -> None:
    """Run some functions in a thread each, to their ends."""
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
