"""Trying a service once, quickly: what the test button of an Airflow connection does.

Each function raises :class:`BackendError` if its service can't be used, and says why.
"""

from __future__ import annotations

import socket
import sqlite3
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_mlops_provider.backends.http import client
from airflow_mlops_provider.exceptions import BackendError, MissingExtraError
from airflow_mlops_provider.storage.artifacts import ArtifactStore

SECONDS = 5
PROBE = ".mlops-probe"
_ONCE = {"total_max_attempts": 1}


def expect(held: bool, otherwise: str) -> None:
    """Go on if something held."""
    if not held:
        raise BackendError(otherwise)


def http(url: str, credentials: tuple[str, str] | None, token: str | None) -> bytes:
    """Return the first bytes of a page."""
    import httpx

    try:
        with client(url, credentials, token, SECONDS) as opened, opened.stream("GET", url) as answer:
            start = next(answer.iter_bytes(10_000), b"")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise BackendError(f"{url} does not answer: {error}") from None
    refused = "; user name, password or token was refused" if answer.status_code in {401, 403} else ""
    expect(answer.is_success, f"{url} answers with status {answer.status_code}{refused}")
    return start


def sqlite_file(path: str) -> str:
    """Say what lies at the place of MLflow's SQLite file, or that it will be made there."""
    file = Path(path)
    if not file.exists():
        folder(file.parent)
        return f"{file} will be made at its first use"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as database:
            tables = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'experiments'").fetchone()[0]
    except sqlite3.Error as error:
        raise BackendError(f"{file} cannot be read as a database: {error}") from None
    expect(tables == 1, f"{file} is a database, but not MLflow's")
    return f"{file} is MLflow's database"


def folder(path: Path) -> None:
    """Make a folder if it is not there, and write, read and delete a file in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".tmp-", dir=path) as file:
            file.write(b"probe")
    except OSError as error:
        raise BackendError(f"{path} cannot be written: {error.strerror or error}") from None


def bucket(uri: str, endpoint: str | None, region: str | None, keys: tuple[str, str] | None) -> None:
    """Write, read and delete a small object below a bucket's prefix."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(uri)
    key = f"{place.path.strip('/')}/{PROBE}".lstrip("/")
    limits = Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries=_ONCE)
    access, secret = keys or (None, None)
    try:
        client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=limits,
        )
        client.put_object(Bucket=place.netloc, Key=key, Body=b"probe")
        client.get_object(Bucket=place.netloc, Key=key)["Body"].read()
        client.delete_object(Bucket=place.netloc, Key=key)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise BackendError(f"{uri} cannot be written and read: {str(error)[:300]}") from None


def store(root: ArtifactStore) -> None:
    """Write, read and remove a small file in an artifact store."""
    try:
        root.write(f"{PROBE}/probe", b"probe")
        expect(root.read(f"{PROBE}/probe") == b"probe", f"{root.uri} does not give back what was written")
        root.remove(PROBE)
    except Exception as error:
        if isinstance(error, BackendError):
            raise
        raise BackendError(f"{root.uri} cannot be written and read: {type(error).__name__}: {error}"[:500]) from None


def redis(host: str, port: int, login: str | None, password: str | None, tls: bool = False) -> None:
    """Ask a Redis server whether it is there, in its own protocol and without its client library."""
    words = [["AUTH", *([login] if login else []), password]] if password else []
    try:
        with socket.create_connection((host, port), SECONDS) as plain:
            wire = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if tls else plain
            for command in [*words, ["PING"]]:
                wire.sendall(_resp(command))
                answer = wire.recv(200).decode(errors="replace").strip()
                expect(answer.startswith("+"), f"Redis at {host}:{port} refuses: {answer.lstrip('-')[:100]}")
    except OSError as error:
        raise BackendError(f"Redis at {host}:{port} does not answer: {error}") from None


def postgres(settings: Mapping[str, Any], password: str | None) -> None:
    """Log in to a PostgreSQL server, as Feast does. :param settings: Feast's of an online store."""
    try:
        import psycopg
    except ImportError:
        raise MissingExtraError("PostgreSQL needs: pip install 'airflow-mlops-provider[postgres]'") from None
    where = {"host": settings["host"], "port": settings["port"], "dbname": settings["database"]}
    tls = settings.get("sslmode", "require")
    try:
        psycopg.connect(**where, user=settings["user"], password=password, sslmode=tls, connect_timeout=SECONDS).close()
    except psycopg.Error as error:
        raise BackendError(f"PostgreSQL at {where['host']}:{where['port']} refuses: {str(error)[:300]}") from None


def dynamodb(settings: Mapping[str, Any]) -> None:
    """Ask DynamoDB something, with the keys that boto3 finds. :param settings: Feast's of an online store."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    region, limits = settings["region"], Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries=_ONCE)
    try:
        where = {"region_name": region, "endpoint_url": settings.get("endpoint_url")}
        boto3.session.Session().client("dynamodb", **where, config=limits).list_tables(Limit=1)
    except ClientError as error:
        # Who may read some tables need not be allowed to list them.
        code = error.response["Error"]["Code"]
        expect(code == "AccessDeniedException", f"DynamoDB in {region} refuses: {code}")
    except (BotoCoreError, ValueError) as error:
        raise BackendError(f"DynamoDB in {region} does not answer: {type(error).__name__}") from None


def _resp(words: list[Any]) -> bytes:
    parts = [f"${len(str(word).encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()
