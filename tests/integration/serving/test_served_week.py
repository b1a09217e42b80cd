"""A week of answers over REST by two versions, then their labels: collected once, judged by version, watched for drift.

A prediction's day is when it was answered, and a test has no week: the server answers all of it now, and then each
call's lines of its log are moved to the day that the call is of, the file's name and ``predicted_at`` with them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from airflow_mlops_provider.backends.model_server import client, launcher, releases
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import Judgement, Observation
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, list_hash
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.operators.features import RulesCleanIntervalOperator, SourceExtractIntervalOperator
from airflow_mlops_provider.operators.monitoring import (
    EvidentlyCompareIntervalOperator,
    LabelsJudgePredictionsOperator,
    PredictionsCollectServedOperator,
)
from airflow_mlops_provider.storage.intervals import answered, current, judge, truth_since, unjudged_served
from airflow_mlops_provider.storage.ledger import Ledger
from tests.factories.ports import free_port
from tests.factories.weather import DAY, SHOPS, START, Weather, WeatherWorld, interval

REPOSITORY = Path(__file__).parents[3]
WEEK = range(3, 10)
#: The day after which the server is killed, on which both versions answer, and whose callers ask for other amounts.
KILLED, BOTH, SHIFTED = 5, 6, 8
CALLERS, NEVER = 120, 7
HEADS = {"orders": "order,shop,amount,at", "returns": "order,returned,decided_at"}


class Order(NamedTuple):
    """What a caller asks about, and what it turns out to be."""

    name: str
    shop: str
    amount: float
    returned: int


class Answer(NamedTuple):
    """What a caller was told."""

    order: Order
    day: int
    version: int
    probability: float


class ServedWeek(WeatherWorld):
    """The shop, its model server, and callers who keep what they were told.

    :ivar answers: by id.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Weather(0))
        declared = (self.package / "product.py").read_text()
        limits = "drift_share=1.0, prediction_drift=100.0"  # of two inputs, the shop's is of one moment: it has drifted
        assert limits in declared
        self.write("product.py", declared.replace(limits, "drift_share=0.9, prediction_drift=100.0"))
        self.answers = dict[str, Answer]()
        self.logs, self.port = launcher.log_folder(str(self.root), self.name), 0
        self.orders = {day: orders_of(day) for day in range(12)}

    def comes(self, day: int, *, orders: list[Order] | None = None, returns: list[str] | None = None) -> None:
        """Write a day's deliveries, and clean them."""
        at = f"{START + day * DAY:%Y-%m-%d}T"
        lines = [f"{o.name},{o.shop},{o.amount},{at}{number % 24:02}:00:00Z" for number, o in enumerate(orders or [])]
        for name, own in {"orders": lines, "returns": returns or []}.items():
            file = self.landing / name / f"{START + day * DAY:%Y-%m-%d}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join([HEADS[name], *own, ""]))

    def cleaned(self, day: int) -> None:
        """Take a day's deliveries to clean tables, in which truth arrives."""
        self.do(RulesCleanIntervalOperator, interval(day), raw=self.do(SourceExtractIntervalOperator, interval(day)))

    def version(self, data: Dataset, leaves: int) -> ModelVersion:
        """Make and register a version."""
        model = self.do_job("train", {"settings": {"num_leaves": leaves}}, training_set=data)
        evaluation = self.do_job("evaluate", model=model, training_set=data)
        made = self.do_job("register", {"cause": "first", "reason": "first"}, model=model, evaluation=evaluation)
        assert isinstance(made, ModelVersion)
        return made

    def ready(self, *versions: ModelVersion) -> None:
        """Let versions serve."""
        for version in versions:
            for status in (Status.STAGING, Status.PRODUCTION_READY):
                Ledger(self.store, self.name).move(version, status, reason="test", by="test")

    def serve(self, version: ModelVersion) -> str:
        """Let the server answer by a version; start it if it does not run."""
        wanted = releases.Release.of(version)
        releases.request(self.store, self.name, wanted)
        log = self.root / "server.log"
        if not launcher.running(str(self.root), self.name):
            self.port = free_port()  # only now, as somebody else may take it meanwhile
        url = launcher.ensure_running(self.name, str(self.root), "127.0.0.1", self.port, log)
        client.wait_for_version(url, version.version, requested_at=wanted.requested_at)
        return url

    def ask(self, url: str, day: int, version: int, factor: float = 1.0) -> None:
        """Ask about a day's orders, and wait until the log has the answer."""
        call, orders = f"{day}.{version}", self.orders[day]
        rows = [
            {"shop": order.shop, "order": order.name, "amount": order.amount * factor, "event_time": moment(day)}
            for order in orders
        ]
        headers = {"x-request-id": call}
        given = httpx.post(f"{url}/predict", json={"rows": rows}, headers=headers, timeout=60, trust_env=False)
        assert given.status_code == 200, given.text
        assert given.json()["version"] == version
        for order, said in zip(orders, given.json()["predictions"], strict=True):
            answer = Answer(order, day, version, said["probability"])
            assert self.answers.setdefault(said["id"], answer) == answer  # the same call again has the same answer
        deadline = time.monotonic() + 60
        while sum(text.count(f'"id":"{call}-') for text in self.texts()) < len(orders):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def texts(self) -> list[str]:
        """Return the log's files."""
        return [file.read_text() for file in self.logs.glob("*.jsonl")]

    def kill(self, url: str) -> None:
        """Kill the server as it writes: at the end of its file is half a line."""
        state = client.server_state(url)
        assert state is not None
        os.kill(state.pid, signal.SIGKILL)
        assert launcher.has_ended(state.pid, 20)
        (file,) = self.logs.glob("*.jsonl")
        with file.open("a") as end:
            end.write(f'{{"id":"{KILLED}.1-{CALLERS}","row":{{"sho')

    def move_to_days(self) -> None:
        """Move what was logged today to the days that the calls are of."""
        for process, file in enumerate(sorted(self.logs.glob("*.jsonl"), key=lambda file: file.stat().st_mtime)):
            parts = defaultdict[int, list[str]](list)
            for line in file.read_text().splitlines(keepends=True):
                day = int(line.removeprefix('{"id":"').split(".")[0])
                if line.endswith("\n"):
                    at = moment(day, seconds=3600 * process + len(parts[day]))
                    line = json.dumps({**json.loads(line), "predicted_at": at}) + "\n"  # noqa: PLW2901
                parts[day].append(line)
            for day, lines in parts.items():
                begins = datetime.fromisoformat(moment(day, seconds=3600 * process)).timestamp()
                name = f"{START + day * DAY:%Y-%m-%d}.host-{process}-{begins:.3f}-1.jsonl"
                (self.logs / name).write_text("".join(lines))
            file.unlink()

    def collected(self, window: Interval) -> Dataset:
        """Collect an interval."""
        made = self.do(PredictionsCollectServedOperator, window=window)
        assert isinstance(made, Dataset)
        return made

    def judged(self, window: Interval) -> dict[str, Any]:
        """Collect and judge an interval."""
        facts: dict[str, Any] = self.do(LabelsJudgePredictionsOperator, predictions=self.collected(window)).facts
        return facts

    def oracle(self, *days: int) -> dict[str, dict[str, Any]]:
        """Return how good each version was on some days, by what callers were told."""
        parts = defaultdict[str, list[Answer]](list)
        for answer in self.answers.values():
            if answer.day in days and known(answer.order):
                parts[str(answer.version)].append(answer)
        return {
            version: {
                "arrived": len(said),
                "metric": pytest.approx(
                    roc_auc_score([one.order.returned for one in said], [one.probability for one in said]), abs=1e-12
                ),
            }
            for version, said in sorted(parts.items())
        }


def orders_of(day: int) -> list[Order]:
    """Return what is ordered on a day, the same amounts on each: of the dear ones more come back."""
    chance = random.Random(day)
    amounts = chance.sample([round(100 * (number + 0.5) / CALLERS, 2) for number in range(CALLERS)], CALLERS)
    return [
        Order(f"{day}-{number:03}", chance.choice(SHOPS), amount, int(chance.random() < 0.2 + amount / 200))
        for number, amount in enumerate(amounts)
    ]


def known(order: Order) -> bool:
    """Say whether the truth of an order ever comes."""
    return int(order.name[-3:]) >= NEVER


def moment(day: int, seconds: float = 0) -> str:
    """Return a moment of a day."""
    return (START + day * DAY + timedelta(hours=8, seconds=seconds)).isoformat()


def decided(orders: list[Order], on: int) -> list[str]:
    """Return what is decided of orders on a day: of one first something else, of some nothing."""
    first = f"{orders[-1].name},{1 - orders[-1].returned},{moment(on, -60)}"
    return [first, *(f"{order.name},{order.returned},{moment(on)}" for order in orders if known(order))]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedWeek]:
    """The week, answered and in the log; its labels are still out."""
    made = ServedWeek(tmp_path_factory.mktemp("week"))
    with made.here(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{made.products}")
        try:
            answer(made)
            yield made
        finally:
            launcher.stop(made.name, str(made.root))
    made.close()


def answer(week: ServedWeek) -> None:
    """Learn two versions of days 0 and 1, and let them answer for a week."""
    truth = [*decided(week.orders[0], 2), *decided(week.orders[1], 2)]
    for day in range(3):
        week.comes(day, orders=week.orders[day], returns=truth if day == 2 else [])
        week.engineer(day)
    data = week.training_set(0, 1)
    first, second = week.version(data, 4), week.version(data, 2)
    week.ready(first, second)
    url = week.serve(first)
    for day in range(WEEK[0], BOTH):
        week.ask(url, day, 1)
    week.kill(url)
    url = week.serve(first)
    week.ask(url, KILLED, 1)  # who got no answer sends the same call again
    week.ask(url, BOTH, 1)
    week.serve(second)
    for day in range(BOTH, WEEK[-1] + 1):
        week.ask(url, day, 2, factor=5.0 if day == SHIFTED else 1.0)
    launcher.stop(week.name, str(week.root))
    week.move_to_days()


def test_each_answer_is_collected_once(week: ServedWeek) -> None:
    """Day by day it is what callers were told, though the server was killed and a call came twice."""
    for day in WEEK:
        dataset = week.collected(interval(day))
        table = pd.read_parquet(Path(dataset.uri.removeprefix("file://")) / "predictions.parquet")
        told = {own: answer for own, answer in week.answers.items() if answer.day == day}
        assert len(table) == len(told) == CALLERS * (2 if day == BOTH else 1)
        columns = (table["order"], table["version"], table["prediction"])
        assert dict(zip(table["id"], zip(*columns, strict=True), strict=True)) == {
            own: (answer.order.name, answer.version, answer.probability) for own, answer in told.items()
        }
        killed = day == KILLED
        assert dataset.facts["again"] == (CALLERS if killed else 0)
        assert [*dataset.facts["unreadable"].values()] == ([1] if killed else [])


def test_drift_of_one_day_is_seen(week: ServedWeek) -> None:
    """Of the day on which callers asked for other amounts the report fails; those of the others pass."""
    versions = {entry.version.version: entry.version for entry in Ledger(week.store, week.name).entries()}
    for day in WEEK:
        dataset = week.collected(interval(day))
        for number in dataset.facts["versions"]:
            given = {"predictions": dataset, "version": versions[int(number)]}
            report = week.do(EvidentlyCompareIntervalOperator, **given)
            assert report.facts["version"] == int(number)
            assert (report.passed, "amount" in report.facts["drifted"]) == (day != SHIFTED, day == SHIFTED)


def test_labels_that_arrive_judge_each_version(week: ServedWeek) -> None:
    """By day and over the week, what each version reached is what the callers' answers and the labels say."""
    whole = Interval(start=interval(WEEK[0]).start, end=interval(WEEK[-1]).end)
    before = week.judged(whole)  # nothing has been delivered since
    assert (before["arrived"], before["pending"], before["metric"]) == (0, len(week.answers), None)
    for on, days in {10: range(WEEK[0], 7), 11: range(7, WEEK[-1] + 1)}.items():
        week.comes(on, returns=[line for day in days for line in decided(week.orders[day], on)])
        week.cleaned(on)
    for day in WEEK:
        facts, oracle = week.judged(interval(day)), week.oracle(day)
        assert facts["versions"] == oracle
        assert [*oracle] == (["1", "2"] if day == BOTH else ["1"] if day < BOTH else ["2"])
        assert facts["pending"] == NEVER * len(oracle)
    facts = week.judged(whole)
    assert facts["versions"] == week.oracle(*WEEK)
    assert [version["arrived"] for version in facts["versions"].values()] == [4 * (CALLERS - NEVER)] * 2
    assert facts["versions"]["1"]["metric"] != facts["versions"]["2"]["metric"]


def test_answers_wait_until_judged_of_each_version_and_by_all_labels(week: ServedWeek) -> None:
    """Judged of one version alone they still wait, and they wait again when further labels arrive."""
    dataset, label = week.collected(interval(BOTH)), week.product.label

    def waits() -> bool:
        return dataset in unjudged_served(week.store, week.name, label)

    assert answered(dataset) == [1, 2]
    truth = list_hash(truth_since(current(week.store, week.name, "clean"), label, dataset.interval, label.delay))
    for version in answered(dataset):
        assert waits()
        seen = Observation(interval=interval(BOTH), version=version, drift_share=0, prediction_drift=0)
        of = {"predictions": dataset.hash, "features": "", "truth": truth}
        judge(week.store, week.name, Judgement(observation=seen, served=True, **of))
    assert not waits()
    week.comes(12)
    week.cleaned(12)
    assert waits()
