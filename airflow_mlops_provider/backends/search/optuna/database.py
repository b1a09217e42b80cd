"""The database that a search's workers share: any that SQLAlchemy supports, a SQLite file by default.

Its URL is passed on without credentials; they come from the environment. Optuna is loaded when a study is opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from airflow_mlops_provider.backends.extras import missing_extra
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, MissingExtraError
from airflow_mlops_provider.storage.locks import file_lock

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

USER_VARIABLE = "MLOPS_SEARCH_STORAGE_USER"
PASSWORD_VARIABLE = "MLOPS_SEARCH_STORAGE_PASSWORD"  # noqa: S105 - the variable's name
LOCK_TIMEOUT_SECONDS = 60
ATTEMPTS = 10


def checked(url: str) -> str:
    """Return a SQLAlchemy URL. :raises ConfigurationError: if it is not one, or has credentials in it."""
    scheme, separator, rest = url.partition("://")
    if not scheme or not separator:
        raise ConfigurationError(f"{url!r} is no database URL; give dialect+driver://host:port/database")
    if "@" in rest.partition("/")[0]:
        raise ConfigurationError(
            f"the search's database URL of {scheme} has credentials in it, which every manifest would show; put host, "
            "user name and password into the connection mlops_optuna"
        )
    return url


def probe(url: str, environment: Mapping[str, str]) -> str:
    """Connect to the database and return a line that says so; raises as :func:`database_errors` says."""
    with database_errors(url):
        engine = create_engine(_full(url, environment))
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    return f"{url} answers"


@contextmanager
def database_errors(url: str | None) -> Iterator[None]:
    """Say what is wrong with a search's database.

    :raises BackendError: if it can't be used.
    :raises MissingExtraError: if its driver is not installed.
    """
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except ImportError as error:
        why = missing_extra(error) or error.__cause__ or error
        raise MissingExtraError(f"the search's database {url} needs a driver: {why}") from None
    except (StorageInternalError, SQLAlchemyError, OSError) as error:
        cause = error.__cause__ or error
        raise BackendError(f"the search's database {url} does not answer: {str(cause)[:500]}") from error


def database(url: str, environment: Mapping[str, str] = os.environ) -> RDBStorage:
    """Return the storage at a URL, its tables made if they are not there.

    :param environment: holds the credentials, by the variables' names.
    """
    full = _full(url, environment)
    address = full.render_as_string(hide_password=False)
    if full.get_backend_name() != "sqlite" or not full.database:
        return _open(address, {"pool_pre_ping": True})
    file = Path(full.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(file.with_name(f"{file.name}.lock")):
        storage = _open(address, {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}})
    _serialize_writers(storage.engine)
    return storage


def _open(url: str, settings: dict[str, Any]) -> RDBStorage:
    """Return the storage. Another process may make the tables at the same moment: then try again, and use those."""
    from optuna.storages import RDBStorage

    for _ in range(ATTEMPTS - 1):
        try:
            return RDBStorage(url, engine_kwargs=dict(settings))
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            if isinstance(error, OperationalError) and "exist" not in str(error):
                raise
            time.sleep(0.2)
    return RDBStorage(url, engine_kwargs=dict(settings))


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


def _full(url: str, environment: Mapping[str, str]) -> URL:
    """Return the SQLAlchemy URL with its credentials."""
    return make_url(url).set(username=environment.get(USER_VARIABLE), password=environment.get(PASSWORD_VARIABLE))
