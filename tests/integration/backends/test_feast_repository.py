"""A team's own Feast repository, used by real Feast: what ``feast init`` makes, and one of fixed days."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.backends.feature_store.feast.historical import Retrieved, retrieve
from airflow_mlops_provider.backends.feature_store.feast.push import push
from airflow_mlops_provider.backends.feature_store.feast.repository import FeastRepository
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, SourceDataError, UnknownNameError
from tests.factories.feast_repository import at, initial, shops


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shops(tmp_path / "shops")


@pytest.fixture
def repository(folder: Path) -> FeastRepository:
    """The shops' repository, applied."""
    repository = FeastRepository(folder)
    repository.apply()
    return repository


def edit(folder: Path, old: str, new: str) -> None:
    """Change the definitions."""
    file = folder / "features.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def online(repository: FeastRepository, *shops: int) -> list[Any]:
    """Return the shops' sales as they are online."""
    with repository.at_work("look") as store:
        rows = store.get_online_features(features=["sales:sales"], entity_rows=[{"shop_id": shop} for shop in shops])
    return list(rows.to_dict()["sales"])


def entities(**columns: Any) -> pa.Table:
    """Return a row of each of the three shops and of an unknown one, at noon of the third."""
    given = {"shop_id": [1, 2, 3, 9], "event_timestamp": [at(3, 12)] * 4, "rate": [1.0] * 4, **columns}
    return pa.table({name: values for name, values in given.items() if values is not None})


# --- apply


def test_apply_says_what_changed(folder: Path) -> None:
    """By kind and name; a second time nothing; an edit of a function, and a removal, too."""
    added = FeastRepository(folder).apply()["added"]
    assert {"feature view sales", "feature view money", "feature service shop_v1", "entity shop"} <= {*added}
    nothing: dict[str, list[str]] = {"added": [], "changed": [], "removed": []}
    assert FeastRepository(folder).apply() == nothing
    edit(folder, '* inputs["rate"]', '* inputs["rate"] * 2')
    assert FeastRepository(folder).apply() == {**nothing, "changed": ["feature view money"]}
    edit(folder, "shop_v1 = ", "shop_v2 = ")
    edit(folder, 'name="shop_v1"', 'name="shop_v2"')
    changes = FeastRepository(folder).apply()
    assert (changes["added"], changes["removed"]) == (["feature service shop_v2"], ["feature service shop_v1"])


def test_two_repositories_in_one_process(tmp_path: Path, folder: Path) -> None:
    """Each is applied from its own modules, also where they are called alike, and nothing of it is left."""
    other = shops(tmp_path / "other")
    edit(other, 'name="staff"', 'name="people"')
    path, made = [*sys.path], initial(tmp_path)
    for repository in (folder, other, made, folder):
        FeastRepository(repository).apply()
    assert {*FeastRepository(folder).views()} == {"sales", "staff"}
    assert {*FeastRepository(other).views()} == {"sales", "people"}
    assert (sys.path, Path.cwd() == folder, "features" in sys.modules) == (path, False, False)


@pytest.mark.parametrize(
    ("definitions", "error"),
    [
        ("import not_there_at_all", "can't be imported: ModuleNotFoundError"),
        ("raise SystemExit(3)", "shops"),
        ("from feast import Project\nproject = Project(name='other')", "Project object name should match"),
    ],
)
def test_definitions_that_cannot_be_read(folder: Path, definitions: str, error: str) -> None:
    """The error names the repository and what is wrong; no retry helps."""
    (folder / "features.py").write_text(definitions)
    with pytest.raises(ConfigurationError, match=error):
        FeastRepository(folder).apply()


def test_a_source_that_is_not_there(folder: Path) -> None:
    """Is looked for before anything is registered, and may come yet; who leaves that out registers it."""
    missing = (
        "class Missing(FileSource):\n    def validate(self, config):\n        raise OSError('no such table')\n\n\n"
    )
    edit(folder, "shop = Entity", f"{missing}shop = Entity")
    edit(folder, 'source=FileSource(name="staff_files"', 'source=Missing(name="staff_files"')
    with pytest.raises(BackendError, match="feast apply: OSError: no such table"):
        FeastRepository(folder).apply()
    assert FeastRepository(folder).views() == {}
    assert "feature view staff" in FeastRepository(folder).apply(skip_source_validation=True)["added"]


def test_secrets_reach_the_configuration_and_no_error(folder: Path) -> None:
    """A variable of the connection stands in feature_store.yaml by its name; a refused value is not shown."""
    file = folder / "feature_store.yaml"
    text = file.read_text().replace("data/online.db", "data/${STORE_SECRET}.db")
    file.write_text(text)
    repository = FeastRepository(folder, {"STORE_SECRET": "sesame"})
    repository.apply()
    assert (folder / "data" / "sesame.db").exists()
    file.write_text(text.replace("path: data/", "pass: data/"))
    with pytest.raises(ConfigurationError, match=r"pass: Extra inputs") as raised:
        _ = FeastRepository(folder, {"STORE_SECRET": "sesame"}).store
    assert "sesame" not in str(raised.value)


# --- materialize


def test_an_interval_is_brought_online(repository: FeastRepository) -> None:
    """All views without names; the span of each is handed back."""
    assert repository.materialize(None, at(1), at(2)) == {"sales": (at(1), at(2)), "staff": (at(1), at(2))}
    assert online(repository, 1, 2, 3) == [10.0, 5.0, 7.0]
    assert repository.materialize(["sales"], at(2), at(4)) == {"sales": (at(2), at(4))}
    assert online(repository, 1) == [20.0]


def test_an_old_interval_takes_nobody_back(repository: FeastRepository) -> None:
    """One that is done again brings all later rows with it."""
    repository.materialize(["sales"], at(1), at(4))
    assert repository.materialize(["sales"], at(1), at(2)) == {"sales": (at(1), at(4))}
    assert online(repository, 1) == [20.0]


def test_incremental(repository: FeastRepository) -> None:
    """From each view's last end; before its first its time to live; where nothing is left, nothing is done."""
    repository.materialize(["staff"], at(1), at(2))
    begins = {name: span[0] for name, span in repository.materialize(None, None, at(4)).items()}
    assert begins == {"sales": at(2), "staff": at(2)}
    assert online(repository, 1, 2) == [20.0, None]
    assert repository.materialize(None, None, at(4)) == {}
    assert repository.materialize(None, None, at(3)) == {}


def test_views_that_cannot_be_materialized(repository: FeastRepository) -> None:
    """An unknown one lists the known ones; an on-demand view is not kept online."""
    with pytest.raises(UnknownNameError, match="unknown feature view 'nothing'; known: money, sales, staff"):
        repository.materialize(["sales", "nothing"], at(1), at(2))
    with pytest.raises(ConfigurationError, match="money is not configured"):
        repository.materialize(["money"], at(1), at(2))


# --- retrieve


def test_features_as_they_were_known(repository: FeastRepository) -> None:
    """Each row keeps its place and its other columns; a view that knows nothing hides nothing of another."""
    rows = entities(note=[None, "b", "c", "d"], amount=[Decimal("1.10")] * 4, tags=[["x"], [], ["y"], None])
    table = retrieve(repository, rows, service="shop_v1").table
    assert table.select(rows.column_names).equals(rows)
    assert table.select(["sales", "visits", "staff", "per_visit"]).to_pydict() == {
        "sales": [20.0, None, 7.0, None],
        "visits": [4, None, 9, None],
        "staff": [2, 4, 6, None],
        "per_visit": [5.0, None, 7.0 / 9, None],
    }
    assert table.schema.field("visits").type == pa.int64()


def test_what_is_not_matched_is_counted(repository: FeastRepository) -> None:
    """By view, on-demand ones as well; and the definitions that decided are named with their hashes."""
    got = retrieve(repository, entities(), service="shop_v1")
    assert got.unmatched == {"sales": 2, "staff": 1, "money": 2}
    assert {*got.definitions} == {*(f"feature view {name}" for name in got.unmatched), "feature service shop_v1"}
    edit(repository.file.parent, "days=2", "days=9")
    FeastRepository(repository.file.parent).apply()
    later = retrieve(FeastRepository(repository.file.parent), entities(), service="shop_v1")
    assert later.unmatched["sales"] == 1
    changed = {name for name, value in later.definitions.items() if got.definitions[name] != value}
    assert changed == {"feature view sales"}


def test_a_view_in_two_roles(repository: FeastRepository) -> None:
    """A service calls it by two names, with a key each; the one without a match hides nothing of the other."""
    folder = repository.file.parent
    roles = [
        f'sales.with_name("{role}_sales").with_join_key_map({{"shop_id": "{role}_id"}})' for role in ("from", "to")
    ]
    with (folder / "features.py").open("a") as file:
        file.write(f'moves = FeatureService(name="moves", features=[{", ".join(roles)}])\n')
    FeastRepository(folder).apply()
    rows = pa.table({"from_id": [1, 2, 1], "to_id": [2, 3, 3], "event_timestamp": [at(3, 12)] * 3})
    table = retrieve(FeastRepository(folder), rows, service="moves", full_names=True).table
    assert table.select(["from_sales__sales", "to_sales__sales"]).to_pydict() == {
        "from_sales__sales": [20.0, None, 20.0],
        "to_sales__sales": [None, 7.0, 7.0],
    }
    with pytest.raises(ConfigurationError, match="two features are called 'sales'; take full_feature_names"):
        retrieve(FeastRepository(folder), rows, service="moves")


def test_rows_that_come_twice(repository: FeastRepository) -> None:
    """Feast's store on files would keep one of them; what differs in them is answered for each."""
    rows = entities(shop_id=[1, 1, 1, 3], rate=[1.0, 1.0, 2.0, 1.0])
    table = retrieve(repository, rows, features=["money:per_visit", "sales:visits"]).table
    assert table.column("per_visit").to_pylist() == [5.0, 5.0, 10.0, 7.0 / 9]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"event_timestamp": [at(3, 12).replace(tzinfo=None)] * 4}, id="without a zone"),
        pytest.param({"event_timestamp": ["2026-01-03T13:00:00+01:00"] * 4}, id="text"),
        pytest.param({"event_timestamp": [pd.Timestamp("2026-01-03T07:00", tz="America/New_York")] * 4}, id="zone"),
        pytest.param({"event_timestamp": None, "when": [date(2026, 1, 4)] * 4, "event_time": "when"}, id="date"),
        pytest.param({"shop_id": [Decimal(shop) for shop in (1, 2, 3, 9)]}, id="decimal keys"),
        pytest.param({"shop_id": ["1", "2", "3", "9"]}, id="keys as text"),
        pytest.param({"shop_id": [1, 2, 3, None]}, id="a key is missing"),
    ],
)
def test_rows_of_any_type(repository: FeastRepository, given: dict[str, Any]) -> None:
    """Moments and keys of the types that files and databases give; the moment is in UTC and has Feast's name."""
    event_time = given.pop("event_time", "event_timestamp")
    table = retrieve(repository, entities(**given), features=["staff:staff"], event_time=event_time).table
    assert table.column("staff").to_pylist() == [2, 4, 6, None]
    assert table.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")
    assert "when" not in table.column_names


def test_a_view_without_entity(repository: FeastRepository) -> None:
    """Its features are those of the moment, whoever the row is about."""
    folder = repository.file.parent
    prices = pd.DataFrame({"price": [1.0, 2.0], "at": [at(1), at(3)]})
    prices.to_parquet(folder / "data" / "market.parquet", coerce_timestamps="us")
    source = 'FileSource(name="market_files", path="data/market.parquet", timestamp_field="at")'
    schema = '[Field(name="price", dtype=Float64)]'
    with (folder / "features.py").open("a") as file:
        file.write(f'market = FeatureView(name="market", entities=[], schema={schema}, source={source})\n')
    FeastRepository(folder).apply()
    rows = entities(event_timestamp=[at(2), at(3, 12), datetime(2025, 1, 1, tzinfo=UTC), at(3, 12)])
    table = retrieve(FeastRepository(folder), rows, features=["market:price", "sales:visits"]).table
    assert table.column("price").to_pylist() == [1.0, 2.0, None, 2.0]


def test_rows_of_which_nothing_is_known(repository: FeastRepository) -> None:
    """They come back with empty features of the declared types."""
    got = retrieve(repository, entities(shop_id=[2, 2, 9, None]), features=["sales:visits"])
    assert got.table.column("visits").to_pylist() == [None] * 4
    assert got.table.schema.field("visits").type == pa.int64()
    assert got.unmatched == {"sales": 4}


def test_stores_on_files_say_the_same(repository: FeastRepository) -> None:
    """Feast's two of them leave out different rows of a thousand; the answers are the same to the last."""
    random = np.random.default_rng(0)
    shop = [None if number == 5 else number for number in random.integers(1, 6, 1000).tolist()]
    moments = [at(1) + timedelta(minutes=minutes) for minutes in random.integers(-600, 6000, 1000).tolist()]
    rows = entities(shop_id=shop, event_timestamp=moments, rate=random.integers(1, 3, 1000).astype(float))
    dask = retrieve(repository, rows, service="shop_v1")
    yaml = repository.file
    yaml.write_text(yaml.read_text().replace("dask", "duckdb"))
    duckdb = retrieve(FeastRepository(yaml), rows, service="shop_v1")
    assert dask.table.equals(duckdb.table)
    assert dask.unmatched == duckdb.unmatched
    assert 0 < dask.unmatched["staff"] < dask.unmatched["sales"] < 1000


def test_no_rows(repository: FeastRepository) -> None:
    """Give no rows, of the types that rows would have."""
    table = retrieve(repository, entities().slice(0, 0), service="shop_v1").table
    full = retrieve(repository, entities(), service="shop_v1").table
    assert (len(table), table.schema) == (0, full.schema)


def test_features_with_the_same_name(repository: FeastRepository) -> None:
    """They get their view's name before them; without that the clash is named."""
    rows = entities(staff=[0] * 4)
    with pytest.raises(
        SourceDataError, match=r"called as features are: staff; rename them, or take full_feature_names"
    ):
        retrieve(repository, rows, features=["staff:staff"])
    table = retrieve(repository, rows, features=["staff:staff"], full_names=True).table
    assert table.column("staff__staff").to_pylist() == [2, 4, 6, None]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"service": "shop_v9"}, "unknown feature service 'shop_v9'; known: shop_v1"),
        ({"features": ["nothing:x"]}, "unknown feature view 'nothing'; known: money, sales, staff"),
        ({"features": ["sales:x"]}, "unknown feature of view 'sales' 'x'; known: sales, visits"),
        ({"features": ["sales"]}, "'sales' names no feature; write view:feature"),
    ],
)
def test_unknown_names(repository: FeastRepository, wanted: dict[str, Any], error: str) -> None:
    """They list the known ones."""
    with pytest.raises((UnknownNameError, ConfigurationError), match=error):
        retrieve(repository, entities(), **wanted)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"rate": None}, "the rows lack rate; needed: rate, shop_id and event_timestamp"),
        ({"event_timestamp": None}, "the rows lack 'event_timestamp', their moment; they have shop_id, rate"),
        ({"event_timestamp": [at(3), None, None, at(3)]}, "2 of 4 rows have no 'event_timestamp'"),
        ({"event_timestamp": [1, 2, 3, 4]}, "is int64; give a time, a date, or text"),
        ({"event_timestamp": ["soon"] * 4}, "has a value that is no time"),
        ({"shop_id": ["north"] * 4}, "'shop_id' is string and can't be read as int64"),
    ],
)
def test_rows_that_cannot_be_used(repository: FeastRepository, given: dict[str, Any], error: str) -> None:
    """What is wrong with them is named, before Feast is called."""
    with pytest.raises(SourceDataError, match=error):
        retrieve(repository, entities(**given), service="shop_v1")


def test_corrected_data_gives_other_features(repository: FeastRepository) -> None:
    """The same rows, the same definitions: what lies in the offline store decides as well."""

    def staff() -> Retrieved:
        return retrieve(repository, entities(), features=["staff:staff"])

    before = staff()
    file = repository.file.parent / "data" / "staff.parquet"
    pd.read_parquet(file).assign(staff=[3, 4, 6]).to_parquet(file)
    after = staff()
    assert before.definitions == after.definitions
    assert not before.table.equals(after.table)


def test_what_feast_init_makes(tmp_path: Path) -> None:
    """Maps, structs and JSON come back as Feast has them, and numbers as they are declared."""
    repository = FeastRepository(initial(tmp_path))
    repository.apply()
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = pa.table(
        {
            "driver_id": [1001, 1002, 1],
            "event_timestamp": [now - timedelta(hours=3)] * 3,
            "val_to_add": [1, 2, 3],
            "val_to_add_2": [10, 20, 30],
        }
    )
    got = retrieve(repository, rows, service="driver_activity_v2")
    assert got.unmatched == {"driver_hourly_stats": 1, "transformed_conv_rate": 1}
    first = got.table.slice(0, 1).to_pylist()[0]
    assert first["conv_rate_plus_val1"] == pytest.approx(first["conv_rate"] + 1)
    assert {*first["driver_profile"]} == {"name", "age"}
    assert got.table.schema.field("avg_daily_trips").type == pa.int64()
    until = (now - timedelta(days=1), now)
    assert {*repository.materialize(None, *until).values()} == {until}


# --- push


@pytest.fixture
def pushed() -> Callable[..., pa.Table]:
    """Return a function that gives two rows of a till, with some columns changed or, as None, left out."""

    def rows(**columns: Any) -> pa.Table:
        given = {
            "shop_id": [1, 2],
            "sales": [30.0, None],
            "visits": [7, 8],
            "at": [at(5), at(6)],
            "created": [at(6)] * 2,
        }
        return pa.table({name: values for name, values in {**given, **columns}.items() if values is not None})

    return rows


@pytest.mark.parametrize(
    ("to", "counts", "lie", "known"),
    [
        ("online", {"online": 2}, 4, [30.0]),
        ("offline", {"offline": 2}, 6, [None]),
        ("online_and_offline", {"online": 2, "offline": 2}, 6, [30.0]),
    ],
)
def test_rows_are_pushed(
    repository: FeastRepository, pushed: Any, to: Any, counts: dict[str, int], lie: int, known: list[float]
) -> None:
    """To the stores that are named; once more doubles nothing, and a correction is written."""
    file = repository.file.parent / "data" / "sales.parquet"
    assert push(repository, "tills", pushed(), to) == {"views": ["sales"], **counts}
    assert (pq.read_metadata(file).num_rows, online(repository, 1)) == (lie, known)
    push(repository, "tills", pushed(), to)
    assert pq.read_metadata(file).num_rows == lie
    push(repository, "tills", pushed(sales=[31.0, None]), to)
    assert pq.read_metadata(file).num_rows == lie + (to != "online")


def test_rows_of_a_database_are_pushed(repository: FeastRepository, pushed: Any) -> None:
    """Numbers and moments come as text or decimals where a database has no other types."""
    text = ["2026-01-05 00:00:00", "2026-01-06T01:00:00+01:00"]
    sales = [Decimal("30.0"), None]
    push(repository, "tills", pushed(shop_id=["1", "2"], sales=sales, at=text, created=["2026-01-06"] * 2), "online")
    push(repository, "tills", pushed(shop_id=["1", "2"], sales=sales, at=text, created=["2026-01-06"] * 2), "offline")
    assert online(repository, 1) == [30.0]
    assert push(repository, "tills", pushed(), "offline")["offline"] == 0


def test_labels_are_pushed(tmp_path: Path) -> None:
    """A label view takes from a push source as well."""
    repository = FeastRepository(initial(tmp_path))
    repository.apply()
    labels = {"is_reliable": [1], "quality_score": [0.5], "reviewer_notes": ["good"], "labeler": ["a person"]}
    rows = pa.table({"driver_id": [1001], "event_timestamp": [at(5)], **labels})
    counts = push(repository, "driver_quality_labels_push", rows, "online_and_offline")
    assert counts == {"views": ["driver_quality_labels"], "online": 1, "offline": 1}


def test_views_of_one_source(repository: FeastRepository, pushed: Any) -> None:
    """All of them get the rows online; their offline source gets them once."""
    folder = repository.file.parent
    again = 'FeatureView(name="again", entities=[shop], schema=[Field(name="sales", dtype=Float64)], source=tills)'
    edit(folder, "staff = FeatureView", f"again = {again}\nstaff = FeatureView")
    FeastRepository(folder).apply()
    counts = push(FeastRepository(folder), "tills", pushed(), "online_and_offline")
    assert counts == {"views": ["again", "sales"], "online": 2, "offline": 2}
    assert pq.read_metadata(folder / "data" / "sales.parquet").num_rows == 6


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"visits": None}, "the rows lack visits; view 'sales' needs shop_id, at, created, sales, visits"),
        ({"shop_id": [1, None]}, "rows without a key or a moment can't be pushed"),
        ({"sales": [None, None], "visits": [None, None]}, "all features of view 'sales' are empty"),
        ({"visits": ["some", "more"]}, "'visits' is string and can't be read as int64"),
        ({"more": [1, 2]}, "do not fit the source of view 'sales': .*more"),
    ],
)
def test_rows_that_cannot_be_pushed(repository: FeastRepository, pushed: Any, given: Any, error: str) -> None:
    """Nothing of them comes into either store."""
    with pytest.raises(SourceDataError, match=error):
        push(repository, "tills", pushed(**given), "online_and_offline")
    assert online(repository, 1) == [None]
    assert pq.read_metadata(repository.file.parent / "data" / "sales.parquet").num_rows == 4


def test_an_unknown_source_lists_the_known_ones(repository: FeastRepository, pushed: Any) -> None:
    """A batch source is none that takes pushes."""
    with pytest.raises(UnknownNameError, match="unknown push source 'sales_files'; known: tills"):
        push(repository, "sales_files", pushed(), "online")


def test_no_rows_to_push(repository: FeastRepository, pushed: Any) -> None:
    """Are pushed without a word."""
    counts = push(repository, "tills", pushed().slice(0, 0), "online_and_offline")
    assert counts == {"views": ["sales"], "online": 0, "offline": 0}
