"""What experiments ask of data engineering: kept once, sent once, listed until it is answered."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, AssetAlias

from airflow_mlops_provider import assets
from airflow_mlops_provider.cli.commands import feedback
from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.lifecycle.monitoring.feedback import DataChangeRequest
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.operators.feedback import FeedbackRequestDataChangeOperator
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.change_requests import ChangeRequests
from airflow_mlops_provider.ui import pages
from airflow_mlops_provider.ui.record import ProductRecord
from flight_delay.product import product

WHAT = "wind at the destination is missing: half of the trials' errors are there"
ROOT = "artifacts"
ALIAS = AssetAlias(f"{product.name}.data_change_requests")


class Events:
    """What an operator adds asset events to."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, Any, dict[str, Any]]] = []

    def __getitem__(self, alias: Any) -> Any:
        events = self

        class Accessor:
            def add(self, asset: Any, extra: dict[str, Any]) -> None:
                events.sent.append((alias, asset, extra))

        return Accessor()


class Task:
    """What an operator asks of its task instance."""

    dag_id, task_id, map_index, try_number = "flight_delay_experimentation", "ask", -1, 1

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChangeRequests:
    """The product's requests in an artifact root of their own."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path / ROOT))
    return ChangeRequests(open_store(str(tmp_path / ROOT)), product.name)


def ask(run: str = "one", **given: Any) -> tuple[Any, Events]:
    """Run the task and return what it hands on, and what it sent."""
    events = Events()
    operator = FeedbackRequestDataChangeOperator(task_id="ask", product=product, **given)
    context = {"ti": Task(run), "outlet_events": events}
    return operator.execute.__wrapped__(operator, context), events  # outside a task Airflow would refuse


def search(needs: str | None) -> dict[str, Any]:
    """Return a search's report that needs, or does not need, other data."""
    facts = {"study": "s1", "needs_data_change": needs, "page_url": "http://mlflow/#/1"}
    return Report(uri="file:///r/conclude/1", hash="0" * 64, passed=False, page="search.html", facts=facts).to_json()


def test_a_request_is_addressed_and_evident(kept: ChangeRequests) -> None:
    """It names the product's data engineer, what must change, and links to the evidence; the event carries it all."""
    handed, events = ask(search=search(WHAT))
    (request,) = kept.open()
    assert (request.to, request.what, request.study) == (product.business.owners.data_engineer, WHAT, "s1")
    assert request.evidence == ("file:///r/conclude/1/search.html", "http://mlflow/#/1")
    assert request.by == "flight_delay_experimentation/one/ask"
    assert handed == request.to_json()
    ((alias, asset, extra),) = events.sent
    assert (alias, asset) == (ALIAS, assets.data_change(product))
    assert (extra["key"], extra["what"]) == (request.key, WHAT)
    json.dumps(extra)


def test_silence_where_nothing_is_needed(kept: ChangeRequests) -> None:
    """A search that needs nothing asks nothing: no record, no event."""
    for given in ({"search": search(None)}, {"search": search("  ")}, {}):
        handed, events = ask(**given)
        assert (handed, events.sent) == (None, [])
    assert kept.all() == []


def test_a_retry_asks_once(kept: ChangeRequests) -> None:
    """The same words from the same run are one request, with its first time; another run's are another."""
    first, _ = ask(what=f"{WHAT}\n")
    again, _ = ask(what=WHAT)
    assert first == again
    ask(run="two", what=WHAT)
    assert len(kept.all()) == 2


def test_an_answered_request_is_not_sent_again(kept: ChangeRequests) -> None:
    """Closed, it is listed no more, keeps its answer, and a rerun of the task that asked stays silent."""
    ask(what=WHAT)
    (request,) = kept.open()
    closed = kept.close(request.key, "added with the next delivery")
    assert kept.open() == []
    assert kept.all() == [closed]
    handed, events = ask(what=WHAT)
    assert (handed["answer"], events.sent) == ("added with the next delivery", [])
    with pytest.raises(UnknownNameError, match=f"unknown open request '{request.key}'; known: none"):
        kept.close(request.key, "twice")


def test_the_oldest_comes_first(kept: ChangeRequests) -> None:
    """Requests are listed in the order in which they were made."""
    for day in (3, 1, 2):
        at = datetime(2024, 1, day, tzinfo=UTC)
        kept.add(DataChangeRequest(product=product.name, to="x", what=str(day), by="d/r/t", at=at))
    assert [one.what for one in kept.open()] == ["1", "2", "3"]


def test_a_dag_can_wait_for_it() -> None:
    """The task's outlet is the alias alone, so that it can stay silent; a DAG may be scheduled on the asset."""
    with DAG("asks", schedule=[assets.data_change(product)]):
        task = FeedbackRequestDataChangeOperator(task_id="ask", product=product, what=WHAT)
    assert task.outlets == [ALIAS]


def test_the_page_shows_what_waits(kept: ChangeRequests) -> None:
    """The product's page names the request, to whom it goes, and links to the report; words in it are no markup."""
    root = "file:///r"
    ask(search=search("<b>wind</b>"))
    none: dict[str, list[Any]] = {}
    asked = ProductRecord(product, root, none, [], tuple(kept.open()))
    assert "Requests to data engineering" not in pages.product(ProductRecord(product, root, none, []))
    shown = pages.product(asked)
    assert shown.count("Requests to data engineering") == 1
    assert "&lt;b&gt;wind&lt;/b&gt;" in shown
    assert product.business.owners.data_engineer in shown
    assert "report?uri=file%3A%2F%2F%2Fr%2Fconclude%2F1&amp;file=search.html" in shown


def test_the_command_lists_and_closes(kept: ChangeRequests, capsys: pytest.CaptureFixture[str]) -> None:
    """``airflow mlops feedback`` shows the open ones, as a table and as JSON, and takes an answer."""
    ask(search=search(WHAT))
    (request,) = kept.open()
    capsys.readouterr()

    def said(**given: Any) -> str:
        asked = {"product": product.name, "close": None, "answer": None, "json": False, **given}
        feedback(Namespace(**asked))
        return capsys.readouterr().out

    assert [(one["key"], one["what"]) for one in json.loads(said(json=True))] == [(request.key, WHAT)]
    assert request.key in said()
    assert f"closed {request.key}" in said(close=request.key, answer="done in March")
    assert kept.all()[0].answer == "done in March"
    assert request.key not in said()
    with pytest.raises(SystemExit, match=r"unknown product 'flight_dely'.*flight_delay"):
        said(product="flight_dely")
