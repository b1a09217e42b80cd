"""An artifact store in a table: one SQLite file, each write a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.storage.stores.base import ArtifactStore, checked

SCHEME = "acme-table://"


class TableStore(ArtifactStore):
    """``acme-table:///folder/file.db``; whoever shares the file shares the root."""

    def __init__(self, file: Path) -> None:
        self.file, self.uri = file, f"{SCHEME}{quote(str(file))}"

    @classmethod
    def open(cls, uri: str, environment: Mapping[str, str] | None = None) -> Self:
        file = Path(unquote(uri.removeprefix(SCHEME)))
        if not file.is_absolute():
            raise ConfigurationError(f"{uri!r} names no file; give {SCHEME}/folder/file.db")
        return cls(file)

    def read(self, key: str) -> bytes:
        with self._table() as table:
            row = table.execute("SELECT data FROM files WHERE key = ?", [checked(key)]).fetchone()
        if row is None:
            raise FileNotFoundError(f"{self.uri}/{key}")
        return bytes(row[0])

    def write(self, key: str, data: bytes) -> None:
        with self._table() as table:
            table.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", [checked(key), data])

    def write_new(self, key: str, data: bytes) -> None:
        try:
            with self._table() as table:
                table.execute("INSERT INTO files VALUES (?, ?)", [checked(key), data])
        except sqlite3.IntegrityError:
            raise ConflictError(f"{key} exists already under {self.uri}") from None

    def exists(self, key: str) -> bool:
        with self._table() as table:
            return table.execute("SELECT 1 FROM files WHERE key = ?", [checked(key)]).fetchone() is not None

    def list(self, prefix: str) -> list[str]:
        folder = f"{checked(prefix)}/" if prefix else ""
        with self._table() as table:
            keys = table.execute("SELECT key FROM files WHERE substr(key, 1, ?) = ?", [len(folder), folder]).fetchall()
        return sorted(key for (key,) in keys)

    def remove(self, prefix: str) -> None:
        keys = [checked(prefix), *self.list(prefix)]
        with self._table() as table:
            table.executemany("DELETE FROM files WHERE key = ?", [[key] for key in keys])

    @contextmanager
    def _table(self) -> Iterator[sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file, timeout=60)) as table, table:
            table.execute("CREATE TABLE IF NOT EXISTS files (key TEXT PRIMARY KEY, data BLOB NOT NULL)")
            yield table
