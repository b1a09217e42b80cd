"""The people of the demo: who decides whether a version goes live, and the callers by whom a candidate is judged."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.markdown import Markdown

from airflow_mlops_provider.demo.local_airflow.api import AirflowApi
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, candidate, newest_ready
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.intervals import FEATURES, current
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger

#: A question that is answered as soon as it is asked would be asked again: Airflow has to see the task wait first.
READS = timedelta(seconds=3)
ROWS, PAUSE = 500, 0.02
APPROVE: dict[str, Any] = {
    "chosen_options": ["Approve"],
    "params_input": {"reason": "the demo answers in this person's name"},
}


class Release:
    """Has people answer what the deployment asks, and customers call, while a version is on its way to production.

    :param api: a local stack's Airflow. :param root: the artifact root. :param url: where the model server listens.
    :param progress: takes what there is to be told: each move of a version, and each question.
    """

    def __init__(
        self, api: AirflowApi, product: MLProduct, root: Path, url: str, progress: Callable[[Any], None]
    ) -> None:
        self._api, self._product, self._progress = api, product, progress
        self._store = FolderStore(root)
        self._ledger = Ledger(self._store, product.name)
        self._callers = Callers(f"{url}/predict")
        self._shown = len(self._ledger.entries())

    def look(self) -> None:
        """Do what there is to do now: tell, answer, and begin or end to call."""
        entries = self._ledger.entries()
        for entry in entries[self._shown :]:
            self._progress(line(entry))
        self._shown = len(entries)
        if newest_ready(entries):
            self._answer()
        going = candidate(entries)
        self._callers.follow(going.version.version if going else None, self._rows)

    def calls(self) -> list[dict[str, Any]]:
        """Return how many calls came while each candidate was on its way, who answered them, and how many failed."""
        self._callers.follow(None, self._rows)
        return [
            {"candidate": version, "answered": dict(sorted(counts.items()))}
            for version, counts in self._callers.counts.items()
        ]

    def _answer(self) -> None:
        """Answer what is asked, over Airflow's API, as the first of those who may."""
        approval, business = self._product.deployment.approval, self._product.business
        if approval is None or business is None:
            return
        where = f"dags/{self._product.name}_deployment/dagRuns/~/hitlDetails"
        waiting = self._api.rows(where, "hitl_details", state="awaiting_input", response_received=False)
        for question in waiting:
            if datetime.now(UTC) - datetime.fromisoformat(question["created_at"]) < READS:
                continue
            task, person = question["task_instance"], next(iter(approval.people_of(business.owners)))
            self._progress(Markdown(question["body"]))
            run = f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}"
            path = f"{run}/taskInstances/{task['task_id']}/{task['map_index']}/hitlDetails"
            self._api.of(person).call("PATCH", path, body=APPROVE)
            self._progress(f"  {person} answers: {APPROVE['chosen_options'][0]}")

    def _rows(self) -> list[dict[str, Any]]:
        """Return some of the newest examples, asked at their interval's end: the store knows nothing earlier."""
        import pandas as pd

        newest = current(self._store, self._product.name, FEATURES)[-1]
        file = self._store.path(f"{key_below(self._store, newest.uri)}/examples.parquet")
        given = pd.read_parquet(file, columns=[*self._product.scoring.row_columns]).sample(ROWS, random_state=13)
        assert newest.interval is not None
        given = given.assign(event_time=pd.Timestamp(newest.interval.end))
        return json.loads(given.to_json(orient="records", date_format="iso", date_unit="us"))  # type: ignore[no-any-return]


class Callers:
    """Calls a model server all the time, one call after another, while some version is its candidate."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.counts: dict[int, Counter[str]] = {}
        self._version: int | None = None
        self._thread: threading.Thread | None = None

    def follow(self, version: int | None, rows: Callable[[], list[dict[str, Any]]]) -> None:
        """Begin or end to call. :param version: the candidate; None where there is none."""
        if version == self._version:
            return
        self._version = None
        if self._thread:
            self._thread.join()
        self._thread, self._version = None, version
        if version is not None:
            self._thread = threading.Thread(target=self._call, args=(version, rows()), daemon=True)
            self._thread.start()

    def _call(self, version: int, rows: list[dict[str, Any]]) -> None:
        counts = self.counts.setdefault(version, Counter())
        with httpx.Client(timeout=30, trust_env=False) as http:
            for row in _over_and_over(rows):
                if self._version != version:
                    return
                counts[_answered(http, self._url, row)] += 1
                time.sleep(PAUSE)


def line(entry: LedgerEntry) -> str:
    """Return a move of a version in a line, with what was observed of it, and the person or the task that made it."""
    seen = entry.evidence.get("observed") or {}
    figures = f" ({', '.join(f'{name} {value}' for name, value in seen.items())})" if seen else ""
    return f"  v{entry.version.version} {entry.became}: {entry.reason}{figures}, by {entry.by.rpartition('/')[2]}"


def _answered(http: httpx.Client, url: str, row: dict[str, Any]) -> str:
    """Return which version answered a call; ``failed`` if none did."""
    try:
        answer = http.post(url, json={"rows": [row]})
    except httpx.TransportError:
        return "failed"
    return f"v{answer.json()['version']}" if answer.is_success else "failed"


def _over_and_over(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    while True:
        yield from rows
