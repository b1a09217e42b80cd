"""DynamoDB as an online store, beside what holds for all of them: few requests, scarcity, errors, forgetting."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.feature_store.feast import stored
from airflow_mlops_provider.backends.feature_store.feast.servers import dynamodb
from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.exceptions import BackendError, MissingExtraError
from tests.factories.dynamodb import ScarceDynamoDB
from tests.factories.online_stores import DTYPES, SHAPE, YEAR, Servers, asked, opened, settings, started
from tests.factories.ports import free_port


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """All of them."""
    with started(tmp_path_factory.mktemp("redis")) as running:
        yield running


def test_dynamodb_is_asked_for_all_views_together(tmp_path: Path, servers: Servers) -> None:
    """One request for what fits into one, with each key once; the store's own settings hold."""
    plain = settings("dynamodb", tmp_path, servers, 1)
    with ScarceDynamoDB(plain["endpoint_url"]) as scarce:
        store = opened(tmp_path, {**plain, "endpoint_url": scarce.url, "consistent_reads": True, "batch_size": 5})
        store.materialize(YEAR)
        every = asked({view.name: tmp_path / "computed" / f"{view.name}.parquet" for view in SHAPE.views})
        keys = {name: [values[9]] * 3 for name, values in every.items()}
        columns = store.online_columns(keys)
        (requested,) = scarce.of("BatchGetItem")
        assert sorted(requested) == [f"n1_trips.{name}" for name in ("hour", "leg", "record", "town")]
        assert all(len(named["Keys"]) == 1 and named["ConsistentRead"] for named in requested.values())
        assert not np.isnan(columns["humid"]).any()
        scarce.requests.clear()
        apart = store.online_columns(every)
        sizes = [sum(len(named["Keys"]) for named in requested.values()) for requested in scarce.of("BatchGetItem")]
        assert len(sizes) > 5 and {*sizes} <= {*range(1, 6)} and sizes.count(5) >= len(sizes) - 1
        usual = FeatureStoreBackend(SHAPE, store.folder, {**plain, "endpoint_url": scarce.url})
        for name, column in usual.online_columns(every).items():
            np.testing.assert_array_equal(column, apart[name])
        scarce.requests.clear()
        usual.online_columns(keys)
        (requested,) = scarce.of("BatchGetItem")
        assert not any(named["ConsistentRead"] for named in requested.values())


def test_what_dynamodb_leaves_undone_is_requested_again(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written and read as if it had been done at once; without end it is given up, and said."""
    plain = settings("dynamodb", tmp_path, servers, 2)
    monkeypatch.setattr(dynamodb, "_PAUSE", 0.001)
    with ScarceDynamoDB(plain["endpoint_url"]) as scarce:
        store = opened(tmp_path, {**plain, "endpoint_url": scarce.url, "read_timeout": 30})
        scarce.most = 20
        store.materialize(YEAR)
        assert max(len(*requested.values()) for requested in scarce.of("BatchWriteItem")) == 25
        keys = asked({view.name: tmp_path / "computed" / f"{view.name}.parquet" for view in SHAPE.views})
        scarce.most = 30
        ours = store.online_columns(keys)
        scarce.most = None
        for name, column in store.online_columns(keys).items():
            np.testing.assert_array_equal(column, ours[name])
        rows = pd.DataFrame({name: pd.Series(values, dtype=DTYPES.get(name)) for name, values in keys.items()})
        moved = rows.assign(event_time=YEAR.end - pd.Timedelta(microseconds=1))
        np.testing.assert_array_equal(store.historical(moved)["humid"], ours["humid"])
        scarce.most = 1
        monkeypatch.setattr(stored, "SECONDS", 0.01)
        monkeypatch.setattr(dynamodb, "_SECONDS_TO_WRITE", 0.01)
        hasty = FeatureStoreBackend(SHAPE, store.folder, store.online_store)
        with pytest.raises(BackendError, match=r"DynamoDB left items of n2_trips\..* undone for 0\.01 s"):
            hasty.online_columns(keys)
        with pytest.raises(BackendError, match=r"DynamoDB left items of n2_trips\..* undone for 0\.01 s"):
            hasty.materialize(YEAR)


def test_a_dynamodb_that_does_not_answer_is_named(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there, no answer, refused, without its table: the place and the reason, and nothing of what it says."""
    plain = settings("dynamodb", tmp_path, servers, 3)
    store = opened(tmp_path, plain)
    store.materialize(YEAR)
    keys = {"number": [255], "carrier": ["AA"], "town": ["Oslo"], "hour": [None]}
    servers.dynamodb().delete_table(TableName="n3_trips.town")
    with pytest.raises(BackendError, match=r"DynamoDB at 127\.0\.0\.1:\d+ did not answer: ResourceNotFoundException$"):
        store.online_columns(keys)
    with pytest.raises(BackendError, match=r"did not answer: ResourceNotFoundException$"):
        store.materialize(YEAR)
    monkeypatch.setattr(stored, "SECONDS", 1)
    with ScarceDynamoDB(plain["endpoint_url"]) as scarce, socket.socket() as mute:
        scarce.most = 0
        mute.bind(("127.0.0.1", 0))
        mute.listen(20)
        reasons = {
            scarce.url: "ProvisionedThroughputExceededException",
            f"http://127.0.0.1:{mute.getsockname()[1]}": "ReadTimeoutError",
            f"http://127.0.0.1:{free_port()}": "EndpointConnectionError",
        }
        for url, reason in reasons.items():
            with pytest.raises(BackendError) as caught:
                FeatureStoreBackend(SHAPE, store.folder, {**plain, "endpoint_url": url}).online_columns(keys)
            assert str(caught.value) == f"DynamoDB at {url.removeprefix('http://')} did not answer: {reason}"
        assert len(scarce.of("BatchGetItem")) == 2
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nowhere = {name: value for name, value in plain.items() if name != "endpoint_url"}
    with pytest.raises(BackendError, match=r"DynamoDB in us-east-1 did not answer: NoCredentialsError$"):
        FeatureStoreBackend(SHAPE, store.folder, nowhere).online_columns(keys)


def test_entities_in_dynamodb_are_overwritten(tmp_path: Path, servers: Servers) -> None:
    """It keeps hashes of names, which tell nobody's: those that the offline store has are left without features."""
    store = opened(tmp_path, settings("dynamodb", tmp_path, servers, 4))
    store.materialize(YEAR)
    keys = {"number": [255] * 2, "carrier": ["AA"] * 2, "town": ["Oslo", ""], "hour": [None] * 2}
    before = store.online_columns(keys)
    nobody: dict[str, list[Any]] = {view.name: [] for view in SHAPE.views}
    wanted = {name: lambda key: key == ("Oslo",) for name in nobody}
    assert store.forget(wanted, nobody) == nobody
    assert store.forget(wanted, nobody | {"town": [("Oslo",), ("",)]}) == nobody | {"town": [("Oslo",)]}
    after = store.online_columns(keys)
    assert not np.isnan(before["humid"]).any()
    np.testing.assert_array_equal(after["humid"], [np.nan, before["humid"][1]])
    np.testing.assert_array_equal(after["wind"], before["wind"])


def test_dynamodb_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Feast needs for it is named with its pip line."""
    gone = [name for name in sys.modules if name.partition(".")[0] == "aiobotocore" or name.endswith(".dynamodb")]
    for name in gone:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiobotocore", None)
    store = FeatureStoreBackend(SHAPE, tmp_path, {"type": "dynamodb", "region": "us-east-1"})
    with pytest.raises(MissingExtraError, match=r"dynamodb online store needs: .*provider\[dynamodb\]"):
        store.apply()
