"""Hooks: connections and configuration become settings and credentials, and the test buttons really try."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.base import ServiceHook
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.hooks.model_server import ModelServerHook
from airflow_mlops_provider.hooks.prometheus import PrometheusHook
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.lifecycle.product import MLProduct
from tests.factories import bucket, postgres
from tests.factories.ports import free_port

ALL = [ArtifactStoreHook, FeastHook, MlflowHook, ModelServerHook, PrometheusHook]
PRODUCT = MLProduct.model_construct(name="flights")
CONNECTIONS = Path(__file__).parents[3] / "docs" / "how-to" / "connections" / "README.md"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Airflow home of its own, with no connection and no setting."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Define a connection, as a user would in the environment."""

    def connection(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return connection


class Answer(http.server.BaseHTTPRequestHandler):
    """A server that answers like MLflow or Prometheus, to those who bear the right header."""

    wanted: ClassVar[str | None] = None

    def do_GET(self) -> None:
        allowed = self.wanted in {None, self.headers.get("Authorization")}
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(b'{"status": "success"}')

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of that server."""
    monkeypatch.setattr(Answer, "wanted", None)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_port
    running.shutdown()
    running.server_close()


def test_embedded_defaults_without_any_connection(home: Path) -> None:
    """With nothing defined, everything lies below Airflow's home and no credential goes anywhere."""
    addresses, root, secrets = services(PRODUCT.name)
    assert root == (home / "mlops").as_uri()
    assert addresses.mlflow == f"sqlite:///{home}/mlops/mlflow.db"
    assert addresses.landing == str(home / "mlops" / "landing")
    assert (addresses.online_store, addresses.model_server, secrets) == ({"type": "sqlite"}, None, {})


def test_configuration_moves_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of the [mlops] section replace the embedded defaults."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(tmp_path / "else"))
    monkeypatch.setenv("AIRFLOW__MLOPS__LANDING_ROOT", "/landing")
    addresses, root, _ = services(PRODUCT.name)
    assert root == (tmp_path / "else").as_uri()
    assert addresses.mlflow == f"sqlite:///{tmp_path}/else/mlflow.db"
    assert addresses.landing == "/landing"
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URI", "http://mlflow:5000")
    assert services(PRODUCT.name)[0].mlflow == "http://mlflow:5000"


def test_bucket_root_keeps_files_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bucket as artifact root, what must be a file stays below Airflow's home."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", "s3://models/mlops")
    addresses, root, _ = services(PRODUCT.name)
    assert (root, addresses.mlflow) == ("s3://models/mlops", f"sqlite:///{home}/mlops/mlflow.db")


def test_connections_give_addresses_and_credentials_apart(define: Any) -> None:
    """Every credential reaches the environment, and none the addresses that manifests show."""
    define(
        "mlops_artifact_store",
        conn_type="mlops_artifact_store",
        login="key",
        password="sesame1",
        extra={"root": "s3://models/mlops", "endpoint_url": "http://minio:9000", "region": "eu"},
    )
    define("mlops_mlflow", conn_type="mlflow", host="ml", port=443, schema="https", login="ann", password="sesame2")
    define(
        "mlops_feast",
        conn_type="feast",
        host="redis",
        port=6380,
        password="sesame3",
        extra={"options": '{"key_ttl_seconds": 60}'},
    )
    define("mlops_model_server", conn_type="mlops_model_server", host="http://serving:8900", password="sesame4")
    addresses, root, secrets = services(PRODUCT.name)
    assert (root, addresses.mlflow, addresses.model_server) == (
        "s3://models/mlops",
        "https://ml:443",
        "http://serving:8900",
    )
    assert addresses.online_store == {
        "type": "redis",
        "connection_string": "redis:6380,password=${MLOPS_ONLINE_STORE_PASSWORD}",
        "key_ttl_seconds": 60,
    }
    assert secrets == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "sesame1",
        "AWS_DEFAULT_REGION": "eu",
        "AWS_ENDPOINT_URL_S3": "http://minio:9000",
        "MLFLOW_S3_ENDPOINT_URL": "http://minio:9000",
        "MLFLOW_TRACKING_USERNAME": "ann",
        "MLFLOW_TRACKING_PASSWORD": "sesame2",
        "MLOPS_ONLINE_STORE_PASSWORD": "sesame3",
        "MLOPS_SERVING_TOKEN": "sesame4",
    }
    assert "sesame" not in addresses.model_dump_json() + root


def test_optional_fields_may_be_absent(define: Any) -> None:
    """The barest connection of each kind works; what is not said is not made up."""
    define("mlops_mlflow", conn_type="mlflow", host="ml")
    define("mlops_feast", conn_type="feast")
    define("mlops_artifact_store", conn_type="mlops_artifact_store", extra={"root": "s3://models"})
    define("mlops_prometheus", conn_type="prometheus", host="prom", port=9090)
    addresses, root, secrets = services(PRODUCT.name)
    assert (addresses.mlflow, addresses.online_store, root, secrets) == (
        "http://ml",
        {"type": "sqlite"},
        "s3://models",
        {},
    )
    assert PrometheusHook().settings() == {"url": "http://prom:9090"}


def test_a_product_may_have_its_own_server(define: Any) -> None:
    """The connection that bears the product's name goes before the common one."""
    define("mlops_model_server", conn_type="mlops_model_server", host="http://common")
    define("mlops_model_server_flights", conn_type="mlops_model_server", host="http://own", password="t")
    addresses, _, secrets = services(PRODUCT.name)
    assert (addresses.model_server, secrets) == ("http://own", {"MLOPS_SERVING_TOKEN": "t"})
    assert services("other")[0].model_server == "http://common"


@pytest.mark.parametrize("hook", ALL)
def test_named_connection_must_be_there(hook: type[ServiceHook]) -> None:
    """A connection that was asked for by name and is not defined is an error that names it, never the default."""
    with pytest.raises(AirflowNotFoundException, match="'my_own'"):
        _ = hook("my_own").connection
    works, message = hook("my_own").test_connection()
    assert not works
    assert "'my_own'" in message


@pytest.mark.parametrize("hook", ALL)
def test_constructors_are_free(hook: type[ServiceHook], monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a hook, which happens when a DAG file is parsed, asks for no connection."""
    monkeypatch.setattr(hook, "get_connection", lambda *_: pytest.fail("asked for a connection"))
    hook()


@pytest.mark.parametrize(
    ("conn_id", "fields"),
    [
        ("mlops_mlflow", {"host": "http://ann:sesame@ml"}),
        ("mlops_feast", {"extra": {"online_store": "redis", "connection_string": "r:6379,password=sesame"}}),
        ("mlops_feast", {"host": "r", "password": "sesame,x"}),
        ("mlops_feast", {"extra": {"online_store": "cassandra"}}),
        ("mlops_feast", {"host": "db", "password": "sesame", "extra": {"online_store": "postgres"}}),
        ("mlops_feast", {"extra": {"online_store": "dynamodb"}}),
        ("mlops_feast", {"password": "sesame", "extra": {"online_store": "dynamodb", "options": {"region": "eu"}}}),
        ("mlops_feast", {"extra": {"options": "{"}}),
        ("mlops_feast", {"extra": {"secrets": "sesame"}}),
        ("mlops_feast", {"extra": {"secrets": {"PATH": "sesame"}}}),
        ("mlops_feast", {"extra": {"secrets": '{"STORE_TOKEN": ["sesame"]}'}}),
        ("mlops_feast", {"extra": {"secrets": {"A PASSWORD": "sesame"}}}),
        ("mlops_artifact_store", {"login": "key"}),
        ("mlops_artifact_store", {"extra": {"root": "gs://models"}}),
    ],
)
def test_what_cannot_work_is_refused(define: Any, conn_id: str, fields: dict[str, Any]) -> None:
    """A connection that cannot work, or that would show its password, is refused without showing it."""
    define(conn_id, conn_type="x", **fields)
    with pytest.raises(ConfigurationError) as raised:
        services(PRODUCT.name)
    assert "sesame" not in str(raised.value)


def test_password_in_configuration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database URI with a password in it is refused: manifests would show it."""
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URI", "postgresql://ann:sesame@db/mlflow")
    with pytest.raises(ConfigurationError, match="every manifest"):
        services(PRODUCT.name)


def test_artifact_folder_is_tried(home: Path, define: Any) -> None:
    """The test button writes into the folder, and says so where that fails."""
    assert ArtifactStoreHook().test_connection() == (True, f"{(home / 'mlops').as_uri()} can be written and read")
    assert not list((home / "mlops").iterdir())
    (home / "file").write_text("in the way")
    define("mlops_artifact_store", conn_type="mlops_artifact_store", extra={"root": str(home / "file" / "below")})
    works, message = ArtifactStoreHook().test_connection()
    assert not works
    assert "cannot be written" in message


def test_bucket_is_tried(define: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test button writes into the bucket over HTTP, and a bucket that is not there fails by its name."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    running = moto.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    try:
        endpoint = "http://{}:{}".format(*running.get_host_and_port()).replace("0.0.0.0", "127.0.0.1")
        keys = {"login": "k", "password": "s"}
        extra = {"root": "s3://models/mlops", "endpoint_url": endpoint, "region": "us-east-1"}
        define("mlops_artifact_store", conn_type="mlops_artifact_store", **keys, extra=extra)
        works, message = ArtifactStoreHook().test_connection()
        assert not works
        assert "NoSuchBucket" in message
        import boto3

        client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )
        client.create_bucket(Bucket="models")
        assert ArtifactStoreHook().test_connection() == (True, "s3://models/mlops can be written and read")
        assert "Contents" not in client.list_objects_v2(Bucket="models")
    finally:
        running.stop()


def test_unreachable_bucket_says_so(define: Any) -> None:
    """A bucket whose endpoint is not there fails soon."""
    extra = {"root": "s3://models", "endpoint_url": f"http://127.0.0.1:{free_port()}", "region": "us-east-1"}
    define("mlops_artifact_store", conn_type="mlops_artifact_store", login="k", password="sesame", extra=extra)
    begun = time.monotonic()
    works, message = ArtifactStoreHook().test_connection()
    assert time.monotonic() - begun < 15
    assert not works
    assert "s3://models" in message
    assert "sesame" not in message


@pytest.mark.parametrize("hook", [MlflowHook, PrometheusHook, ModelServerHook])
def test_server_is_tried(hook: type[ServiceHook], server: int, define: Any) -> None:
    """The test button asks the server, and a server that is not there fails by its address."""
    define(hook.default_conn_name, conn_type=hook.conn_type, host="127.0.0.1", port=server)
    works, message = hook().test_connection()
    assert works, message
    gone = free_port()
    define(hook.default_conn_name, conn_type=hook.conn_type, host="127.0.0.1", port=gone)
    works, message = hook().test_connection()
    assert not works
    assert f"127.0.0.1:{gone}" in message


@pytest.mark.parametrize(
    ("fields", "header"),
    [({"login": "ann", "password": "x"}, "Basic YW5uOng="), ({"password": "tok"}, "Bearer tok")],
)
def test_credentials_are_tried(
    server: int, define: Any, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], header: str
) -> None:
    """The test button sends the credentials; those that are refused are said to be that."""
    define("mlops_mlflow", conn_type="mlflow", host="127.0.0.1", port=server, **fields)
    monkeypatch.setattr(Answer, "wanted", header)
    assert MlflowHook().test_connection()[0]
    monkeypatch.setattr(Answer, "wanted", "Basic other")
    works, message = MlflowHook().test_connection()
    assert not works
    assert "refused" in message


def test_the_documented_try_of_a_connection(server: int, tmp_path: Path) -> None:
    """Airflow tests no connection by default; the documented line does it for one command."""
    (line,) = re.findall(
        r"^(AIRFLOW__\S+)=(\S+) (airflow connections test \S+)$", CONNECTIONS.read_text("utf-8"), re.MULTILINE
    )
    variable, value, command = line
    connection = {"conn_type": "mlflow", "host": "127.0.0.1", "port": server}
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONN_MLOPS_MLFLOW": json.dumps(connection)}

    def tried(**further: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            env={**env, **further}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return " ".join((done.stdout + done.stderr).split())

    assert "disabled" in tried()
    assert "Connection success!" in tried(**{variable: value})


def test_mlflow_file_is_tried(home: Path) -> None:
    """The embedded MLflow says whether its file is there, will be made, or is something else."""
    works, message = MlflowHook().test_connection()
    assert works
    assert "will be made" in message
    (home / "mlops" / "mlflow.db").write_text("no database at all, but long enough to be looked at")
    assert not MlflowHook().test_connection()[0]
    (home / "mlops" / "mlflow.db").unlink()
    sqlite3.connect(home / "mlops" / "mlflow.db").executescript("CREATE TABLE other (x);")
    assert "not MLflow's" in MlflowHook().test_connection()[1]


@pytest.mark.skipif(postgres.program("initdb") is None, reason="PostgreSQL is not installed")
@pytest.mark.skipif(shutil.which("runuser") is None, reason="runuser is not installed")
def test_postgres_is_tried(define: Any) -> None:
    """The test button logs in to a real PostgreSQL; settings name the password's variable alone."""
    given = {"conn_type": "feast", "host": "127.0.0.1", "login": "feast", "schema": "postgres"}
    extra = {"online_store": "postgres", "options": {"sslmode": "disable", "db_schema": "features"}}
    with postgres.server("feast", "se,same") as port:
        define("mlops_feast", **given, port=port, password="se,same", extra=extra)
        assert FeastHook().test_connection() == (True, f"PostgreSQL answers at 127.0.0.1:{port}/postgres")
        assert FeastHook().settings() == {
            "type": "postgres",
            "sslmode": "disable",
            "db_schema": "features",
            "host": "127.0.0.1",
            "port": port,
            "database": "postgres",
            "user": "feast",
            "password": "${MLOPS_ONLINE_STORE_PASSWORD}",
        }
        assert FeastHook().secrets() == {"MLOPS_ONLINE_STORE_PASSWORD": "se,same"}
        define("mlops_feast", **given, port=port, password="wrong", extra=extra)
        works, message = FeastHook().test_connection()
        assert not works
        assert "refuses" in message
        assert "wrong" not in message


def test_dynamodb_is_tried(define: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test button asks a server of its protocol; one that is not there is named."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "sesame")
    with bucket.s3_server() as env:
        options = {"region": "eu-central-1", "endpoint_url": env["AWS_ENDPOINT_URL"]}
        define("mlops_feast", conn_type="feast", extra={"online_store": "dynamodb", "options": options})
        assert FeastHook().test_connection() == (True, "DynamoDB answers in eu-central-1")
        assert FeastHook().settings() == {"type": "dynamodb", **options}
        assert FeastHook().secrets() == {}
    works, message = FeastHook().test_connection()
    assert (works, message) == (False, "DynamoDB in eu-central-1 does not answer: EndpointConnectionError")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_redis_is_tried(define: Any, tmp_path: Path) -> None:
    """The test button asks a real Redis, with its password; a wrong one and a missing server fail."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--requirepass", "sesame", "--save", "", "--dir", str(tmp_path)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        define("mlops_feast", conn_type="feast", host="127.0.0.1", port=port, password="sesame")
        deadline = time.monotonic() + 10
        while not FeastHook().test_connection()[0] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert FeastHook().test_connection() == (True, f"Redis answers at 127.0.0.1:{port}")
        define("mlops_feast", conn_type="feast", host="127.0.0.1", port=port, password="wrong")
        works, message = FeastHook().test_connection()
        assert not works
        assert "refuses" in message
    finally:
        running.terminate()
        running.wait()
    works, message = FeastHook().test_connection()
    assert not works
    assert "does not answer" in message


@pytest.mark.parametrize("hook", [PrometheusHook, ModelServerHook])
def test_nothing_to_try_is_said(hook: type[ServiceHook]) -> None:
    """Where no address is known there is nothing to try, and that is no success."""
    works, message = hook().test_connection()
    assert not works
    assert hook.default_conn_name in message


def test_a_host_that_is_a_whole_uri_is_taken_as_it_stands(define: Any) -> None:
    """Also a file's, with its four slashes."""
    define("team", conn_type="mlflow", host="sqlite:////team/mlflow.db")
    assert MlflowHook("team").settings() == {"uri": "sqlite:////team/mlflow.db"}


def test_a_product_may_have_a_connection_of_its_own_for_each_service(define: Any) -> None:
    """Tracking, features, search, serving and source go by one rule; what it has none for is that of all."""
    define("mlops_mlflow", conn_type="mlflow", host="http://ml")
    define("mlops_mlflow_flights", conn_type="mlflow", host="http://ml-flights", password="sesame1")
    define("mlops_feast_flights", conn_type="feast", host="redis", password="sesame2")
    define("mlops_optuna_flights", conn_type="optuna", host="db", schema="search", login="ann", password="sesame3")
    define("mlops_model_server_flights", conn_type="mlops_model_server", host="http://serving")
    addresses, _, secrets = services("flights", {"search"})
    assert (addresses.mlflow, addresses.model_server) == ("http://ml-flights", "http://serving")
    assert addresses.online_store["connection_string"].startswith("redis:6379")
    assert addresses.search == "postgresql+psycopg2://db/search"
    assert {"sesame1", "sesame2", "sesame3"} <= set(secrets.values())
    other, _, secrets = services("trains", {"search"})
    assert (other.mlflow, other.online_store, secrets) == ("http://ml", {"type": "sqlite"}, {})


@pytest.mark.parametrize("hook", [PrometheusHook, ModelServerHook])
def test_a_client_speaks_to_the_service_with_its_credentials(hook: Any, define: Any, server: int) -> None:
    """``get_conn`` gives a client of the address that the connection names; the token goes with each request."""
    Answer.wanted = "Bearer sesame"
    define("team", conn_type=hook.conn_type, host="127.0.0.1", port=server, password="sesame")
    with hook("team").get_conn() as client:
        assert client.get("/anything").json() == {"status": "success"}


def test_every_hook_gives_a_client() -> None:
    """None is left with what the base class says."""
    from airflow_mlops_provider.hooks.optuna import OptunaHook
    from airflow_mlops_provider.hooks.source import SourceHook

    for hook in (*ALL, OptunaHook, SourceHook):
        assert hook.get_conn is not ServiceHook.get_conn


def test_optunas_client_is_a_storage(home: Path) -> None:
    """Studies can be made in it."""
    from airflow_mlops_provider.hooks.optuna import OptunaHook

    storage = OptunaHook().get_conn()
    assert storage.get_all_studies() == []
