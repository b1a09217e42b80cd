"""How an MLflow server or database is reached: retries, first tables, and errors that say what to do."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit, urlunsplit

from airflow_mlops_provider.backends.telemetry import disable_telemetry
from airflow_mlops_provider.exceptions import BackendError
from airflow_mlops_provider.storage.locks import file_lock

Server = TypeVar("Server", bound="MlflowServer")
Given = ParamSpec("Given")
Result = TypeVar("Result")

ATTEMPTS = 3
REACH_SECONDS = 5
_RETRIES = {
    # MLflow's own defaults make an unreachable server cost minutes; the task's retries are the place to wait.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class MlflowServer:
    """One tracking and registry URI: ``sqlite:////folder/mlflow.db``, ``http(s)://host:port`` or a database URL.

    :param credentials: by the variables' names, as MLflow reads them; by default those of the environment. A process
        that speaks to several servers, such as the triggerer, has none that fit them all.
    """

    def __init__(self, uri: str, credentials: Mapping[str, str] | None = None) -> None:
        self.uri = uri
        self.credentials = credentials

    @cached_property
    def client(self) -> Any:
        """The configured ``MlflowClient``. :raises BackendError: if the server or database cannot be reached."""
        self._check_reachable()
        self.prepare()
        with self.speaking():
            from mlflow import MlflowClient

            client = MlflowClient(self.uri, self.uri)
            if self.is_http and self.credentials is not None:
                from airflow_mlops_provider.backends.tracking.mlflow.credentials import use

                use(client, self.uri, self.credentials)
            return client

    @property
    def shown(self) -> str:
        """The URI without its user name and password, fit for a log."""
        parts = urlsplit(self.uri)
        if "@" not in parts.netloc:
            return self.uri.rstrip("/")
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")

    def prepare(self) -> None:
        """Make an SQLite database with MLflow's tables, once, whoever else starts at the same moment.

        The tables are made in a file of their own that is then moved into place: MLflow's migrations are not one
        transaction, so a kill in their midst would otherwise leave a database that nothing can open.
        """
        database = self.database
        if database is None or database.exists():
            return
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackendError(f"MLflow's database {database} cannot be made: {error}") from error
        with file_lock(database.with_name(f"{database.name}.lock")):
            if not database.exists():
                self._make(database)

    @property
    def is_http(self) -> bool:
        """Whether a server stands behind the URI, with pages for people."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def database(self) -> Path | None:
        """The SQLite file; None for anything else."""
        match = re.fullmatch(r"sqlite:///(?P<path>[^?]+)(\?.*)?", self.uri)
        return Path(match["path"]) if match and match["path"] != ":memory:" else None

    def _make(self, database: Path) -> None:
        fresh = database.with_name(f"{database.name}.new")
        for left in database.parent.glob(f"{fresh.name}*"):
            left.unlink()
        with self.speaking():
            from mlflow import MlflowClient

            logging.getLogger("alembic").setLevel(logging.WARNING)
            MlflowClient(f"sqlite:///{fresh}", f"sqlite:///{fresh}").search_registered_models(max_results=1)
            fresh.replace(database)

    def _check_reachable(self) -> None:
        if not self.is_http:
            return
        import requests

        try:
            requests.head(self.uri, timeout=REACH_SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            raise BackendError(
                f"MLflow at {self.shown} does not answer ({type(error).__name__}); start it, or correct host and "
                "port in the Airflow connection mlops_mlflow, then run the task again"
            ) from error

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Turn what MLflow and the libraries below it raise into a :class:`BackendError` that names the server."""
        disable_telemetry()
        for name, value in _RETRIES.items():
            os.environ.setdefault(name, value)
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, RequestException, OSError) as error:
            raise BackendError(f"MLflow at {self.shown}: {str(error)[:500]}") from error


def mlflow_call(method: Callable[Concatenate[Server, Given], Result]) -> Callable[Concatenate[Server, Given], Result]:
    """Let a method raise :class:`BackendError` if MLflow does not answer or refuses.

    It is run again where SQLite was locked, so running it twice must do no harm.
    """

    @wraps(method)
    def call(server: Server, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        # A locked SQLite file outlasts MLflow's 20 s wait only under heavy load.
        for left in reversed(range(ATTEMPTS)):
            try:
                with server.speaking():
                    return method(server, *args, **kwargs)
            except BackendError as error:
                if not left or getattr(error.__cause__, "error_code", None) != "TEMPORARILY_UNAVAILABLE":
                    raise
        raise AssertionError("unreachable")

    return call


@dataclass
class Allowing(AbstractContextManager[Any]):
    """Goes on behind its block if MLflow refuses what is in it with this code."""

    code: str

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return getattr(error, "error_code", None) == self.code
