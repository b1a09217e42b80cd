"""Forgetting an entity: nothing of it is left, nobody else's rows change, and the product goes on."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.model_server.launcher import log_folder
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.features import entity_search
from airflow_mlops_provider.lifecycle.records.erasure import SETTLES, Search, parse_entity
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.erasures import Erasures
from airflow_mlops_provider.storage.intervals import current, unjudged, unpredicted
from airflow_mlops_provider.storage.stale import outdated, stale
from tests.factories.bucket import s3_server
from tests.factories.weather import DAY, START, Weather, WeatherWorld, interval

DAYS = 6
SERVED = datetime(2024, 1, 5, 12, tzinfo=UTC)
WHO = "north"


class Shop(WeatherWorld):
    """A week of the shop, predicted in batch and over REST, and judged; late rows lie about."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Weather(DAYS + 1))
        declared = (self.package / "product.py").read_text()
        self.write("product.py", declared.replace("delay=20", "delay=1").replace("wait=20", "wait=0"))
        rules = (self.package / "rules.py").read_text()
        check = 'ExpectColumnValuesToBeInSet(column="shop", value_set=["south", "east"], severity="warning")'
        rules = rules.replace("import ExpectColumnToExist", "import ExpectColumnToExist, ExpectColumnValuesToBeInSet")
        kept = 'ExpectColumnToExist(column="order")'
        self.write("rules.py", rules.replace(f"[{kept}]", f'[{kept}] + [{check}] * (name == "orders")'))
        with self.here():
            for day in range(DAYS):
                self.deliver_day(day, corrected=True)
                self.engineer(day)
            self.remake()
            self.go_live(self.training_set(0, 2))
            self.predict()
            self.judge()
        self.do_job("validate", {"what": "clean"}, dataset=self.by_day("clean")[4])
        self.log = log_folder(str(self.root), self.name) / f"2024-01-05.host-1-{SERVED.timestamp():.3f}-1.jsonl"
        self.log.parent.mkdir(parents=True)
        rows = [{"shop": shop, "order": f"x-{n}", "amount": 1.5} for n, shop in enumerate([WHO, "south"] * 3)]
        said = {"prediction": 0.5, "version": 1, "predicted_at": SERVED.isoformat(), "inputs": {"amount": 1.5}}
        lines = [
            json.dumps({"id": f"c-{n}", "row": {**row, "event_time": SERVED.isoformat()}, **said})
            for n, row in enumerate(rows)
        ]
        self.log.write_text("\n".join([*lines, '{"id": "c-9", "row": {"shop": "no']))
        self.do_job("collect")

    def by_day(self, name: str) -> dict[int, Any]:
        """Return the current datasets of a name."""
        datasets = current(self.store, self.name, name)
        return {(data.interval.start - START).days: data for data in datasets if data.interval}

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table that lies below the root."""
        files = (self.root / self.name).rglob("*.parquet")
        return {str(file.relative_to(self.root)): pd.read_parquet(file) for file in sorted(files)}

    def forget(self, *entities: str) -> Report:
        """Ask, and do it."""
        request = Erasures(self.store, self.name).ask(map(parse_entity, entities), "tests", "asked by letter")
        made = self.do_job("forget", {"requests": [request.key]})
        assert isinstance(made, Report)
        return made

    def online(self) -> dict[str, Any]:
        """Return what is known online of each shop."""
        backend = FeatureStoreBackend(self.product.shape, self.root / self.name / "feast")
        keys = pd.DataFrame({"shop": ["north", "south", "east"]})
        return dict(zip(keys["shop"], backend.online(keys)["mean_amount"], strict=True))

    def bytes_with(self, text: str) -> list[str]:
        """Return the files in whose bytes a text stands as a word, but for tables, which are packed."""
        files = (file for file in (self.root / self.name).rglob("*") if file.is_file() and file.suffix != ".parquet")
        return sorted(str(file.relative_to(self.root)) for file in files if text.encode() in file.read_bytes())


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Path]]:
    """The shop, and a copy of what is delivered to it and kept of it."""
    made, copy = Shop(tmp_path_factory.mktemp("shop")), tmp_path_factory.mktemp("copy")
    for folder in (made.root / made.name, made.landing):
        shutil.copytree(folder, copy / folder.name)
    yield made, copy
    made.close()


@pytest.fixture
def shop(week: tuple[Shop, Path]) -> Shop:
    """The shop as it was before anybody was forgotten."""
    made, copy = week
    for folder in (made.root / made.name, made.landing):
        shutil.rmtree(folder)
        shutil.copytree(copy / folder.name, folder)
    return made


def rows_of(tables: dict[str, pd.DataFrame], *, theirs: bool) -> dict[str, pd.DataFrame]:
    """Return of each table the rows of the one, or of the others."""
    return {
        name: table[(table["shop"] == WHO) == theirs].reset_index(drop=True)
        for name, table in tables.items()
        if "shop" in table
    }


def test_nothing_is_left_and_nobody_else_is_touched(shop: Shop) -> None:
    """Snapshots, features offline and online, training set, predictions, log and pages are without the entity."""
    before, online = shop.tables(), shop.online()
    assert sum(map(len, rows_of(before, theirs=True).values())) > 500
    assert shop.bytes_with(WHO)
    report = shop.forget(f"shop={WHO}")
    assert report.passed, report.broken
    after = shop.tables()
    assert before.keys() == after.keys()
    assert not any(map(len, rows_of(after, theirs=True).values()))
    for name, others in rows_of(before, theirs=False).items():
        pd.testing.assert_frame_equal(after[name], others)
    for name in before.keys() - rows_of(before, theirs=True).keys():
        whose = before.get(name.replace("inputs.parquet", "predictions.parquet"), before[name])
        stay = whose["shop"] != WHO if "shop" in whose else slice(None)
        pd.testing.assert_frame_equal(after[name], before[name][stay].reset_index(drop=True))
    counted = {name: len(rows) for name, rows in rows_of(before, theirs=True).items()}
    assert sum(report.facts["rows"].values()) == sum(counted.values()) + 1 + 3 + 1  # online, the log, its broken line
    assert shop.online() == pytest.approx({**online, WHO: float("nan")}, nan_ok=True)
    assert shop.bytes_with(WHO) == []
    assert [json.loads(line)["row"]["shop"] for line in shop.log.read_text().splitlines()] == ["south"] * 3


def test_who_saw_it_is_named(shop: Shop) -> None:
    """The report names the version that learned of its rows, and the deliveries; its page shows both."""
    report = shop.forget(f"shop={WHO}")
    assert report.facts["models"] == {f"{shop.name}@1": "training set"}
    assert report.facts["deliveries"] == sorted(
        f"{name}/2024-01-0{day}.csv" for name in ("orders", "returns") for day in range(1, DAYS + 1)
    )
    page = (Path(report.uri.removeprefix("file://")) / str(report.page)).read_text()
    assert (report.facts["searched"]["model"], report.facts["named"]["model"]) == (1, 0), "its sample has no names"
    assert report.facts["named"]["raw data"] == DAYS, "of two tables each, one knows shops"
    for words in (f"{shop.name}@1", "orders/2024-01-03.csv", "asked by letter", "nothing is left"):
        assert words in page
    assert WHO not in page
    order = shop.weather.orders[5][0].name
    assert shop.forget(f"order={order}").facts["models"] == {}, "it came after the training"


def test_the_product_goes_on_with_what_is_left(shop: Shop) -> None:
    """Nothing becomes stale, undone or unreadable by it: each dataset keeps the name under which others know it."""
    waits = (unjudged(shop.store, shop.name, shop.product.label), unpredicted(shop.store, shop.name))
    known = {name: shop.by_day(name) for name in ("raw", "clean", "features", "predictions")}
    shop.forget(f"shop={WHO}")
    assert known == {name: shop.by_day(name) for name in known}
    assert stale(shop.store, shop.name) == []
    assert outdated(shop.store, shop.live) == []
    assert (unjudged(shop.store, shop.name, shop.product.label), unpredicted(shop.store, shop.name)) == waits
    with shop.here():
        data = shop.training_set(0, 3)  # check_loaded holds the feature store against the features
        shop.do_job("train", training_set=data)
    folder = Path(data.uri.removeprefix("file://"))
    assert WHO not in set(pd.read_parquet(folder / "train.parquet")["shop"])
    shop.do_job("drift", predictions=shop.by_day("predictions")[4], version=shop.live)


def test_it_does_not_come_back(shop: Shop) -> None:
    """A delivery that is read again is read without it, and so are late rows; a later day's are taken: it came back."""
    shop.forget(f"shop={WHO}")
    with shop.here():
        shop.engineer(4)
    rows = Inputs(shop.store).open(shop.by_day("raw")[4])
    assert set(pd.read_parquet(rows / "orders.parquet")["shop"]) == {"south", "east"}
    assert shop.by_day("raw")[4].facts["forgotten"]["orders"] > 10
    assert not shop.by_day("raw")[4].facts.get("left_out"), "these are no part of the delivery any more"
    assert shop.forget(f"shop={WHO}").facts["rows"] == {}
    assert pd.isna(shop.online()[WHO])


def test_all_that_a_delivery_holds_may_be_forgotten(shop: Shop) -> None:
    """A day without any other rows is empty from then on, and no error."""
    shop.forget("shop=north", "shop=south", "shop=east")
    with shop.here():
        shop.engineer(4)
    assert shop.by_day("features")[4].facts
    assert all(pd.isna(value) for value in shop.online().values())


def test_a_row_is_forgotten_only_if_all_its_columns_are(shop: Shop) -> None:
    """An entity of two columns is neither of its halves."""
    order = shop.weather.orders[4][0]
    other = next(name for name in ("north", "south", "east") if name != order.shop)
    first = shop.forget(f"order={order.name},shop={other}")
    assert first.facts["rows"] == {entity_search.BROKEN: 1}, "a broken line may be anybody's, and is nobody's again"
    before = shop.tables()
    report = shop.forget(f"shop={order.shop},order={order.name}")
    gone = {name: len(before[name]) - len(table) for name, table in shop.tables().items()}
    assert sum(gone.values()) == sum(report.facts["rows"].values()) + 1 > 3, "and what the model was given for it"
    assert set(gone.values()) == {0, 1}


def test_a_mistyped_column_proves_nothing(shop: Shop) -> None:
    """No table has it: the report fails, names those that there are, and the request is withdrawn."""
    report = shop.forget("stop=north")
    assert not report.passed
    assert "no table has stop; known: " in report.broken[0]
    assert "shop" in report.broken[0]
    assert Erasures(shop.store, shop.name).all() == []


@pytest.mark.parametrize("after", ["record", "file"])
@pytest.mark.parametrize("count", [1, 7, 20])
def test_a_killed_search_is_finished_by_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, after: str, count: int
) -> None:
    """Wherever it ends, every dataset can be read, and the next search takes out the rest and names the models."""
    replace, done = Erasures.replace, list[str]()

    def killed(self: Erasures, key: str, data: bytes, rows: dict[str, int]) -> None:
        done.append(key)
        if len(done) < count:
            return replace(self, key, data, rows)
        if after == "record":
            with monkeypatch.context() as patch:
                write = type(self.store).write
                patch.setattr(type(self.store), "write", lambda store, k, d: write(store, k, d) if k != key else None)
                replace(self, key, data, rows)
        else:
            replace(self, key, data, rows)
        raise KeyboardInterrupt

    request = Erasures(shop.store, shop.name).ask([{"shop": WHO}], "tests")
    with monkeypatch.context() as patch:
        patch.setattr(Erasures, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run(shop.spec("forget", params={"requests": [request.key]}, interval=interval(0)))
    for name in ("raw", "clean", "features", "predictions"):
        for dataset in shop.by_day(name).values():
            Inputs(shop.store).open(dataset)
    report = shop.do_job("forget")
    assert report.passed
    assert not any(map(len, rows_of(shop.tables(), theirs=True).values()))
    assert shop.bytes_with(WHO) == []
    assert report.facts["models"] == {f"{shop.name}@1": "training set"}
    every = [record.rows[request.key] for record in Erasures(shop.store, shop.name).changed().values() if record.rows]
    assert min(every) > 0


def test_other_bytes_are_still_refused(shop: Shop) -> None:
    """That rows were taken out of a dataset vouches for that alone, not for whatever else is written there."""
    shop.forget(f"shop={WHO}")
    data = shop.by_day("features")[3]
    Inputs(shop.store).open(data)
    file = Path(data.uri.removeprefix("file://")) / "takings.parquet"
    pd.read_parquet(file).assign(mean_amount=1.0).to_parquet(file)
    with pytest.raises(IntegrityError, match="is not what was recorded"):
        Inputs(shop.store).open(data)


def test_a_request_is_looked_at_once_more_a_day_later(shop: Shop) -> None:
    """What a job had read before is found by the search that settles a request; then it is let be."""
    shop.forget(f"shop={WHO}")
    (request,) = Erasures(shop.store, shop.name).all()
    now = datetime.now(UTC)
    assert not request.is_due(now)
    assert request.is_due(now + SETTLES)
    later = Search(began=request.at + SETTLES + timedelta(seconds=1))
    assert not Erasures(shop.store, shop.name).searched(request.key, later).is_due(now + 2 * SETTLES)
    assert WHO not in json.dumps(request.to_json())


def test_who_comes_back_is_a_new_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of days after the request are taken, and a later search leaves them, online too."""
    asked = START + DAYS * DAY

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return asked if tz else asked.replace(tzinfo=None)

    monkeypatch.setattr("airflow_mlops_provider.storage.erasures.datetime", Clock)
    shop.forget(f"shop={WHO}")
    monkeypatch.undo()
    orders = [f"n-{n},{WHO},{n + 1}.5,{asked + n * timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}" for n in range(20)]
    with shop.here():
        shop.deliver_day(DAYS, corrected=True)
        file = shop.landing / "orders" / f"{asked:%Y-%m-%d}.csv"
        file.write_text("\n".join(["order,shop,amount,at", *orders, ""]))
        shop.engineer(DAYS)
    online = shop.online()
    assert not pd.isna(online[WHO])
    assert shop.do_job("forget").facts["rows"] == {}
    assert shop.online() == pytest.approx(online, nan_ok=True)
    taken = pd.read_parquet(Inputs(shop.store).open(shop.by_day("raw")[DAYS]) / "orders.parquet")
    assert len(taken) == len(orders)


def test_a_table_that_cannot_be_read_is_no_proof(shop: Shop) -> None:
    """It is named, and the report fails."""
    broken = shop.root / shop.name / "external" / "abc" / "table.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"PAR1 no")
    report = shop.forget(f"shop={WHO}")
    assert not report.passed
    assert "external/abc/table.parquet can't be read" in report.broken[0]


def test_an_online_store_that_lists_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given the names that the offline store knows."""
    monkeypatch.setattr("airflow_mlops_provider.backends.feature_store.feast.store.online_keys", lambda *_: None)
    before = shop.online()
    assert not pd.isna(before[WHO])
    report = shop.forget(f"shop={WHO}")
    assert report.facts["rows"][entity_search.ONLINE] == 1
    assert pd.isna(shop.online()[WHO])


def test_what_lies_in_a_bucket_is_taken_out_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An artifact root in a bucket, and a log that was brought to another: over S3's own protocol."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with s3_server() as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="shop")
        roots = {"artifacts": shop.root / shop.name, "logs": shop.log.parent}
        kept, logs = (open_store(f"s3://shop/{name}") for name in roots)
        for file in (file for file in roots["artifacts"].rglob("*") if file.is_file()):
            key = file.relative_to(shop.root).as_posix()
            if "/feast/" not in key and "/predictions/rest/" not in key:
                kept.write(key, file.read_bytes())
        logs.write(shop.log.name, shop.log.read_bytes())
        request = Erasures(kept, shop.name).ask([{"shop": WHO}], "tests")
        spec = shop.spec("forget", params={"requests": [request.key], "log": "s3://shop/logs"}, interval=interval(0))
        report = run(spec.model_copy(update={"root": "s3://shop/artifacts"})).result
        assert isinstance(report, Report)
        assert report.passed, report.broken
        assert report.facts["rows"][entity_search.LOG] == 3
        tables = {key: pd.read_parquet(io.BytesIO(kept.read(key))) for key in kept.list("") if key.endswith(".parquet")}
        assert len(tables) > 20
        assert not any(map(len, rows_of(tables, theirs=True).values()))
        assert WHO not in logs.read(shop.log.name).decode()
        for dataset in shop.by_day("features").values():
            key = dataset.uri.removeprefix(f"{shop.root.as_uri()}/")
            Inputs(kept).open(dataset.model_copy(update={"uri": f"{kept.uri}/{key}"}))
