"""Searches on a database server: a real PostgreSQL with a password, three workers at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator

import pytest

from airflow_mlops_provider.backends.search.optuna import database as search_database
from airflow_mlops_provider.backends.search.optuna.study import SearchStudy
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm, FloatRange, Pruning
from tests.factories import postgres

PASSWORD = "open-sesame"
TREES = (Algorithm(name="trees", code="shop.trainer:train", space={"rate": FloatRange(low=0.0, high=1.0)}),)
SLOTS = 4


pytestmark = postgres.NEEDED


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a database of a server that runs as long as the tests here."""
    with postgres.server("optuna", PASSWORD) as port:
        yield f"postgresql+psycopg2://127.0.0.1:{port}/postgres"


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with the credentials in the environment, as a job has them."""
    monkeypatch.setenv(search_database.USER_VARIABLE, "optuna")
    monkeypatch.setenv(search_database.PASSWORD_VARIABLE, PASSWORD)
    return server


def at_once(target: Callable[..., None], *arguments: object) -> None:
    """Run a function in three processes, and make sure that all of them end well."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=target, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


def opens(url: str) -> None:
    """Open the study as the first of all, or as one of several."""
    SearchStudy("race", url).open(SLOTS)


def works(url: str) -> None:
    """Take every slot, as no scheduler would let more than one do."""
    study = SearchStudy("race", url)
    for slot in range(SLOTS):
        if study.begin(slot, TREES, 1).state == "running":
            study.report(slot, 0, 0.5, Pruning())
            study.end(slot, "complete", value=float(slot))


def test_three_workers_at_once(url: str) -> None:
    """Three that make the tables together, and then begin and end the same slots, leave one trial a slot."""
    at_once(opens, url)
    at_once(works, url)
    ended = [(one.slot, one.state, one.value) for one in SearchStudy("race", url).trials()]
    assert ended[:SLOTS] == [(slot, "complete", float(slot)) for slot in range(SLOTS)]
    assert {state for _, state, _ in ended[SLOTS:]} <= {"waiting"}  # slots that two opened at once; nobody takes them


def test_the_password_counts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test button tries the password for real; a wrong one is refused, and no message shows either."""
    right = {search_database.USER_VARIABLE: "optuna", search_database.PASSWORD_VARIABLE: PASSWORD}
    assert search_database.probe(url, right) == f"{url} answers"
    wrong = {**right, search_database.PASSWORD_VARIABLE: "wrong-one"}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    for attempt in (lambda: search_database.probe(url, wrong), lambda: SearchStudy("race", url).trials()):
        with pytest.raises(BackendError, match="password authentication failed") as refused:
            attempt()
        assert PASSWORD not in str(refused.value)
        assert "wrong-one" not in str(refused.value)
