"""Several workers on one study in a database: each slot has its one trial, come what may."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.search.optuna.database import database
from airflow_mlops_provider.backends.search.optuna.study import SearchStudy
from airflow_mlops_provider.exceptions import BackendError, MissingExtraError, UnknownNameError
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, Choice, FloatRange, IntRange, Pruning
from airflow_mlops_provider.lifecycle.search.trials import Trial

TREES = Algorithm(
    name="trees",
    code="shop.trainer:train",
    space={"rate": FloatRange(low=0.01, high=1.0, log=True), "leaves": IntRange(low=4, high=64)},
)
NET = Algorithm(name="net", code="shop.net:train", space={"kind": Choice(options=("wide", "deep"))})
BOTH = (TREES, NET)
SEED = 5


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'searches' / 'optuna.db'}"


@pytest.fixture
def study(url: str) -> SearchStudy:
    """A study of six slots."""
    one = SearchStudy("six", url)
    one.open(6, {"split": "abc"}, (TREES, {"rate": 0.5, "leaves": 8}))
    return one


def test_a_slot_keeps_its_trial(study: SearchStudy, url: str) -> None:
    """Who comes back to a running slot, from another process, finds the params suggested for it; nobody else does."""
    first = study.begin(3, BOTH, SEED)
    assert (first.state, first.slot) == ("running", 3)
    assert SearchStudy("six", url).begin(3, BOTH, SEED) == first
    assert [one.state for one in study.trials()].count("running") == 1


def test_params_suggested_before_a_kill_stay(study: SearchStudy, url: str) -> None:
    """A worker killed between two draws: the next one draws only what is missing."""
    half = TREES.model_copy(update={"space": {"rate": TREES.space["rate"]}})
    params = study.begin(2, (half,), SEED).params
    whole = SearchStudy("six", url).begin(2, (TREES,), SEED + 1).params
    assert whole.keys() == {"rate", "leaves"}
    assert whole["rate"] == params["rate"]


def test_the_first_slot_tries_what_it_was_told(study: SearchStudy) -> None:
    """Slot 0 begins with the settings given for it, the others with their own."""
    assert study.begin(0, (TREES,), SEED).params == {"rate": 0.5, "leaves": 8}
    assert len({str(study.begin(slot, (TREES,), SEED).params) for slot in range(1, 6)}) == 5


def test_the_first_draws_follow_from_the_seed(tmp_path: Path) -> None:
    """Before there is anything to learn from, a slot's settings depend on seed and slot, not on who came first."""

    def params(order: list[int], name: str) -> dict[int, object]:
        one = SearchStudy(name)
        one.open(5)
        return {slot: one.begin(slot, BOTH, SEED).params for slot in order}

    assert params([0, 1, 2, 3, 4], "a") == params([4, 2, 0, 1, 3], "b")


def test_an_ended_trial_stays(study: SearchStudy, url: str) -> None:
    """A finished trial is not run, reported to, or ended again."""
    study.begin(1, BOTH, SEED)
    done = study.end(1, "complete", value=0.7, seconds=2.5)
    assert (done.state, done.value, done.seconds) == ("complete", 0.7, 2.5)
    assert done.ended
    other = SearchStudy("six", url)
    assert other.begin(1, BOTH, SEED) == done
    assert other.report(1, 4, 0.1, Pruning()) == "another worker ended it"
    assert other.end(1, "failed", reason="late") == done


def test_opening_again_keeps_and_adds(study: SearchStudy, url: str) -> None:
    """A study that is opened again keeps what it has, and gets the slots that it lacks."""
    study.begin(0, BOTH, SEED)
    again = SearchStudy("six", url)
    again.open(8, {"split": "abc"})
    assert [one.slot for one in again.trials()] == list(range(8))
    assert again.trials()[0].state == "running"
    assert again.facts() == {"split": "abc"}


def test_only_a_trials_own_algorithm_is_its_measure() -> None:
    """A trial below the median of its algorithm is given up, with the reason; others' steps do not count."""
    one, values = SearchStudy("median"), {"trees": 0.9, "net": 0.2}
    one.open(16)
    running = {name: [t.slot for t in map(begun(one), range(16)) if t.algorithm == name] for name in values}
    for name, value in values.items():
        for slot in running[name][:3]:
            one.report(slot, 3, value, None)
            one.end(slot, "complete", value=value)
    assert one.report(running["net"][3], 3, 0.3, Pruning(after_trials=3)) is None
    trees = running["trees"][3]
    assert one.report(trees, 3, 0.3, Pruning(after_trials=4)) is None
    assert one.report(trees, 2, 0.3, Pruning(after_trials=3, from_step=4)) is None
    why = "0.3000 at step 3: below the median of its algorithm's trials there"
    assert one.report(trees, 3, 0.3, Pruning(after_trials=3)) == why
    pruned = one.end(trees, "pruned", reason=why)
    assert (pruned.state, pruned.value, pruned.reason) == ("pruned", 0.3, why)


def test_a_loss_is_given_up_above_the_median() -> None:
    """Where less is better, a trial with more than its algorithm's median is given up, and one with less goes on."""
    study = SearchStudy("loss", maximize=False)
    study.open(5)
    slots = [study.begin(slot, (TREES,), SEED).slot for slot in range(5)]
    for slot in slots[:3]:
        study.report(slot, 3, 0.5, None)
        study.end(slot, "complete", value=0.5)
    assert study.report(slots[3], 3, 0.4, Pruning(after_trials=3)) is None
    why = "0.6000 at step 3: above the median of its algorithm's trials there"
    assert study.report(slots[4], 3, 0.6, Pruning(after_trials=3)) == why


def begun(study: SearchStudy) -> Callable[[int], Trial]:
    """Return what begins a slot."""
    return lambda slot: study.begin(slot, BOTH, SEED)


def test_unknown_names_and_dead_databases_are_told(url: str, study: SearchStudy) -> None:
    """A study, a slot, a driver or a server that is not there: the message names it, and no password."""
    with pytest.raises(UnknownNameError, match="unknown study 'seven'; known: six"):
        SearchStudy("seven", url).trials()
    with pytest.raises(UnknownNameError, match="unknown slot of study six '99'"):
        study.begin(99, BOTH, SEED)
    with pytest.raises(BackendError, match=r"postgresql\+psycopg2://127\.0\.0\.1:1/x does not answer: .*refused"):
        SearchStudy("six", "postgresql+psycopg2://127.0.0.1:1/x").trials()
    with pytest.raises(MissingExtraError, match="needs a driver: No module named 'oracledb'"):
        SearchStudy("six", "oracle+oracledb://here/x").trials()


def work(url: str, barrier: object, slots: range) -> None:
    """Take every slot at the same moment as the others do, as no scheduler would ever let them."""
    study = SearchStudy("race", url)
    study.facts()
    barrier.wait()  # type: ignore[attr-defined]
    for slot in slots:
        trial = study.begin(slot, BOTH, SEED)
        if trial.state == "running":
            study.report(slot, 0, 0.5, Pruning())
            study.end(slot, "complete", value=float(slot))


def test_three_workers_at_once(url: str) -> None:
    """Three processes that begin, report to and end the same slots at once leave one trial a slot, each ended once."""
    SearchStudy("race", url).open(8)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    workers = [context.Process(target=work, args=(url, barrier, range(8))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    trials = SearchStudy("race", url).trials()
    assert [(one.slot, one.state, one.value) for one in trials] == [(k, "complete", float(k)) for k in range(8)]


def test_several_open_at_once(url: str) -> None:
    """The first users of a database make its tables together, and one study of it."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=SearchStudy("race", url).open, args=(3,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert {one.state for one in SearchStudy("race", url).trials()} == {"waiting"}


def test_each_takes_its_turn_before_it_reads(url: str) -> None:
    """What reads a trial to change it keeps others from writing meanwhile: SQLite has no SELECT … FOR UPDATE."""
    storage = database(url)
    file = url.removeprefix("sqlite:///")
    with storage.engine.connect() as reading, closing(sqlite3.connect(file, timeout=0.05)) as other:
        assert reading.exec_driver_sql("SELECT count(*) FROM trials").scalar() == 0
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("INSERT INTO studies (study_name) VALUES ('x')")
        reading.rollback()
        other.execute("INSERT INTO studies (study_name) VALUES ('x')")
        other.rollback()
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
