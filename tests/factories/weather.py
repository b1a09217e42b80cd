"""A shop's orders and, weeks later, their returns, as they really come: late, twice, corrected, or not at all.

Two worlds take the same truth: one in which everything is delivered whole and at once, the oracle, and one in which the
weather is bad. Jobs get what the operators give them.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.monitoring.limits import Judgement, Observation
from airflow_mlops_provider.lifecycle.references import Dataset, ModelVersion, Report, list_hash
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.operators.features import (
    FeastBuildTrainingSetOperator,
    FeastLoadIntervalOperator,
    FeaturesComputeIntervalOperator,
    RulesCleanIntervalOperator,
    SourceExtractIntervalOperator,
)
from airflow_mlops_provider.operators.monitoring import LabelsJudgePredictionsOperator
from airflow_mlops_provider.operators.serving import ModelPredictIntervalOperator
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import current, judge, unjudged, unpredicted
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.stale import stale
from tests.factories.tiny import TinyWorld

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
#: A model learns of the first days, which are calm.
CALM = 4
LATENESS, DELAY = 3, 20
SHOPS = ("north", "south", "east")
_PRODUCT = """
from datetime import UTC, datetime, timedelta
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.sections import *

product = MLProduct(
    name="{name}",
    goal="Will this order be returned?",
    problem="binary_classification",
    business=Business(
        kpi=Kpi(name="returns foreseen", target=0.5, unit="share"),
        value=Value(per_hit=1.0),
        owners=Owners(**dict.fromkeys(Owners.model_fields, "somebody@shop.example")),
    ),
    schedule=Schedule(cron="0 0 * * *", start=datetime(2024, 1, 1, tzinfo=UTC){end}),
    data=Data(
        sources=(
            Source(name="orders", path="orders/{{start:%Y-%m-%d}}.csv", time="at", settle_seconds={settle},
                   may_be_empty=True, lateness=timedelta(days={lateness}),
                   columns={{"order": "string", "shop": "string", "amount": "float64", "at": "timestamp"}}),
            Source(name="returns", path="returns/{{start:%Y-%m-%d}}.csv", time="decided_at", settle_seconds={settle},
                   may_be_empty=True,
                   columns={{"order": "string", "returned": "int64", "decided_at": "timestamp"}}),
        ),
        clean="{name}.rules:clean",
        expectations="{name}.rules:expectations",
    ),
    features=Features(
        compute="{name}.rules:compute",
        lookback=1,
        views=(View(name="takings", keys=("shop",), features={{"mean_amount": "float64"}}),),
        request={{"shop": "string", "order": "string", "amount": "float64"}},
        assemble="{name}.rules:assemble",
    ),
    label=Label(column="returned", known_at="decided_at", examples="{name}.rules:examples",
                truth="returns", by=("order",), delay={delay}),
    training=Training(
        trainer=Trainer(code="{name}.rules:train", requires=("lightgbm", "numpy"),
                        settings={{"objective": "binary", "min_data_in_leaf": 5, "num_leaves": 4}}),
        windows=Windows(train=2, evaluate=1, wait={delay}),
    ),
    evaluation=EvaluationSettings(gates=Gates(min_metric=0.1)),
    monitoring=Monitoring(drift_share=1.0, prediction_drift=100.0),
)
"""
_RULES = '''
import pandas as pd


def clean(raw, interval):
    """Orders come twice now and then, and in any order."""
    by = {{"orders": ["at", "order"], "returns": ["decided_at", "order"]}}
    return {{name: table.drop_duplicates().sort_values(by[name], ignore_index=True) for name, table in raw.items()}}


def expectations(name):
    from great_expectations.expectations import ExpectColumnToExist

    return [ExpectColumnToExist(column="order")]


def compute(tables, interval):
    """Per hour, the mean of what a shop took in the 24 hours before."""
    orders, hours = tables["orders"], pd.date_range(interval.start, interval.end, freq="6h", inclusive="left")
    frames = []
    for hour in hours:
        recent = orders[(orders["at"] <= hour) & (orders["at"] > hour - pd.Timedelta("1D"))]
        means = recent.groupby("shop")["amount"].mean().round(6)
        frames.append(pd.DataFrame({{"shop": means.index, "event_time": hour, "mean_amount": means.to_numpy()}}))
    return {{"takings": pd.concat(frames, ignore_index=True).astype({{"shop": "str", "mean_amount": "float64"}})}}


def examples(tables, interval):
    orders = tables["orders"]
    mine = orders[(orders["at"] >= interval.start) & (orders["at"] < interval.end)]
    return mine[["shop", "order", "amount"]].assign(event_time=mine["at"]).reset_index(drop=True)


def assemble(rows):
    {gate}
    return rows[["amount", "mean_amount"]]


def train(features, label, settings, seed):
    import lightgbm

    repeatable = {{"deterministic": True, "num_threads": 1, "verbosity": -1, "seed": seed}}
    return lightgbm.train({{**settings, **repeatable}}, lightgbm.Dataset(features, label=label), num_boost_round=5)
'''
#: Waits where a test says so.
GATE = """import os, time
    while "TEST_GATE" in os.environ and not os.path.exists(os.environ["TEST_GATE"]):
        time.sleep(0.1)"""


@dataclass(frozen=True)
class Order:
    """An order and what became of it.

    :param delivered: in how many days after its own it comes; :param twice: and comes again.
    :param wrong: what its amount was taken for until the day's delivery was corrected.
    :param decided: days until it is decided; None for never. :param revised: days until that is decided otherwise.
    """

    name: str
    shop: str
    amount: float
    at: datetime
    returned: int
    delivered: int = 0
    twice: bool = False
    wrong: float | None = None
    decided: int | None = 2
    revised: int | None = None

    @property
    def comes(self) -> tuple[int, ...]:
        """In how many days after its own it is delivered; a wrong one comes again with the correction alone."""
        again = min(self.delivered + 1, LATENESS) if self.wrong is None else self.delivered
        return (self.delivered, again) if self.twice else (self.delivered,)


@dataclass
class Weather:
    """What is delivered of some days, and when.

    :param missing: days whose deliveries come with that of the day after the last of them.
    :param corrected: day to the one on which its delivery is replaced.
    """

    days: int
    a_day: int = 110
    seed: int = 7
    missing: tuple[int, ...] = ()
    corrected: dict[int, int] = field(default_factory=dict)
    orders: dict[int, list[Order]] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        for day in range(self.days):
            self.bad.update({day} if chance.random() < 0.25 else ())
            sunday = (START + day * DAY).weekday() == 6
            self.orders[day] = [] if sunday else [self._order(chance, day, n) for n in range(self.a_day)]

    def _order(self, chance: random.Random, day: int, number: int) -> Order:
        at = START + day * DAY + timedelta(seconds=chance.randrange(86_400))
        amount = round(chance.uniform(1, 100), 2)
        returned = int(chance.random() < 0.2 + amount / 200)
        order = Order(f"{day:03}-{number:04}", chance.choice(SHOPS), amount, at, returned)
        if day < CALM:
            return order
        delivered = chance.choice((1, 2, LATENESS)) if self._is_bad(day) and chance.random() < 0.2 else 0
        return replace(
            order,
            delivered=delivered,
            twice=self._is_bad(day) and chance.random() < 0.1,
            wrong=-amount if day in self.corrected and not delivered and chance.random() < 0.5 else None,
            decided=None if chance.random() < 0.05 else chance.randint(2, DELAY - 1),
            revised=DELAY if chance.random() < 0.05 else None,
        )

    def _is_bad(self, day: int) -> bool:
        """The last days' rows would not come any more."""
        return day in self.bad and day + LATENESS < self.days

    @property
    def calm(self) -> Weather:
        """The same orders, each delivered once, on its day, as it is; what is decided is decided as before."""
        same = Weather(self.days, self.a_day, self.seed)
        same.orders = {
            day: [replace(order, delivered=0, twice=False, wrong=None) for order in orders]
            for day, orders in self.orders.items()
        }
        return same

    def of_day(self, day: int, *, corrected: bool) -> tuple[list[str], list[str]]:
        """Return the lines of a day's two deliveries."""
        orders, returns = list[str](), list[str]()
        for its_day in range(max(0, day - DELAY), day + 1):
            for order in self.orders[its_day]:
                times = [its_day + after for after in order.comes].count(day)
                amount = order.amount if corrected or order.wrong is None else order.wrong
                orders += [f"{order.name},{order.shop},{amount},{order.at:%Y-%m-%dT%H:%M:%SZ}"] * times
                for after, value in ((order.decided, order.returned), (order.revised, 1 - order.returned)):
                    if after is not None and its_day + after == day:
                        moment = START + day * DAY + (order.at - START) % DAY
                        returns.append(f"{order.name},{value},{moment:%Y-%m-%dT%H:%M:%SZ}")
        return orders, returns

    def truth(self, day: int, until: int) -> dict[str, int]:
        """Return what is known, by the end of a day, of a day's orders."""
        known = {}
        for order in self.orders[day]:
            for after, value in ((order.decided, order.returned), (order.revised, 1 - order.returned)):
                if after is not None and day + after <= until:
                    known[order.name] = value
        return known


def interval(day: int) -> Interval:
    """Return a day."""
    return Interval(start=START + day * DAY, end=START + (day + 1) * DAY)


class WeatherWorld(TinyWorld):
    """The product, and its pipelines, as the records make them run.

    :ivar said: what was said first of each order, by name.
    """

    def __init__(self, folder: Path, weather: Weather, *, settle: float = 0, gate: str = "pass", end: str = "") -> None:
        super().__init__(folder)
        self.weather = weather
        fields = {"name": self.name, "lateness": LATENESS, "delay": DELAY, "settle": settle, "end": end}
        self.write("product.py", _PRODUCT.format(**fields))
        self.write("rules.py", _RULES.format(gate=gate))
        self.store, self.said = open_store(str(self.root)), dict[str, float]()
        self.remade = defaultdict[int, int](int)

    def deliver_day(self, day: int, *, corrected: bool) -> None:
        """Write a day's two deliveries, or write them again."""
        heads = ("order,shop,amount,at", "order,returned,decided_at")
        for name, head, lines in zip(
            ("orders", "returns"), heads, self.weather.of_day(day, corrected=corrected), strict=True
        ):
            file = self.landing / name / f"{START + day * DAY:%Y-%m-%d}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_text("\n".join([head, *lines, ""]))
            partial.replace(file)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Let operators find the artifacts."""
        before = os.environ.get("AIRFLOW__MLOPS__ARTIFACT_ROOT")
        os.environ["AIRFLOW__MLOPS__ARTIFACT_ROOT"] = str(self.root)
        try:
            yield
        finally:
            del os.environ["AIRFLOW__MLOPS__ARTIFACT_ROOT"]
            os.environ |= {"AIRFLOW__MLOPS__ARTIFACT_ROOT": before} if before else {}

    def do(self, operator: Any, of: Interval | None = None, **given: Any) -> Any:
        """Run an operator's job here and now, with the inputs that the operator finds, and return its result."""
        product = self.product
        task = operator(task_id="any", product=product, **{
            name: [one.to_json() for one in value] if isinstance(value, tuple) else value.to_json()
            for name, value in given.items()
        })  # fmt: skip
        context: Any = {"data_interval_start": of.start, "data_interval_end": of.end} if of else {}
        spec = self.spec(
            task.job, interval=task.interval(context), inputs=task.inputs(context), params=task.params_of(context)
        )
        done = run(spec)
        assert done.state == "success", done.failure
        return done.result

    def engineer(self, day: int) -> None:
        """Take a day from its delivery to the feature store."""
        self.remade[day] += 1
        of = interval(day)
        clean = self.do(RulesCleanIntervalOperator, of, raw=self.do(SourceExtractIntervalOperator, of))
        self.do(FeastLoadIntervalOperator, of, features=self.do(FeaturesComputeIntervalOperator, of, clean=clean))

    def remake(self) -> None:
        """Do what is stale again, the oldest first, until nothing is."""
        for _ in range(100):
            waiting = stale(self.store, self.name)
            if not waiting:
                return
            self.engineer((waiting[0].interval.start - START).days)
        raise AssertionError(f"still stale: {waiting}")

    def training_set(self, first: int, last: int) -> Dataset:
        """Return the training set of some days."""
        features = {data.interval: data for data in current(self.store, self.name, "features")}
        days = tuple(features[interval(day)] for day in range(first, last + 1))
        made = self.do(FeastBuildTrainingSetOperator, features=days)
        assert isinstance(made, Dataset)
        return made

    def go_live(self, data: Dataset) -> None:
        """Let a version serve that learned of a training set."""
        model = self.do_job("train", training_set=data)
        evaluation = self.do_job("evaluate", model=model, training_set=data)
        version = self.do_job("register", {"cause": "first", "reason": "first"}, model=model, evaluation=evaluation)
        for status in (Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
            Ledger(self.store, self.name).move(version, status, reason="test", by="test")

    def do_job(self, name: str, params: Any = None, **inputs: Any) -> Any:
        """Run a job whose inputs are said."""
        done = run(self.spec(name, params=params or {}, inputs=inputs, interval=interval(0)))
        assert done.state == "success", done.failure
        return done.result

    @property
    def live(self) -> ModelVersion:
        """The version that serves."""
        version = Ledger(self.store, self.name).live()
        assert version is not None
        return version

    def predict(self) -> None:
        """Predict what is not predicted."""
        import pandas as pd

        for features in unpredicted(self.store, self.name):
            made = self.do(ModelPredictIntervalOperator, features=features, version=self.live)
            table = pd.read_parquet(Path(made.uri.removeprefix("file://")) / "predictions.parquet")
            for order, prediction in zip(table["order"], table["prediction"], strict=True):
                self.said.setdefault(order, prediction)

    def judge(self) -> dict[int, Report]:
        """Judge what is not judged, as monitoring does, and return the reports by day."""
        reports, label = {}, self.product.label
        for predictions in unjudged(self.store, self.name, label):
            operator = {"predictions": predictions}
            report = self.do(LabelsJudgePredictionsOperator, **operator)
            assert predictions.interval
            seen = Observation(interval=predictions.interval, version=1, drift_share=0, prediction_drift=0)
            truth = self._truth(predictions)
            of = {"predictions": predictions.hash, "features": predictions.facts["features"], "truth": truth}
            judge(self.store, self.name, Judgement(observation=seen, **of))
            reports[(predictions.interval.start - START).days] = report
        return reports

    def _truth(self, predictions: Dataset) -> str:
        tables = [
            table
            for table in current(self.store, self.name, "clean")
            if table.interval.start >= predictions.interval.start
        ]  # type: ignore[union-attr]
        return list_hash(tables[: DELAY + 1])
