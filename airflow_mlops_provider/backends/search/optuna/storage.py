"""The database that a search's workers share: any that SQLAlchemy supports, a SQLite file by default."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from airflow_mlops_provider.backends.search.optuna.access import full
from airflow_mlops_provider.storage.locks import file_lock

LOCK_TIMEOUT_SECONDS = 60
ATTEMPTS = 10


def database(url: str) -> RDBStorage:
    """Return the storage at a URL, its tables made if they are not there.

    :param url: SQLAlchemy URL without credentials, which come from the environment.
    """
    address = full(url, os.environ).render_as_string(hide_password=False)
    match = re.fullmatch(r"sqlite:///(?P<path>[^?]+)", url)
    if match is None:
        return _open(address, {"pool_pre_ping": True})
    file = Path(match["path"])
    file.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(file.with_name(f"{file.name}.lock")):
        storage = _open(address, {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}})
    _serialize_writers(storage.engine)
    return storage


def _open(url: str, settings: dict[str, Any]) -> RDBStorage:
    """Return the storage. Another process may make the tables at the same moment: then try again, and use those."""
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            return RDBStorage(url, engine_kwargs=dict(settings))
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            if not attempts_left or (isinstance(error, OperationalError) and "exist" not in str(error)):
                raise
            time.sleep(0.2)
    raise AssertionError("unreachable")


def _serialize_writers(engine: Engine) -> None:
    """Let several processes write to one SQLite file: each takes the write lock before it reads what it will change.

    Optuna reads a trial and then changes it, and relies on ``SELECT … FOR UPDATE``, which SQLite does not have.
    """
    engine.dispose()

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # else the driver begins transactions by itself, too late
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
