"""The data that ``init`` looks at: files, or what a query gives; read once to look, and once more to lay them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.hooks.tables import Files, fetched
from airflow_mlops_provider.lifecycle.initiation.writing.declared import Query

if TYPE_CHECKING:
    import pyarrow as pa

_BUCKETS = ("s3://", "gs://", "abfs://", "file://")


class Data:
    """What is named: a file, a folder, a pattern; or a database and what to read of it.

    :raises ConfigurationError: for what is not there.
    """

    def __init__(self, named: str, query: str | None) -> None:
        self.is_url = "://" in named and not named.startswith(_BUCKETS)
        self.is_query = query is not None or self.is_url
        self._named, self._query = named, query
        elsewhere = self.is_query or named.startswith(_BUCKETS) or re.search(r"[*?\[]", named)
        if not elsewhere and not Path(named).exists():
            raise ConfigurationError(f"there is no file or folder {named}; a table of a database needs --query, too")

    def look(self) -> Any:
        """Return the rows, or a sample of them, and how they are written."""
        from airflow_mlops_provider.backends.tables.undeclared import look, look_at_rows

        if self.is_query:
            with self._opened() as (what, rows):
                return look_at_rows(rows, what)
        with tempfile.TemporaryDirectory(prefix="mlops-init-") as scratch:
            return look(self._files(Path(scratch)), self._named)

    def parts(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield all rows, some at a time, and where they come from."""
        from airflow_mlops_provider.backends.tables.undeclared import parts_of

        if self.is_query:
            with self._opened() as (what, rows):
                yield from ((what, part) for part in rows)
            return
        with tempfile.TemporaryDirectory(prefix="mlops-init-") as scratch:
            for name, _, part in parts_of(self._files(Path(scratch))):
                yield name, part

    @property
    def query(self) -> Query | None:
        """The query and its connection, where an Airflow connection names the database."""
        if not self.is_query or self.is_url:
            return None
        return Query(statement=_statement(self._query, self._named, self._named), conn_id=self._named)

    @contextmanager
    def _opened(self) -> Iterator[tuple[str, Iterator[pa.Table]]]:
        connection, shown = _connected(self._named)
        with closing(connection):
            statement, what = _statement(self._query, shown, self._named), f"{self._query} of {shown}"
            yield what, _rows(connection, statement, what)

    def _files(self, scratch: Path) -> Iterator[tuple[str, Path]]:
        folder = Path(self._named).is_dir() and not self._named.endswith("/")
        yield from Files(f"{self._named}/" if folder else self._named).copies(scratch)


def _rows(connection: Any, statement: str, what: str) -> Iterator[pa.Table]:
    try:
        yield from fetched(connection, statement, what)
    except MLOpsError:
        raise
    except Exception as error:  # noqa: BLE001  # each driver has its own
        raise ConfigurationError(f"{what} can't be read: {_line(error)}") from None


def _connected(data: str) -> tuple[Any, str]:
    """Return a driver's connection, by a SQLAlchemy URL or an Airflow connection, and what to call it."""
    try:
        if "://" in data:
            from sqlalchemy import create_engine, make_url

            url = make_url(data)
            if url.get_backend_name() == "sqlite":
                Path(url.database or "").stat()  # the driver would make an empty file
            return create_engine(url).raw_connection(), url.render_as_string(hide_password=True)
        from airflow.sdk import BaseHook

        return BaseHook.get_connection(data).get_hook().get_conn(), data
    except Exception as error:  # noqa: BLE001  # each driver has its own
        shown = re.sub("//[^/]*@", "//***@", data)
        why = f"{_line(error)}"
        raise ConfigurationError(
            f"{shown} can't be reached: {why}; give a SQLAlchemy URL or the id of an Airflow connection"
        ) from None


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _statement(query: str | None, shown: str, data: str) -> str:
    """Return the statement: of a table's name, all of it. :raises ConfigurationError: without one; lists the tables."""
    if query is None:
        from sqlalchemy import create_engine, inspect

        tables = ", ".join(inspect(create_engine(data)).get_table_names()) or "none"
        raise ConfigurationError(f"say what to read of {shown}, with --query: a statement, or a table, of {tables}")
    return f"select * from {query}" if re.fullmatch(r"[\w.\"`]+", query) else query  # noqa: S608  # the user's own
