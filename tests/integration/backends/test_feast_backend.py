"""The feature store on the real Feast: point in time offline, last value online, the two equal."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.backends.feature_store.feast import store as feast
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.exceptions import BackendError, SourceDataError, SourceError, UnknownNameError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.sections import (
    Business,
    Data,
    EvaluationSettings,
    Features,
    Gates,
    Kpi,
    Label,
    Owners,
    Schedule,
    Trainer,
    Training,
    Value,
)
from airflow_mlops_provider.lifecycle.shape import View

JANUARY = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))
FEBRUARY = Interval(start=JANUARY.end, end=datetime(2013, 3, 1, tzinfo=UTC))
CLIMATE = View(name="climate", keys=("town",), features={"wind": "float64", "reports": "int64"})
LEG = View(
    name="leg",
    keys=("carrier", "number"),
    features={"seen": "timestamp", "from_town": "string", "late": "bool"},
)
NUMBERS = ["wind", "reports", "late"]


def product(*views: View) -> MLProduct:
    return MLProduct(
        name="trips",
        goal="Will it be late?",
        problem="binary_classification",
        business=Business(
            kpi=Kpi(name="hits", target=1, unit="share"),
            value=Value(per_hit=1),
            owners=Owners(**dict.fromkeys(Owners.model_fields, "someone")),
        ),
        schedule=Schedule(cron="@monthly", start=JANUARY.start),
        data=Data(sources=(), clean="trips:code", expectations="trips:code"),
        features=Features(
            compute="trips:code",
            assemble="trips:code",
            views=views or (CLIMATE, LEG),
            request={"town": "string", "carrier": "string", "number": "int64"},
        ),
        label=Label(column="was_late", known_at="landed", examples="trips:code"),
        training=Training(trainer=Trainer(code="trips:train")),
        evaluation=EvaluationSettings(gates=Gates(min_metric=0.5)),
    )


def rows_of(interval: Interval, seed: int, size: int = 400) -> dict[str, pd.DataFrame]:
    """Feature rows with nulls, at random whole seconds of the interval; climate by the hour."""
    draw = np.random.default_rng(seed)
    hours = pd.date_range(interval.start, interval.end, freq="7h", inclusive="left")
    climate = pd.MultiIndex.from_product([["oslo", "rome"], hours], names=["town", "event_time"]).to_frame(index=False)
    climate["wind"] = draw.normal(size=len(climate))
    climate.loc[::5, "wind"] = np.nan
    climate["reports"] = pd.array(draw.integers(0, 9, len(climate)), dtype="Int64")
    climate.loc[::7, "reports"] = pd.NA
    span = int((interval.end - interval.start).total_seconds())
    leg = pd.DataFrame({"carrier": draw.choice(["AA", "UA"], size), "number": draw.integers(1, 20, size)})
    leg["event_time"] = pd.Timestamp(interval.start) + pd.to_timedelta(draw.choice(span, size, replace=False), unit="s")
    leg["seen"] = leg["event_time"].where(draw.random(size) > 0.1)
    leg["from_town"] = np.where(draw.random(size) > 0.1, "rome", None)
    leg["late"] = pd.array(draw.random(size) > 0.5, dtype="boolean")
    leg.loc[::9, "late"] = pd.NA
    return {"climate": climate, "leg": leg}


def load(store: FeatureStoreBackend, interval: Interval, frames: Mapping[str, pd.DataFrame]) -> dict[str, int]:
    folder = store.folder.parent / "computed"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    return store.offline.load(interval, {name: folder / f"{name}.parquet" for name in frames})


def offline_bytes(store: FeatureStoreBackend) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted((store.folder / "offline").rglob("*.parquet"))}


def asked(size: int = 3000) -> pd.DataFrame:
    """Rows to predict: known, unknown and missing keys, some before any feature, repeated rows, an odd index."""
    draw = np.random.default_rng(7)
    rows = pd.DataFrame({"town": draw.choice(["oslo", "rome", "atlantis", None], size)})
    rows["carrier"] = draw.choice(["AA", "UA", None], size)
    rows["number"] = draw.integers(1, 23, size)
    offset = draw.integers(-5 * 86400, 59 * 86400, size)
    rows["event_time"] = pd.Timestamp(JANUARY.start) + pd.to_timedelta(offset, unit="s")
    rows["other"] = range(size)
    return pd.concat([rows, rows.head(5)]).set_axis(range(size + 5, 0, -1))


def by_merge_asof(rows: pd.DataFrame, view: View, frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The same join by pandas, for comparison."""
    history = pd.concat(frames).sort_values("event_time", kind="stable")
    numbered = rows.reset_index(drop=True).reset_index(names="row").dropna(subset=list(view.keys))
    numbered = numbered.sort_values("event_time", kind="stable")
    joined = pd.merge_asof(numbered, history, on="event_time", by=list(view.keys))
    return joined.set_index("row").reindex(range(len(rows)))[list(view.features)].set_axis(rows.index)


def online_as_of_watermark(store: FeatureStoreBackend, rows: pd.DataFrame) -> pd.DataFrame:
    """What history says of the rows' entities just before the watermark."""
    mark = store.watermark()
    assert mark is not None
    moved = rows.assign(event_time=mark - timedelta(microseconds=1))
    return store.historical(moved)[list(store.shape.feature_types)]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStoreBackend:
    backend = FeatureStoreBackend(product().shape, tmp_path / "features")
    backend.apply()
    return backend


def test_making_one_costs_nothing(tmp_path: Path) -> None:
    """The constructor touches no file and loads no Feast, so it may run while a DAG file is parsed."""
    code = (
        "import sys; from pathlib import Path; from airflow_mlops_provider.lifecycle.product import MLProduct;"
        "from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend;"
        "FeatureStoreBackend(MLProduct.model_validate_json(sys.argv[1]).shape, Path(sys.argv[2]));"
        "assert 'feast' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, product().model_dump_json(), str(tmp_path / "x")], check=True)
    assert not (tmp_path / "x").exists()


def test_apply_follows_the_definitions(tmp_path: Path) -> None:
    """Definitions are registered when they change, views that went away go, and nothing happens otherwise."""
    assert FeatureStoreBackend(product().shape, tmp_path).apply()
    assert not FeatureStoreBackend(product().shape, tmp_path).apply()
    fewer = FeatureStoreBackend(product(CLIMATE).shape, tmp_path)
    assert fewer.apply()
    assert [view.name for view in fewer._store.list_feature_views()] == ["climate"]
    service = fewer._store.get_feature_service(fewer.shape.name)
    assert [view.name for view in service.feature_view_projections] == ["climate"]


def test_history_is_point_in_time(store: FeatureStoreBackend) -> None:
    """Each row gets the last values known by its moment: ties, nulls, unknown and missing keys as in merge_asof."""
    january, february = rows_of(JANUARY, 1), rows_of(FEBRUARY, 2)
    load(store, JANUARY, january)
    load(store, FEBRUARY, february)
    rows = asked()
    tie = january["leg"].iloc[[3]].assign(town="rome", other=-1)[rows.columns].set_axis([-1])
    rows = pd.concat([rows, tie])
    found = store.historical(rows)
    pd.testing.assert_frame_equal(found[list(rows.columns)], rows)
    for view in (CLIMATE, LEG):
        truth = by_merge_asof(rows, view, [january[view.name], february[view.name]])
        for name, kind in view.features.items():
            if name in NUMBERS:
                pd.testing.assert_series_equal(found[name], truth[name].astype("Float64").astype("float64"))
            elif kind == "timestamp":
                pd.testing.assert_series_equal(found[name], truth[name], check_dtype=False)
            else:
                assert found[name].tolist() == truth[name].where(truth[name].notna(), None).tolist()
    assert found.loc[-1, "seen"] == january["leg"]["seen"].iloc[3] or pd.isna(january["leg"]["seen"].iloc[3])
    assert found["wind"].isna().any()
    assert found["wind"].notna().any()


def test_online_equals_history(store: FeatureStoreBackend) -> None:
    """The same entity at the watermark has equal values and dtypes online and offline, for old data too."""
    load(store, JANUARY, rows_of(JANUARY, 1))
    store.materialize(JANUARY)
    load(store, FEBRUARY, rows_of(FEBRUARY, 2))
    rows = asked()
    found = store.online(rows)
    assert found["wind"].notna().any()
    assert found["from_town"].notna().any()
    pd.testing.assert_frame_equal(found, online_as_of_watermark(store, rows), check_exact=True)
    one = store.online(rows.head(1))
    assert list(one.dtypes) == list(found.dtypes)
    store.materialize(FEBRUARY)
    later = store.online(rows)
    assert not later.equals(found)
    pd.testing.assert_frame_equal(later, online_as_of_watermark(store, rows), check_exact=True)


def rows(store: FeatureStoreBackend, view: str) -> int:
    """Return how many rows a view holds offline."""
    return sum(pq.read_metadata(file).num_rows for file in store.offline.files(view))


def online_rows(store: FeatureStoreBackend, view: str) -> int:
    """Return how many entities of a view are online."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    declared = store.offline.views[view]
    tables = [pq.read_table(file, columns=list(declared.keys)) for file in store.offline.files(view)]
    seen = pa.concat_tables(tables).group_by(list(declared.keys)).aggregate([]).to_pylist()
    name = next(iter(declared.features))
    answer = store._store.get_online_features([f"{view}:{name}"], entity_rows=seen).proto
    statuses = answer.results[list(answer.metadata.feature_names.val).index(name)].statuses
    return sum(status != FieldStatus.NOT_FOUND for status in statuses)


def test_a_rerun_replaces(store: FeatureStoreBackend) -> None:
    """Loading and materializing an interval twice leaves the same rows, bytes and online values as once."""
    frames = rows_of(JANUARY, 1)
    doubled = {name: pd.concat([frame, frame]) for name, frame in frames.items()}
    counts = load(store, JANUARY, frames)
    store.materialize(JANUARY)
    before, values = offline_bytes(store), store.online(asked())
    online_counts = {name: online_rows(store, name) for name in counts}
    assert load(store, JANUARY, doubled) == counts == {name: rows(store, name) for name in counts}
    store.materialize(JANUARY)
    assert offline_bytes(store) == before
    pd.testing.assert_frame_equal(store.online(asked()), values)
    assert {name: online_rows(store, name) for name in counts} == online_counts
    assert online_counts["climate"] == 2


def check_older_interval(store: FeatureStoreBackend) -> None:
    load(store, JANUARY, rows_of(JANUARY, 1))
    store.materialize(JANUARY)
    february = rows_of(FEBRUARY, 2)
    load(store, FEBRUARY, february)
    store.materialize(FEBRUARY)
    before = store.online(asked())
    store.materialize(JANUARY)
    assert store.watermark() == FEBRUARY.end
    pd.testing.assert_frame_equal(store.online(asked()), before)
    corrected = {name: frame.iloc[: len(frame) * 3 // 4].copy() for name, frame in february.items()}
    corrected["climate"]["wind"] += 1
    load(store, FEBRUARY, corrected)
    store.materialize(FEBRUARY)
    assert not store.online(asked()).equals(before)
    pd.testing.assert_frame_equal(store.online(asked()), online_as_of_watermark(store, asked()), check_exact=True)


def check_entities_that_are_gone(store: FeatureStoreBackend) -> None:
    months = {JANUARY: rows_of(JANUARY, 1), FEBRUARY: rows_of(FEBRUARY, 2)}
    for month, frames in months.items():
        load(store, month, frames)
        store.materialize(month)
    known = asked().dropna(subset=["town", "carrier"])
    assert store.online(known[known["town"] == "oslo"])["reports"].notna().all()
    for month, frames in months.items():
        kept = {"climate": frames["climate"][frames["climate"]["town"] != "oslo"], "leg": frames["leg"]}
        load(store, month, kept)
        if month == FEBRUARY:  # the process dies here, and the retry goes on
            load(store, month, kept)
        store.materialize(month)
        gone = store.online(known[known["town"] == "oslo"])["reports"].isna()
        assert gone.all() == (month == FEBRUARY)  # until then, the other month still has a row
        pd.testing.assert_frame_equal(store.online(asked()), online_as_of_watermark(store, asked()), check_exact=True)
    store.require_online()


def test_entities_that_a_correction_leaves_without_rows(store: FeatureStoreBackend) -> None:
    """Their last values are not served any more, as soon as no interval has a row of them."""
    check_entities_that_are_gone(store)


def test_an_older_interval_never_takes_online_back(store: FeatureStoreBackend) -> None:
    """Replaying January leaves February online; a correction that removes or changes rows arrives online."""
    check_older_interval(store)


def test_intervals_older_than_a_feature_hold_nulls(tmp_path: Path) -> None:
    """A feature added later reads as unknown in files written before it."""
    old = FeatureStoreBackend(
        product(CLIMATE.model_copy(update={"features": {"wind": "float64"}})).shape, tmp_path / "f"
    )
    old.apply()
    load(old, JANUARY, {"climate": rows_of(JANUARY, 1)["climate"]})
    new = FeatureStoreBackend(product(CLIMATE).shape, tmp_path / "f")
    assert new.apply()
    load(new, FEBRUARY, {"climate": rows_of(FEBRUARY, 2)["climate"]})
    found = new.historical(pd.DataFrame({"town": ["oslo"], "event_time": [FEBRUARY.start - timedelta(hours=1)]}))
    assert found["reports"].isna().all()
    new.materialize(JANUARY)
    assert new.online(pd.DataFrame({"town": ["rome"]}))["reports"].isna().all()


def online_wind(store: FeatureStoreBackend) -> float:
    return float(store.online(pd.DataFrame({"town": ["oslo"], "carrier": ["AA"], "number": [1]}))["wind"].iloc[0])


def windy(store: FeatureStoreBackend, wind: float) -> None:
    """Bring January online, with one wind everywhere."""
    frames = rows_of(JANUARY, 1)
    frames["climate"]["wind"] = wind
    load(store, JANUARY, frames)
    store.materialize(JANUARY)


def test_a_replaced_online_store_is_read_anew(store: FeatureStoreBackend, tmp_path: Path) -> None:
    """A file put in the old one's place answers from then on, in a reader that held the old one open."""
    other = FeatureStoreBackend(product().shape, tmp_path / "other")
    other.apply()
    windy(store, 1.0)
    windy(other, 2.0)
    assert online_wind(store) == 1.0
    (other.folder / "online.db").replace(store.folder / "online.db")
    assert online_wind(store) == 2.0
    store.require_online()


def test_a_deleted_or_emptied_online_store_is_noticed(store: FeatureStoreBackend) -> None:
    """What is gone is said, and never answered from an open handle or as features that nobody has."""
    windy(store, 1.0)
    online_wind(store)
    store.require_online()
    file = store.folder / "online.db"
    with sqlite3.connect(file) as connection:
        connection.execute("delete from trips_leg")
    connection.close()
    with pytest.raises(BackendError, match="has lost the features of view 'leg'; materialize them again"):
        store.require_online()
    file.unlink()
    for call in (store.require_online, lambda: online_wind(store)):
        with pytest.raises(BackendError, match=r"online\.db is gone; materialize features again"):
            call()
    file.touch()
    with pytest.raises(BackendError, match=r"online\.db did not answer: no such table"):
        online_wind(store)


def test_the_look_up_is_planned_once(store: FeatureStoreBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is read for the first look-up, not for the next, and again once the definitions changed."""
    windy(store, 1.0)
    opened: list[int] = []
    real = FeatureStoreBackend._open_store
    monkeypatch.setattr(FeatureStoreBackend, "_open_store", lambda self, patience=0: opened.append(1) or real(self))
    again = FeatureStoreBackend(product().shape, store.folder)
    assert [online_wind(again) for _ in range(3)] == [1.0] * 3
    assert len(opened) == 1
    (store.folder / "registry.sha256").write_text("another")
    assert online_wind(again) == 1.0
    assert len(opened) == 2


def test_nothing_there_yet_says_what_to_do(tmp_path: Path) -> None:
    """Reading before anything was loaded names the step to run first."""
    empty = FeatureStoreBackend(product().shape, tmp_path / "features")
    with pytest.raises(SourceError, match="run its feature engineering first"):
        empty.online(asked())
    empty.apply()
    assert empty.watermark() is None
    for call in (empty.historical, empty.online):
        with pytest.raises(SourceError, match="feature engineering first"):
            call(asked())
    with pytest.raises(SourceError, match="not loaded"):
        empty.materialize(JANUARY)


def test_wrong_rows_are_refused(store: FeatureStoreBackend) -> None:
    """Unknown or missing views, missing columns, unfit values and rows of another interval change nothing on disk."""
    frames = rows_of(JANUARY, 1)
    with pytest.raises(UnknownNameError, match="'clima'; known: climate, leg"):
        load(store, JANUARY, frames | {"clima": frames["climate"]})
    with pytest.raises(SourceDataError, match="no feature rows for view leg"):
        load(store, JANUARY, {"climate": frames["climate"]})
    with pytest.raises(SourceDataError, match="wind"):
        load(store, JANUARY, frames | {"climate": frames["climate"].drop(columns="wind")})
    with pytest.raises(SourceDataError, match="'climate' do not fit"):
        load(store, JANUARY, frames | {"climate": frames["climate"].assign(wind="strong")})
    with pytest.raises(SourceDataError, match="outside the interval"):
        load(store, FEBRUARY, frames)
    with pytest.raises(SourceDataError, match="named like features: wind"):
        store.historical(asked().assign(wind=1))
    assert rows(store, "climate") == rows(store, "leg") == 0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    server = shutil.which("redis-server")
    if server is None or find_spec("redis") is None:
        pytest.skip("needs a redis-server binary on the path and the redis package (feast[redis])")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def test_redis_behaves_like_sqlite(tmp_path: Path, redis: str) -> None:
    """With Redis online, parity, corrections and old intervals are as with SQLite."""
    settings: dict[str, Any] = {"type": "redis", "connection_string": redis}
    backend = FeatureStoreBackend(product().shape, tmp_path / "features", settings)
    backend.apply()
    check_older_interval(backend)
    check_entities_that_are_gone(backend)


def test_entities_are_taken_out_of_redis(tmp_path: Path, redis: str) -> None:
    """Name and features are gone, of one project: nothing of them lies there any more; others stay."""
    from redis import Redis

    settings = {"type": "redis", "connection_string": redis}
    shape = product().shape
    stores = [FeatureStoreBackend(shape, tmp_path / "one", settings)]
    stores.append(FeatureStoreBackend(shape.model_copy(update={"name": f"x{shape.name}"}), tmp_path / "two", settings))
    for each in stores:
        each.apply()
        windy(each, 1.0)
    client = Redis(port=int(redis.partition(":")[2]))
    before = {name: client.hgetall(name) for name in client.scan_iter()}
    victim = pq.read_table(stores[0].offline.files("climate")[0]).column(shape.views[0].keys[0])[0].as_py()

    def wanted(key: tuple[Any, ...]) -> bool:
        return victim in key

    taken = stores[0].forget({view.name: wanted for view in shape.views}, {view.name: [] for view in shape.views})
    assert sum(map(len, taken.values())) > 0
    after = {name: client.hgetall(name) for name in client.scan_iter()}
    gone = before.keys() - after.keys()
    assert gone
    assert all(str(victim).encode() in name and not name.endswith(stores[1].shape.name.encode()) for name in gone)
    assert all(after[name] == before[name] for name in after)
    again = stores[0].forget({view.name: wanted for view in shape.views}, {view.name: [] for view in shape.views})
    assert not any(again.values())


def test_entities_of_other_stores_are_overwritten(tmp_path: Path) -> None:
    """A store that is neither of those whose layout is known: it is left with the name, and nothing known of it."""
    kind = {"type": "feast.infra.online_stores.sqlite.SqliteOnlineStore", "path": str(tmp_path / "online.db")}
    backend, shape = FeatureStoreBackend(product().shape, tmp_path / "features", kind), product().shape
    backend.apply()
    windy(backend, 1.0)
    keys = pq.read_table(backend.offline.files("climate")[0]).select([*shape.views[0].keys]).to_pylist()
    victim = tuple(keys[0].values())
    offline = {view.name: [victim] if view.name == "climate" else [] for view in shape.views}
    taken = backend.forget({view.name: lambda key: key == victim for view in shape.views}, offline)
    assert taken["climate"] == [victim]
    with sqlite3.connect(tmp_path / "online.db") as database:
        rows = database.execute(f"select entity_key, value from {shape.name}_climate").fetchall()
    values = {name: [value for key, value in rows if key == name] for name in {key for key, _ in rows}}
    assert sum(not any(known) for known in values.values()) == 1
    assert len(values) > 1


def test_a_view_that_is_declared_anew_is_no_error(store: FeatureStoreBackend) -> None:
    """Nothing was loaded of it yet, and so nobody is in it."""
    windy(store, 1.0)
    more = View(name="more", keys=store.shape.views[0].keys, features={"other": "float64"})
    wider = FeatureStoreBackend(
        store.shape.model_copy(update={"views": (*store.shape.views, more)}), store.folder, store.online_store
    )
    views = [view.name for view in wider.shape.views]
    taken = wider.forget({name: lambda _: False for name in views}, {name: [] for name in views})
    assert taken.keys() == {view.name for view in store.shape.views}


def test_a_flushed_redis_is_noticed(tmp_path: Path, redis: str) -> None:
    """A store that was emptied is not taken for one in which nobody has features."""
    from redis import Redis

    backend = FeatureStoreBackend(product().shape, tmp_path / "features", {"type": "redis", "connection_string": redis})
    backend.apply()
    windy(backend, 1.0)
    backend.require_online()
    Redis(port=int(redis.partition(":")[2])).flushall()
    with pytest.raises(BackendError, match="has lost the features of view 'climate'"):
        backend.require_online()


@pytest.mark.skipif(find_spec("redis") is None, reason="needs the redis package (feast[redis])")
def test_a_mute_redis_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up at an address that takes connections and never answers ends, and names it."""
    monkeypatch.setattr(feast, "SECONDS", 1)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(20)
        where = f"127.0.0.1:{mute.getsockname()[1]}"
        backend = FeatureStoreBackend(product().shape, tmp_path, {"type": "redis", "connection_string": where})
        backend.apply()
        (tmp_path / "watermark.json").write_text('{"watermark": "2013-02-01T00:00:00+00:00"}')
        with pytest.raises(BackendError, match=f"Redis at {where} did not answer"):
            online_wind(backend)


@pytest.mark.skipif(find_spec("redis") is None, reason="needs the redis package (feast[redis])")
def test_an_unreachable_redis_is_named(tmp_path: Path) -> None:
    """The error names the address, and not the password."""
    settings = {"type": "redis", "connection_string": "127.0.0.1:1,password=geheim"}
    backend = FeatureStoreBackend(product().shape, tmp_path / "features", settings)
    backend.apply()
    load(backend, JANUARY, rows_of(JANUARY, 1))
    with pytest.raises(BackendError, match=r"127\.0\.0\.1:1 did not answer") as caught:
        backend.materialize(JANUARY)
    assert "geheim" not in str(caught.value)
